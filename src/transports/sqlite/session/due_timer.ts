import { longestTimer, unref } from "../../../shared/timers.ts";
import type { Store } from "../file/store.ts";
import { backgroundTimeout, type TransactionQueue } from "../file/transaction_queue.ts";

/**
 * A timer that runs a transaction when the next delayed message is due, whichever session has put it. It does
 * not keep the process alive; consumers that wait do.
 */
export class DueTimer {
  readonly #store: Store;
  readonly #transactions: TransactionQueue;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isStopped = false;

  constructor(store: Store, transactions: TransactionQueue) {
    this.#store = store;
    this.#transactions = transactions;
  }

  /** Sets the timer anew, for the message that is due next. */
  update(): void {
    clearTimeout(this.#timer);
    if (this.#isStopped) return;
    try {
      const due = this.#store.delayed.nextDue();
      if (due === undefined) return;
      const wait = Math.min(Math.max(due - this.#store.clock.now(), 1), longestTimer);
      this.#timer = setTimeout(() => this.#fire(due), wait);
      unref(this.#timer);
    } catch (error) {
      this.#transactions.report(error); // the next round tries again
    }
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #fire(due: number): Promise<void> {
    const { clock, delayed } = this.#store;
    try {
      // Another session may have moved the message already.
      const isDue = due <= clock.now() && (delayed.nextDue() ?? Infinity) <= due;
      // Every transaction begins by moving the messages that are due.
      if (isDue) await this.#transactions.do(backgroundTimeout, () => {});
      this.update();
    } catch (error) {
      this.#transactions.report(error); // the next round tries again
    }
  }
}
