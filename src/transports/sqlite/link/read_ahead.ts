import { unref } from "../../../shared/timers.ts";
import { isHolding } from "../../../shared/turns.ts";
import { byOrder } from "../file/messages.ts";
import type { SqliteLoan } from "./loan.ts";
import { maxIdleTime } from "../../read_ahead_size.ts";

/** The messages that a link holds and no consumer has got, in the channel's order. They must not stay for long. */
export class ReadAhead implements Iterable<SqliteLoan> {
  #loans: SqliteLoan[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #onOverdue: () => void;

  /** @param onOverdue called when messages are overdue, and again until they are removed */
  constructor(onOverdue: () => void) {
    this.#onOverdue = onOverdue;
  }

  get size(): number {
    return this.#loans.length;
  }

  get first(): SqliteLoan | undefined {
    return this.#loans[0];
  }

  [Symbol.iterator](): Iterator<SqliteLoan> {
    return this.#loans[Symbol.iterator]();
  }

  /** Inserts a message at its place, usually the end. */
  add(loan: SqliteLoan): void {
    let i = this.#loans.length;
    while (i > 0 && byOrder(this.#loans[i - 1]!, loan) > 0) i--;
    this.#loans.splice(i, 0, loan);
  }

  shift(): SqliteLoan | undefined {
    return this.#loans.shift();
  }

  remove(loans: readonly SqliteLoan[]): void {
    if (loans.length === 0) return;
    const removed = new Set(loans);
    this.#loans = this.#loans.filter((loan) => !removed.has(loan));
  }

  /**
   * The messages to return: all, if one has stayed for too long, because a younger one must not be got before it.
   * None while operations wait for a turn of the event loop: a consumer that was served could not ask for more.
   */
  get overdue(): SqliteLoan[] {
    if (isHolding()) return [];
    const limit = performance.now() - maxIdleTime;
    return this.#loans.some(({ since }) => since <= limit) ? [...this.#loans] : [];
  }

  /** Sets the timer for the oldest message, unless it is set. */
  setTimer(): void {
    const oldest = this.#loans[0];
    if (oldest === undefined || this.#timer !== undefined) return;
    const wait = oldest.since + maxIdleTime - performance.now();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#loans.length > 0) this.#onOverdue();
      this.setTimer();
    }, Math.max(wait, 1));
    unref(this.#timer);
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#loans = [];
  }
}
