/** Lets the process exit although the timer is pending, where the runtime has processes. */
export function unref(timer: ReturnType<typeof setTimeout>): void {
  // Node and Bun return an object, Deno a number or an object, browsers a number.
  if (typeof timer === "object") (timer as { unref?(): void }).unref?.();
  else (globalThis as { Deno?: { unrefTimer?(id: number): void } }).Deno?.unrefTimer?.(timer);
}

/** Longer timers fire at once, in every runtime. */
const longestTimer = 2 ** 31 - 1;

/** A timer for any time: however far away, and never early, as runtimes' own may be. */
export class Alarm {
  readonly #deadline: number;
  readonly #ring: () => void;
  readonly #keepsAlive: boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param deadline as `performance.now()` counts
   * @param keepsAlive whether the process goes on until it rings
   */
  constructor(deadline: number, ring: () => void, keepsAlive = true) {
    this.#deadline = deadline;
    this.#ring = ring;
    this.#keepsAlive = keepsAlive;
    this.#wait();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #wait(): void {
    const wait = Math.min(Math.max(this.#deadline - performance.now(), 0), longestTimer);
    this.#timer = setTimeout(() => {
      if (this.#deadline - performance.now() >= 1) this.#wait();
      else this.#ring();
    }, wait);
    if (!this.#keepsAlive) unref(this.#timer);
  }
}
