import { Fifo } from "../../shared/fifo.ts";

/** A link whose puts wait until others are answered. */
export interface BudgetWaiter {
  /** Called when puts may be sent again. */
  mayPut(): void;
}

/** The limits for the puts on one connection that the home has not answered. A put of any size is sent alone. */
export class PutBudget {
  /** The most puts. */
  most: number = Infinity;
  #puts = 0;
  #bytes = 0;
  readonly #waiters: Fifo<BudgetWaiter> = new Fifo();

  /** Reports whether a put of a number of bytes may be sent now, and counts it. Otherwise, the waiter is called. */
  take(bytes: number, waiter: BudgetWaiter): boolean {
    const isWithin = this.#puts < this.most && this.#bytes + bytes <= mostBytes;
    if (!isWithin && this.#puts > 0) {
      this.#waiters.push(waiter);
      return false;
    }
    this.#puts++;
    this.#bytes += bytes;
    return true;
  }

  /** A put of this number of bytes is answered. */
  give(bytes: number): void {
    this.#puts--;
    this.#bytes -= bytes;
    for (let n = this.#waiters.size; n > 0 && this.#puts < this.most; n--) {
      this.#waiters.shift()?.mayPut();
    }
  }
}

/** The bytes of puts that are sent before the home has answered. */
const mostBytes = 1 << 24;
