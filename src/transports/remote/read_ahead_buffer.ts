import { Fifo } from "../../shared/fifo.ts";
import { unref } from "../../shared/timers.ts";
import { isHolding } from "../../shared/turns.ts";
import { maxIdleTime } from "../read_ahead_size.ts";

/** A message that has arrived. */
export interface Arrived {
  /** When it arrived, in ms of `performance.now()`. */
  readonly arrived: number;
}

/**
 * The messages that a link has read ahead. A message that is not claimed for `maxIdleTime` goes back, and so do all younger ones.
 *
 * Invariants: the messages are in the order of the channel. While there are any, a timer runs.
 */
export class ReadAheadBuffer<L extends Arrived> {
  readonly #giveBack: (loan: L) => void;
  readonly #onIdle: () => void;
  readonly #loans: Fifo<L> = new Fifo();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param giveBack returns a message that nobody has had to its place
   * @param onIdle gives all back, since nobody claims the oldest; it must call `giveBack` of the buffer
   */
  constructor(giveBack: (loan: L) => void, onIdle: () => void = () => this.giveBack()) {
    this.#giveBack = giveBack;
    this.#onIdle = onIdle;
  }

  get size(): number {
    return this.#loans.size;
  }

  push(loan: L): void {
    this.#loans.push(loan);
    this.#startTimer();
  }

  /** Removes and returns the oldest message; undefined if there is none. */
  shift(): L | undefined {
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
      else this.#onIdle();
    }, ms);
    unref(this.#timer);
  }
}
