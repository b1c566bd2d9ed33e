import { ProtocolError } from "../transports/home/protocol/frame.ts";
import type { Loan } from "../transports/transport.ts";
import type { PeerLink } from "./peer_link.ts";
import type { WaitingRequest } from "./peer_requests.ts";

/** A message that a peer has been lent. */
interface PeerLoan {
  readonly loan: Loan;
  readonly link: PeerLink;
}

/**
 * What a peer has at the home: links, requests that wait, and loans.
 *
 * Invariant: a link knows its requests and its loans, so that what it costs to end it depends on these alone.
 */
export class PeerHoldings {
  readonly links: Map<number, PeerLink> = new Map();
  /** The requests that wait, by their numbers. */
  readonly requests: Map<number, WaitingRequest> = new Map();
  /** The loans, by the numbers of their requests. */
  readonly loans: Map<number, PeerLoan> = new Map();
  /** The messages that `TRY` has asked the engine for, and that are not answered. */
  tries = 0;
  readonly #most: number;

  /** @param most how many loans and requests that wait a peer may have */
  constructor(most: number) {
    this.#most = most;
  }

  /** How many further loans and requests that wait the limit allows. */
  get room(): number {
    return this.#most - this.requests.size - this.loans.size - this.tries;
  }

  /** @throws {ProtocolError} if a request that waits, or a loan, has this number */
  checkNew(request: number): void {
    if (!this.requests.has(request) && !this.loans.has(request)) return;
    throw new ProtocolError("a request number is used again");
  }

  add(request: WaitingRequest): void {
    this.requests.set(request.number, request);
    request.link.requests.add(request);
  }

  ended(request: WaitingRequest): void {
    this.requests.delete(request.number);
    request.link.requests.delete(request);
  }

  lent(request: number, loan: Loan, link: PeerLink): void {
    this.loans.set(request, { loan, link });
    link.loans.add(request);
  }

  /** Removes a loan and returns it. */
  take(request: number): Loan | undefined {
    const lent = this.loans.get(request);
    if (lent === undefined) return undefined;
    this.loans.delete(request);
    lent.link.loans.delete(request);
    return lent.loan;
  }

  /** Withdraws a request; if its message has crossed the withdrawal, the message is released. */
  drop(request: number): void {
    this.requests.get(request)?.drop();
    this.take(request)?.release();
  }

  /** Withdraws all requests, and releases all loans. */
  dropAll(): void {
    for (const request of [...this.requests.values()]) request.drop();
    for (const request of [...this.loans.keys()]) this.take(request)!.release();
  }

  /** Withdraws the requests of a link, releases its loans, and closes it. Never rejects. */
  leave(link: PeerLink, counted: boolean): Promise<void> {
    for (const request of [...link.requests]) request.drop();
    for (const number of [...link.loans]) this.take(number)?.release(counted);
    return link.close();
  }

  /** The connection is lost: leaves all links. The puts that the engine has not begun are withdrawn. */
  end(counted: boolean): void {
    const links = [...this.links.values()];
    this.links.clear();
    for (const { served, puts } of links) {
      if (served !== undefined) { for (const put of [...puts]) put.recall(served); }
    }
    for (const link of links) this.leave(link, counted);
  }
}
