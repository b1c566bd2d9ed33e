/** Lets the process exit although the timer is pending, where the runtime has processes. */
export function unref(timer: ReturnType<typeof setTimeout>): void {
  // Node and Bun return an object, Deno a number or an object, browsers a number.
  if (typeof timer === "object") (timer as { unref?(): void }).unref?.();
  else (globalThis as { Deno?: { unrefTimer?(id: number): void } }).Deno?.unrefTimer?.(timer);
}

/** How far timers have been moved ahead of the runtime's clock, by whoever has put others in their place. */
let ahead = 0;

/**
 * The time in milliseconds, for deadlines: `performance.now()`, but never behind a timer that has fired. So a
 * deadline is over when its timer says so, also where a test moves the timers and not the clock, as `mock.timers`
 * of `node:test` does.
 */
export function now(): number {
  return performance.now() + ahead;
}

/** Longer timers fire at once, in every runtime. */
const longestTimer = 2 ** 31 - 1;

/** A timer for any time, however far away. It is a millisecond early at most, as runtimes' own are. */
export class Alarm {
  readonly #deadline: number;
  readonly #ring: () => void;
  readonly #keepsAlive: boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param deadline as {@linkcode now} counts
   * @param keepsAlive whether the process goes on until it rings
   */
  constructor(deadline: number, ring: () => void, keepsAlive = true) {
    this.#deadline = deadline;
    this.#ring = ring;
    this.#keepsAlive = keepsAlive;
    this.#wait(now());
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wait(since: number): void {
    // Rounded up, as runtimes leave out what is behind the point.
    const wait = Math.min(Math.max(Math.ceil(this.#deadline - since), 0), longestTimer);
    const due = Math.min(this.#deadline, since + wait);
    const timer = this.#timer = setTimeout(() => {
      if (this.#timer !== timer) return; // stopped by the clearTimeout of a test
      const early = due - now();
      if (early >= 1) ahead += early; // no runtime's timer is
      if (due < this.#deadline) this.#wait(now());
      else this.#ring();
    }, wait);
    if (!this.#keepsAlive) unref(timer);
  }
}
