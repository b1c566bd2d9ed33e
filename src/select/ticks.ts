import { Case, type CaseSource, type Choice, type GetCase, type Part } from "./case.ts";
import { Iteration, left } from "../handle/iteration.ts";
import { Operation, type Pending } from "../handle/operation.ts";
import { now, Timer } from "../shared/timers.ts";
import { checkArgument, milliseconds, none, Signature } from "../shared/options.ts";
import { select } from "./select.ts";

const afterSignature: Signature = new Signature("after", 1, {}, "after(1000)");
const everySignature: Signature = new Signature("every", 1, {}, "every(1000)");

/**
 * Times to receive, from {@linkcode after} and {@linkcode every}: in selects, or by iteration. One that
 * nobody waits for costs nothing, and keeps no process alive.
 *
 * Disposing it ends its iterations; in selects it never happens again.
 *
 * @example
 * ```ts
 * import { every } from "@channelts/channel";
 * import { ok } from "node:assert/strict";
 *
 * await using ticks = every(10);
 * for await (const time of ticks) {
 *   ok(time instanceof Date);
 *   break;
 * }
 * ```
 */
export interface Ticks extends CaseSource<Date>, AsyncIterable<Date>, AsyncDisposable {}

/**
 * The time in `ms` milliseconds, once: Go's `time.After`. It counts from this call on.
 *
 * @param ms milliseconds, 0 or more
 * @throws {ChannelConfigError} for anything else
 *
 * @example
 * ```ts
 * import { after, Channel, select } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * await using jobs = new Channel<string>();
 * equal((await select({ jobs, late: after(10) })).key, "late");
 * ```
 */
export function after(ms: number): Ticks {
  afterSignature.check(none, arguments.length);
  checkArgument("after", "ms", milliseconds(), ms);
  return new Clock(now() + ms, undefined);
}

/**
 * The time every `ms` milliseconds: Go's `time.Tick`. Whoever is late receives one tick for all those
 * that were missed; the others stay where they would have been.
 *
 * @param ms milliseconds, 1 or more
 * @throws {ChannelConfigError} for anything else
 *
 * @example
 * ```ts
 * import { after, every, select } from "@channelts/channel";
 *
 * await using tick = every(10);
 * const end = after(35);
 * let ticks = 0;
 * while ((await select({ tick, end })).key === "tick") ticks++;
 * console.log(ticks); // 3
 * ```
 */
export function every(ms: number): Ticks {
  everySignature.check(none, arguments.length);
  checkArgument("every", "ms", milliseconds(1), ms);
  return new Clock(now() + ms, ms);
}

/** Invariant: `#next` is when the next tick is due, or was; nobody receives it twice. */
class Clock implements Ticks {
  readonly #interval: number | undefined;
  #next: number;
  #isEnded = false;
  /** The iterations that wait. */
  readonly #waiting = new Set<Pending>();

  /** @param interval undefined: there is one tick only */
  constructor(next: number, interval: number | undefined) {
    this.#next = next;
    this.#interval = interval;
  }

  /** When the next tick is due, as `now()` counts. */
  get next(): number {
    return this.#isEnded ? Infinity : this.#next;
  }

  get isDue(): boolean {
    return this.next <= now();
  }

  /** Takes the tick that is due. */
  take(): Date {
    const late = now() - this.#next;
    if (this.#interval === undefined) this.#next = Infinity;
    else this.#next += this.#interval * (Math.floor(late / this.#interval) + 1);
    return new Date();
  }

  getCase(): GetCase<Date> {
    return new Tick(this);
  }

  [Symbol.asyncIterator](): AsyncIterator<Date> {
    return new Iteration(() => this.#begin());
  }

  /** Waits for the next tick, until it is given up. */
  #begin(): Operation<Date> {
    const call = { action: "next", owner: this, pending: this.#waiting, timedOut: () => undefined };
    const tick = new Operation<Date>(call, none);
    if (this.next === Infinity) {
      tick.giveUp(left);
      return tick;
    }
    const givenUp = new AbortController();
    tick.onGiveUp = () => givenUp.abort();
    select([this], { signal: givenUp.signal }).then(
      ({ value }) => tick.resolve(value as Date),
      (error) => tick.reject(error),
    );
    return tick;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    for (const tick of this.#waiting) tick.giveUp(left);
    return Promise.resolve();
  }
}

/** The case of a clock. */
class Tick extends Case implements GetCase<Date> {
  readonly operation = "get";
  readonly #clock: Clock;

  constructor(clock: Clock) {
    super();
    this.#clock = clock;
  }

  part(choice: Choice): Part {
    return new TickPart(this.#clock, choice);
  }
}

class TickPart implements Part {
  readonly #clock: Clock;
  readonly #choice: Choice;
  #timer: Timer | undefined;

  constructor(clock: Clock, choice: Choice) {
    this.#clock = clock;
    this.#choice = choice;
  }

  get isReady(): boolean {
    return this.#clock.isDue;
  }

  wait(): void {
    if (this.isReady) return this.#choice.ready(this);
    const { next } = this.#clock;
    if (next !== Infinity) this.#timer = new Timer(next, () => this.wait());
    this.#choice.waiting(this);
  }

  take(): void {
    this.#choice.done(this, this.#clock.take());
  }

  leave(): void {
    this.#timer?.stop();
  }

  late(): undefined {}
}
