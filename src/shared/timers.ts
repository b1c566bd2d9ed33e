import { isRequestBound } from "./request_bound.ts";

/** The longest time of a runtime's timer, in milliseconds. A longer timer fires at once, in every runtime. */
export const longestTimer: number = 2 ** 31 - 1;

/** The longest delay and expiry of a message, in milliseconds, which is the longest that RabbitMQ accepts: 49 days. */
export const longestTerm: number = 2 ** 32 - 1;

/** Lets the process exit although the timer is pending, where the runtime has processes. */
export function unref(timer: ReturnType<typeof setTimeout>): void {
  // Node and Bun return an object, Deno a number or an object, browsers a number.
  if (typeof timer === "object") (timer as { unref?(): void }).unref?.();
  else (globalThis as { Deno?: { unrefTimer?(id: number): void } }).Deno?.unrefTimer?.(timer);
}

/**
 * Sets a timer that no operation needs. On workerd it is not set outside of a request, as in the callback of a
 * `FinalizationRegistry`, because timers are refused there.
 */
export function setOptionalTimeout(
  fire: () => void,
  ms: number,
): ReturnType<typeof setTimeout> | undefined {
  if (!isRequestBound) return setTimeout(fire, ms);
  try {
    return setTimeout(fire, ms);
  } catch {
    return undefined;
  }
}

/** How far a test has moved the timers ahead of the runtime's clock, in milliseconds. */
let ahead = 0;

/**
 * Returns the time in milliseconds, for deadlines. It is `performance.now()`, but never behind a timer that has fired:
 * a deadline has passed when its timer fires, even if a test moves the timers and not the clock, as `mock.timers` of
 * `node:test` does.
 */
export function now(): number {
  return performance.now() + ahead;
}

/** Milliseconds. A timer that is so late has waited for a process that computed or was stopped. */
export const late = 50;

/** Milliseconds in which a runtime reads what has arrived, and a busy machine answers. */
const readTime = 1000;

/** The function of this moment: a program's tests may replace it later. */
const realTimeout: (call: () => void, ms: number) => ReturnType<typeof setTimeout> = setTimeout;

/** The options of a {@linkcode Timer}. */
export interface TimerOptions {
  /** Whether the process stays alive until the timer fires; by default it does. */
  readonly keepsAlive?: boolean;
  /**
   * Whether a timer that is late, because the process computed or was stopped, fires only when what has arrived
   * meanwhile is read. Runtimes call timers first.
   */
  readonly readsFirst?: boolean;
}

/** A timer for any time, however far away. Like a runtime's own timers, it fires at most one millisecond early. */
export class Timer {
  readonly #deadline: number;
  readonly #fire: () => void;
  readonly #options: TimerOptions;
  #timeout: ReturnType<typeof setTimeout> | undefined;

  /** @param deadline a time of {@linkcode now} */
  constructor(deadline: number, fire: () => void, options: TimerOptions = {}) {
    this.#deadline = deadline;
    this.#fire = fire;
    this.#options = options;
    this.#start(now());
  }

  stop(): void {
    clearTimeout(this.#timeout);
    this.#timeout = undefined;
  }

  #start(time: number): void {
    // Runtimes truncate the delay to an integer.
    const delay = Math.min(Math.max(Math.ceil(this.#deadline - time), 0), longestTimer);
    const due = Math.min(this.#deadline, time + delay);
    this.#set(setTimeout, delay, () => {
      const early = due - now();
      if (early >= 1) ahead += early; // a test has moved the timers: no runtime's timer is so early
      if (due < this.#deadline) this.#start(now());
      else if (this.#options.readsFirst && early < -late) {
        this.#set(realTimeout, readTime, this.#fire);
      } else this.#fire();
    });
  }

  #set(set: typeof realTimeout, ms: number, call: () => void): void {
    const timeout = this.#timeout = set(() => {
      if (this.#timeout === timeout) call(); // otherwise a test's clearTimeout did not stop it
    }, ms);
    if (this.#options.keepsAlive === false) unref(timeout);
  }
}
