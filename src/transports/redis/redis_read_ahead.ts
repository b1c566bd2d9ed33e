import { Fifo } from "../../shared/fifo.ts";
import { unref } from "../../shared/timers.ts";
import { isHolding } from "../../shared/turns.ts";
import { maxIdleTime } from "../read_ahead_size.ts";
import type { RedisLoan } from "./loan.ts";

/**
 * The messages that a link has read ahead. A message that is not claimed for `maxIdleTime` goes back, and so do all younger ones.
 *
 * Invariants: the messages are in the order of the channel. While there are any, a timer runs.
 */
export class RedisReadAhead {
  readonly #giveBack: (loan: RedisLoan) => void;
  readonly #loans: Fifo<RedisLoan> = new Fifo();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param giveBack returns a message that nobody has had to its place */
  constructor(giveBack: (loan: RedisLoan) => void) {
    this.#giveBack = giveBack;
  }

  get size(): number {
    return this.#loans.size;
  }

  push(loan: RedisLoan): void {
    this.#loans.push(loan);
    this.#startTimer();
  }

  /** Removes and returns the oldest message; undefined if there is none. */
  shift(): RedisLoan | undefined {
    return this.#loans.shift();
  }

  /** Gives all back. */
  giveBack(): void {
    for (const loan of this.#loans.takeAll()) this.#giveBack(loan);
  }

  /** Forgets all: the connection is lost. */
  end(): void {
    this.#loans.takeAll();
    clearTimeout(this.#timer);
  }

  #startTimer(ms = maxIdleTime): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const oldest = this.#loans.peek();
      if (oldest === undefined) return;
      // Until the event loop turns, nobody can use anything.
      const rest = isHolding() ? 1 : oldest.arrived + maxIdleTime - performance.now();
      if (rest > 0) this.#startTimer(Math.ceil(rest));
      else this.giveBack();
    }, ms);
    unref(this.#timer);
  }
}
