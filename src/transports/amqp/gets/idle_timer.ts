import { clearTimeout, setTimeout } from "node:timers";
import { isHolding } from "../../../shared/turns.ts";

/** Expires when something was not used for a time. It does not keep the process alive. */
export class IdleTimer {
  readonly #ms: number;
  readonly #unusedSince: () => number | undefined;
  readonly #onExpired: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the timer has expired. It is set to false by the first use after that. */
  isExpired = false;

  /**
   * @param ms milliseconds after the last use
   * @param unusedSince returns the time of the last use, or undefined if the timer is to end
   */
  constructor(ms: number, unusedSince: () => number | undefined, onExpired: () => void) {
    this.#ms = ms;
    this.#unusedSince = unusedSince;
    this.#onExpired = onExpired;
  }

  /** Starts the timer unless it runs. */
  start(ms: number = this.#ms): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#check();
    }, ms);
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #check(): void {
    const since = this.#unusedSince();
    if (since === undefined) return;
    if (isHolding()) return this.start(1); // until the event loop turns, nobody can use anything
    const rest = since + this.#ms - performance.now();
    if (rest > 0) return this.start(rest);
    this.isExpired = true;
    this.#onExpired();
  }
}
