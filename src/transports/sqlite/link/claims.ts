import { Fifo } from "../../../shared/fifo.ts";
import type { Poll } from "../../poll.ts";
import type { Claim, Loan } from "../../transport.ts";

/** A pending call of `tryTake`. */
export interface PendingPoll extends Poll {
  /** Whether this link was asked to put a message after the call; the poll must not get that message. */
  isEarly: boolean;
}

/** The consumers of a link: claims in their order, then polls. */
export class Claims {
  readonly #claims = new Fifo<Claim>();
  readonly #polls = new Set<PendingPoll>();
  #counted = 0;

  /** The number of claims. */
  get waiting(): number {
    return this.#claims.size;
  }

  /** Returns the number of claims outside a group. */
  waitingOutside(group: object | undefined): number {
    if (group === undefined) return this.#claims.size;
    return this.#claims.all.filter((claim) => claim.group !== group).length;
  }

  /** The number of polls. */
  get polling(): number {
    return this.#polls.size;
  }

  /** The number of claims and polls. */
  get size(): number {
    return this.#claims.size + this.#polls.size;
  }

  /** Whether some of them want their attempts counted. */
  get isCounting(): boolean {
    return this.#counted > 0;
  }

  add(claim: Claim): void {
    this.#claims.push(claim);
    this.#count(claim, 1);
  }

  /** Tells all claims that they wait because the channel has no message. */
  notifyWaiting(): void {
    for (const claim of this.#claims.all) claim.waits?.();
  }

  /** Removes a claim. Reports whether it was present. */
  withdraw(claim: Claim): boolean {
    if (!this.#claims.remove(claim)) return false;
    this.#count(claim, -1);
    return true;
  }

  poll(counted: boolean): Promise<Loan | undefined> {
    return new Promise((resolve, reject) => {
      const poll = { counted, isEarly: false, resolve, reject };
      this.#polls.add(poll);
      this.#count(poll, 1);
    });
  }

  /** The link was asked to put a message, which the present polls must not get. */
  markEarly(): void {
    for (const poll of this.#polls) poll.isEarly = true;
  }

  get early(): PendingPoll[] {
    return [...this.#polls].filter(({ isEarly }) => isEarly);
  }

  /** Removes and returns the first claim; without claims, the first poll. */
  shift(): { readonly counted: boolean; deliver(loan: Loan): void } | undefined {
    const claim = this.#claims.shift();
    if (claim !== undefined) {
      this.#count(claim, -1);
      return claim;
    }
    for (const poll of this.#polls) {
      this.#remove(poll);
      return { counted: poll.counted, deliver: (loan) => poll.resolve(loan) };
    }
  }

  /** Resolves polls with undefined: the channel has no message for them. */
  endPolls(polls: Iterable<PendingPoll> = this.#polls): void {
    for (const poll of polls) {
      this.#remove(poll);
      poll.resolve(undefined);
    }
  }

  /** Rejects all claims and polls, each with an error that `newError` returns. */
  reject(newError: () => Error): void {
    for (let claim = this.#claims.shift(); claim !== undefined; claim = this.#claims.shift()) {
      this.#count(claim, -1);
      claim.reject(newError());
    }
    for (const poll of this.#polls) {
      this.#remove(poll);
      poll.reject(newError());
    }
  }

  #remove(poll: PendingPoll): void {
    this.#polls.delete(poll);
    this.#count(poll, -1);
  }

  #count({ counted }: { readonly counted: boolean }, by: 1 | -1): void {
    if (counted) this.#counted += by;
  }
}
