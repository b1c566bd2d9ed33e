import { identityOf, type RedisLoan } from "./loan.ts";
import type { RedisSettlements } from "./redis_settlements.ts";

/**
 * The messages that this link has lost to other processes while it was not connected, although a claimant here holds them or has
 * accepted them. If such a message comes back, because the other process has released it or has died, the claimant here is not
 * given it twice.
 */
export class RedisLostLoans {
  readonly #settlements: RedisSettlements;
  /** The loans that claimants hold, by their messages. */
  readonly #held = new Map<string, RedisLoan>();
  /** The messages that were accepted. Two generations limit the memory. */
  #accepted = new Set<string>();
  #acceptedBefore = new Set<string>();

  constructor(settlements: RedisSettlements) {
    this.#settlements = settlements;
  }

  /** A claimant holds a loan that the link has lost. */
  hold(loan: RedisLoan): void {
    const { identity } = loan;
    if (identity !== undefined) this.#held.set(identity, loan);
  }

  /** A claimant has settled a loan that the link had lost. */
  settled(loan: RedisLoan): void {
    const { identity } = loan;
    if (identity === undefined || this.#held.get(identity) !== loan) return;
    this.#held.delete(identity);
    if (loan.outcome === "accepted") this.#remember(identity);
  }

  /** The server does not say that an acceptance has taken effect. */
  accepted(message: { entry: string; id: string | undefined }): void {
    const identity = identityOf(message);
    if (identity !== undefined) this.#remember(identity);
  }

  #remember(identity: string): void {
    if (this.#accepted.size >= generationSize) {
      this.#acceptedBefore = this.#accepted;
      this.#accepted = new Set();
    }
    this.#accepted.add(identity);
  }

  /**
   * Returns the loan that continues as one that has come; "accepted" if its message was accepted here, which the server is told
   * again; undefined if the message is for a claimant.
   */
  find(loan: RedisLoan): RedisLoan | "accepted" | undefined {
    if (!loan.redelivered || this.#held.size + this.#accepted.size === 0) return undefined;
    const { identity } = loan;
    if (identity === undefined) return undefined;
    const held = this.#held.get(identity);
    if (held !== undefined) {
      this.#held.delete(identity);
      held.continueAs(loan);
      return held;
    }
    if (!this.#accepted.has(identity) && !this.#acceptedBefore.has(identity)) return undefined;
    this.#settlements.accept(loan);
    return "accepted";
  }
}

/** How many messages a generation has. */
const generationSize = 2048;
