// The requests of a peer that may wait: for a message, for room, and until the channel is empty.

import { backOff } from "../shared/backoff.ts";
import type { Claim, EmptyWaiter, Loan, RoomWaiter } from "../transports/transport.ts";
import type { LinkRequest, PeerLink } from "./peer_link.ts";
import type { ServedLink } from "./served_link.ts";

/** What a request needs of its peer. */
export interface RequestOwner {
  /** Whether the peer reads too slowly to be lent anything. */
  readonly isSlow: boolean;
  send(header: string): void;
  /** The request has ended. */
  ended(request: WaitingRequest): void;
  /** Answers that the request is refused. */
  refuse(request: number, error: unknown): void;
  /** Lends a message under the number of its request. */
  lend(request: number, loan: Loan, link: PeerLink): void;
}

/**
 * A request that may wait. The peer knows it by its number until it is answered or dropped.
 *
 * Invariant: a request that is over sends nothing.
 */
export abstract class WaitingRequest implements LinkRequest {
  abstract readonly action: LinkRequest["action"];
  readonly number: number;
  readonly link: PeerLink;
  protected readonly peer: RequestOwner;
  protected served: ServedLink | undefined;
  protected isOver = false;
  readonly #group: number | undefined;

  /** @param group the number of the group of requests that this one belongs to */
  constructor(peer: RequestOwner, link: PeerLink, number: number, group?: number) {
    this.peer = peer;
    this.link = link;
    this.number = number;
    this.#group = group;
  }

  start(served: ServedLink): void {
    if (this.isOver) return;
    this.served = served;
    this.begin(served);
  }

  refuse(error: unknown): void {
    if (this.end()) this.peer.refuse(this.number, error);
  }

  /** Withdraws the request. The peer has forgotten it. */
  drop(): void {
    if (this.end() && this.served !== undefined) this.withdraw(this.served);
  }

  /** The peer has become slow, or reads again. */
  slowed(_isSlow: boolean): void {}

  protected abstract begin(served: ServedLink): void;
  protected abstract withdraw(served: ServedLink): void;

  /** Ends the request, and reports whether it was not over. */
  protected end(): boolean {
    if (this.isOver) return false;
    this.isOver = true;
    if (this.#group !== undefined) this.link.leaveGroup(this.#group);
    this.peer.ended(this);
    return true;
  }
}

/** A `TAKE`. While the peer is slow, it is kept here, so that others get the messages. */
export class PeerClaim extends WaitingRequest implements Claim {
  readonly action = "get";
  readonly counted: boolean;
  readonly group?: object;
  /** Whether the claim is begun, and the engine does not have it. */
  #isHeld = false;
  #hasWaited = false;

  constructor(
    peer: RequestOwner,
    link: PeerLink,
    number: number,
    counted: boolean,
    group: number | undefined,
  ) {
    super(peer, link, number, group);
    this.counted = counted;
    if (group !== undefined) this.group = link.group(group);
  }

  protected begin(served: ServedLink): void {
    if (this.peer.isSlow) this.#isHeld = true;
    else served.take(this);
  }

  override slowed(isSlow: boolean): void {
    if (this.served === undefined || this.isOver || this.#isHeld === isSlow) return;
    if (!isSlow) {
      this.#isHeld = false;
      this.served.take(this);
    } else if (this.served.withdraw(this)) this.#isHeld = true;
  }

  protected withdraw(served: ServedLink): void {
    if (!this.#isHeld) served.withdraw(this);
  }

  deliver(loan: Loan): void {
    if (this.isOver) return loan.release();
    if (this.peer.isSlow) {
      this.#isHeld = true;
      return loan.release();
    }
    this.end();
    this.peer.lend(this.number, loan, this.link);
  }

  waits(): void {
    if (this.isOver || this.#hasWaited) return;
    this.#hasWaited = true;
    this.peer.send(`WAITS ${this.number}`);
  }

  reject(error: Error): void {
    this.refuse(error);
  }
}

/** A `ROOM`. If the engine does not tell of room, the peer tries again after a pause. */
export class PeerRoom extends WaitingRequest implements RoomWaiter {
  readonly action = "put";
  readonly group?: object;
  readonly #isAside: boolean;
  #pause: ReturnType<typeof setTimeout> | undefined;

  constructor(
    peer: RequestOwner,
    link: PeerLink,
    number: number,
    group: number | undefined,
    isAside: boolean,
  ) {
    super(peer, link, number, group);
    this.#isAside = isAside;
    if (group !== undefined) this.group = link.group(group);
  }

  protected begin(served: ServedLink): void {
    // Not earlier: the puts that have arrived before it and have not begun are still refused.
    if (!this.#isAside) this.link.isFull = false;
    if (served.awaitRoom !== undefined) return served.awaitRoom(this);
    const pause = backOff(this.link.refusals++, shortestPause, longestPause);
    this.#pause = setTimeout(() => this.tryAgain(), pause);
  }

  protected withdraw(served: ServedLink): void {
    if (this.#pause === undefined) served.withdraw(this);
    clearTimeout(this.#pause);
  }

  tryAgain(): void {
    if (this.end()) this.peer.send(`ROOM ${this.number}`);
  }
}

/** An `EMPTY`. If the engine does not tell, the depth is read with growing pauses. */
export class PeerEmpty extends WaitingRequest implements EmptyWaiter {
  readonly action = "depth";
  #pause: ReturnType<typeof setTimeout> | undefined;
  #isPolling = false;

  protected begin(served: ServedLink): void {
    if (served.awaitEmpty !== undefined) return served.awaitEmpty(this);
    this.#isPolling = true;
    this.#poll(served, 0);
  }

  #poll(served: ServedLink, polls: number): void {
    served.depth().then((depth) => {
      if (this.isOver) return;
      if (depth === 0) return this.empty();
      const pause = backOff(polls, shortestPause, longestPause);
      this.#pause = setTimeout(() => this.#poll(served, polls + 1), pause);
    }).catch((error) => this.refuse(error));
  }

  protected withdraw(served: ServedLink): void {
    if (!this.#isPolling) served.withdraw(this);
    clearTimeout(this.#pause);
  }

  reject(error: Error): void {
    this.refuse(error);
  }

  empty(): void {
    if (this.end()) this.peer.send(`EMPTY ${this.number}`);
  }
}

/** Milliseconds. */
const shortestPause = 2;
const longestPause = 250;
