import { clearTimeout, setTimeout } from "node:timers";
import { longestTimer } from "../../../shared/timers.ts";
import type { ProcessRef } from "../connection/process_ref.ts";

/**
 * Who waits for a connection, each for `timeout` ms from when it was added. The process is held alive
 * meanwhile.
 *
 * Invariant: in the order of their coming, so the first is the first to lose patience.
 */
export class Deadlines<T extends object> {
  readonly #timeout: number;
  readonly #processRef: ProcessRef;
  readonly #expired: (one: T) => void;
  /** With the time of its coming. */
  readonly #waiting = new Map<T, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param expired told of each that has waited for `timeout` ms */
  constructor(timeout: number, processRef: ProcessRef, expired: (one: T) => void) {
    this.#timeout = timeout;
    this.#processRef = processRef;
    this.#expired = expired;
  }

  get size(): number {
    return this.#waiting.size;
  }

  add(one: T): void {
    this.#waiting.set(one, performance.now());
    this.#processRef.ref();
    this.#startTimer();
  }

  /** Whether it waited, and waits no longer. */
  delete(one: T): boolean {
    const waited = this.#waiting.delete(one);
    if (waited) this.#left(1);
    return waited;
  }

  /** Those who wait wait no longer. */
  takeAll(): T[] {
    const all = [...this.#waiting.keys()];
    this.#waiting.clear();
    this.#left(all.length);
    return all;
  }

  /** An attempt has failed, and the next is `pause` ms away: too late for some. */
  expire(pause: number): void {
    this.#expireSince(performance.now() + pause - this.#timeout);
  }

  #expireSince(limit: number): void {
    for (const [one, since] of this.#waiting) {
      if (since > limit) break;
      this.#waiting.delete(one);
      this.#left(1);
      this.#expired(one);
    }
  }

  #startTimer(): void {
    if (this.#timer !== undefined || this.#timeout === Infinity) return;
    const [oldest] = this.#waiting.values();
    if (oldest === undefined) return;
    // An attempt that is under way is given a moment at least.
    const patience = Math.max(this.#timeout, leastAttempt);
    const rest = Math.max(oldest + patience - performance.now(), 0);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#expireSince(performance.now() - patience);
      this.#startTimer();
    }, Math.min(Math.ceil(rest), longestTimer));
  }

  #left(count: number): void {
    for (; count > 0; count--) this.#processRef.unref();
    if (this.#waiting.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Milliseconds that an attempt is given at least. */
const leastAttempt = 1000;
