import { late, longestTimer } from "../../shared/timers.ts";
import type { ProcessRef } from "./process_ref.ts";
import { RuntimeTimer } from "./runtime_timer.ts";

/**
 * The operations that wait for a connection, each with a deadline of `timeout` ms after it was added. They keep the
 * process alive.
 *
 * Invariant: the operations are in the order in which they were added, so the first one expires first.
 */
export class Deadlines<T extends object> {
  readonly #timeout: number;
  readonly #processRef: ProcessRef;
  readonly #expired: (one: T) => void;
  /** Each with the time when it was added. */
  readonly #waiting = new Map<T, number>();
  #timer: RuntimeTimer | undefined;

  /** @param expired called with each operation whose deadline has passed */
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

  /** Reports whether it waited. */
  delete(one: T): boolean {
    const hasWaited = this.#waiting.delete(one);
    if (hasWaited) this.#unref(1);
    return hasWaited;
  }

  /** Removes and returns all. */
  takeAll(): T[] {
    const all = [...this.#waiting.keys()];
    this.#waiting.clear();
    this.#unref(all.length);
    return all;
  }

  /** Expires the operations whose deadline comes before the next attempt to connect, in `pause` ms. */
  expire(pause: number): void {
    this.#expireSince(performance.now() + pause - this.#timeout);
  }

  #expireSince(limit: number): void {
    for (const [one, since] of this.#waiting) {
      if (since > limit) break;
      this.#waiting.delete(one);
      this.#unref(1);
      this.#expired(one);
    }
  }

  #startTimer(): void {
    if (this.#timer !== undefined || this.#timeout === Infinity) return;
    const [oldest] = this.#waiting.values();
    if (oldest === undefined) return;
    const timeout = Math.max(this.#timeout, minTimeout);
    const rest = Math.max(oldest + timeout - performance.now(), 0);
    const ms = Math.min(Math.ceil(rest), longestTimer);
    const due = performance.now() + ms;
    const expire = () => {
      this.#timer = undefined;
      this.#expireSince(performance.now() - timeout);
      this.#startTimer();
    };
    this.#timer = new RuntimeTimer(() => {
      // The process has computed or was stopped, and could not connect meanwhile.
      if (performance.now() - due > late) this.#timer = new RuntimeTimer(expire, minTimeout);
      else expire();
    }, ms);
  }

  #unref(count: number): void {
    for (; count > 0; count--) this.#processRef.unref();
    if (this.#waiting.size > 0) return;
    this.#timer?.stop();
    this.#timer = undefined;
  }
}

/** The shortest `timeout`, in milliseconds: an attempt to connect takes time. */
const minTimeout = 1000;
