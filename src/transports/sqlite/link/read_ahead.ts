import { unref } from "../../../shared/timers.ts";
import { isHolding } from "../../../shared/turns.ts";
import type { SqliteLoan } from "./loan.ts";
import { patience } from "./read_ahead_size.ts";
import { byTurn } from "../file/store.ts";

/** Messages that are here and nobody's, in the channel's order; they must not lie here for long. */
export class Shelf implements Iterable<SqliteLoan> {
  #loans: SqliteLoan[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #overdue: () => void;

  /** @param overdue called when some have been here for too long, and again until they are removed */
  constructor(overdue: () => void) {
    this.#overdue = overdue;
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

  /** Adds one at its place, mostly the end. */
  add(loan: SqliteLoan): void {
    let i = this.#loans.length;
    while (i > 0 && byTurn(this.#loans[i - 1]!, loan) > 0) i--;
    this.#loans.splice(i, 0, loan);
  }

  shift(): SqliteLoan | undefined {
    return this.#loans.shift();
  }

  remove(loans: readonly SqliteLoan[]): void {
    if (loans.length === 0) return;
    const gone = new Set(loans);
    this.#loans = this.#loans.filter((loan) => !gone.has(loan));
  }

  /**
   * All, where one has been here for too long: the younger must not be got before it. None while operations wait for a
   * turn of the event loop, for who was served could not ask for more.
   */
  get overdue(): SqliteLoan[] {
    if (isHolding()) return [];
    const limit = performance.now() - patience;
    return this.#loans.some(({ since }) => since <= limit) ? [...this.#loans] : [];
  }

  /** Sees to it that what stays is told of in time. */
  watch(): void {
    const oldest = this.#loans[0];
    if (oldest === undefined || this.#timer !== undefined) return;
    const due = oldest.since + patience - performance.now();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#loans.length > 0) this.#overdue();
      this.watch();
    }, Math.max(due, 1));
    unref(this.#timer);
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#loans = [];
  }
}
