import { Fifo } from "../../../shared/fifo.ts";
import type { Claim, Loan } from "../../transport.ts";
import type { Poll } from "../../poll.ts";

/** Someone who takes a message that is there, and does not wait. */
export interface PendingPoll extends Poll {
  /** Whether this link has put something since the call, which is not for it. */
  isEarly: boolean;
}

/** Who wants messages of a link: claims in their order, then those who only poll. */
export class Claimants {
  readonly #claims = new Fifo<Claim>();
  readonly #polls = new Set<PendingPoll>();
  #counting = 0;

  /** How many wait for a message. */
  get waiting(): number {
    return this.#claims.size;
  }

  /** How many wait for a message who are not of this group. */
  waitingBut(group: object | undefined): number {
    if (group === undefined) return this.#claims.size;
    return this.#claims.all.filter((claim) => claim.group !== group).length;
  }

  get polling(): number {
    return this.#polls.size;
  }

  get size(): number {
    return this.#claims.size + this.#polls.size;
  }

  /** Whether some want their attempts counted. */
  get isCounting(): boolean {
    return this.#counting > 0;
  }

  claim(claim: Claim): void {
    this.#claims.push(claim);
    this.#count(claim, 1);
  }

  /** Tells the claims that nothing is there. */
  tell(): void {
    for (const claim of this.#claims.all) claim.waits?.();
  }

  /** Whether the claim was here, and is no longer. */
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

  /** Something was put: it is not for those who have asked. */
  setEarly(): void {
    for (const poll of this.#polls) poll.isEarly = true;
  }

  get early(): PendingPoll[] {
    return [...this.#polls].filter(({ isEarly }) => isEarly);
  }

  /** Whose turn it is; he is here no longer. */
  next(): { readonly counted: boolean; deliver(loan: Loan): void } | undefined {
    const claim = this.#claims.shift();
    if (claim !== undefined) {
      this.#count(claim, -1);
      return claim;
    }
    for (const poll of this.#polls) {
      this.#forget(poll);
      return { counted: poll.counted, deliver: (loan) => poll.resolve(loan) };
    }
  }

  /** Says that nothing is there. */
  refuse(polls: Iterable<PendingPoll> = this.#polls): void {
    for (const poll of polls) {
      this.#forget(poll);
      poll.resolve(undefined);
    }
  }

  reject(error: Error): void {
    for (let claim = this.#claims.shift(); claim !== undefined; claim = this.#claims.shift()) {
      this.#count(claim, -1);
      claim.reject(error);
    }
    for (const poll of this.#polls) {
      this.#forget(poll);
      poll.reject(error);
    }
  }

  /** Rejects all, each with an error of its own. */
  end(make: () => Error): void {
    for (let claimant = this.#claims.shift(); claimant; claimant = this.#claims.shift()) {
      this.#count(claimant, -1);
      claimant.reject(make());
    }
    for (const poll of this.#polls) {
      this.#forget(poll);
      poll.reject(make());
    }
  }

  #forget(poll: PendingPoll): void {
    this.#polls.delete(poll);
    this.#count(poll, -1);
  }

  #count({ counted }: { readonly counted: boolean }, by: 1 | -1): void {
    if (counted) this.#counting += by;
  }
}
