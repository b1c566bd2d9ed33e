import { Iteration, left } from "../handle/iteration.ts";
import { Operation, type Pending } from "../handle/operation.ts";
import { checkArgument, milliseconds, none, Signature } from "../shared/options.ts";
import { now, Timer } from "../shared/timers.ts";
import {
  type ActiveCase,
  type CaseSource,
  type GetCase,
  type RunningSelect,
  SelectCase,
} from "./case.ts";
import { select } from "./select.ts";

/**
 * The ticks of {@linkcode after} and {@linkcode every}, for `select` and for `for await`. While no program waits for a
 * tick, no timer runs and no process is kept alive.
 *
 * Disposing the object ends its iterations; in selects it is never ready again.
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

const afterSignature: Signature = /* @__PURE__ */ new Signature("after", 1, {}, "after(1000)");

/**
 * Returns an object with one tick, the current time `ms` milliseconds after this call: Go's `time.After`.
 *
 * @param ms milliseconds, 0 or more
 * @throws {ChannelConfigError} for any other value
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
  return new Ticker(now() + ms, undefined);
}

const everySignature: Signature = /* @__PURE__ */ new Signature("every", 1, {}, "every(1000)");

/**
 * Returns an object with a tick, the current time, every `ms` milliseconds: Go's `time.Tick`. A consumer that is late
 * receives one tick for all that it has missed; later ticks are not moved.
 *
 * @param ms milliseconds, 1 or more
 * @throws {ChannelConfigError} for any other value
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
  return new Ticker(now() + ms, ms);
}

/** Invariant: `#next` is the time of the next tick that no consumer has received. */
class Ticker implements Ticks {
  readonly #interval: number | undefined;
  #next: number;
  #isDisposed = false;
  /** The pending operations of the iterations. */
  readonly #pending = new Set<Pending>();

  /** @param interval milliseconds; undefined for a single tick */
  constructor(next: number, interval: number | undefined) {
    this.#next = next;
    this.#interval = interval;
  }

  /** The time of the next tick, as `now()` counts. */
  get next(): number {
    return this.#isDisposed ? Infinity : this.#next;
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
    return new TickCase(this);
  }

  [Symbol.asyncIterator](): AsyncIterator<Date> {
    return new Iteration(() => this.#begin());
  }

  /** Begins an operation that waits for the next tick. */
  #begin(): Operation<Date> {
    const call = { action: "next", owner: this, pending: this.#pending, timedOut: () => undefined };
    const tick = new Operation<Date>(call, none);
    if (this.next === Infinity) {
      tick.giveUp(left);
      return tick;
    }
    const givingUp = new AbortController();
    tick.onGiveUp = () => givingUp.abort();
    select([this], { signal: givingUp.signal }).then(
      ({ value }) => tick.resolve(value as Date),
      (error) => tick.reject(error),
    );
    return tick;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    for (const tick of this.#pending) tick.giveUp(left);
    return Promise.resolve();
  }
}

class TickCase extends SelectCase implements GetCase<Date> {
  readonly operation = "get";
  readonly #ticker: Ticker;

  constructor(ticker: Ticker) {
    super();
    this.#ticker = ticker;
  }

  override activate(select: RunningSelect): ActiveCase {
    return new ActiveTick(this.#ticker, select);
  }
}

/** A tick in one select. */
class ActiveTick implements ActiveCase {
  readonly #ticker: Ticker;
  readonly #select: RunningSelect;
  #timer: Timer | undefined;

  constructor(ticker: Ticker, select: RunningSelect) {
    this.#ticker = ticker;
    this.#select = select;
  }

  get isReady(): boolean {
    return this.#ticker.isDue;
  }

  watch(): void {
    if (this.isReady) return this.#select.ready(this);
    const { next } = this.#ticker;
    if (next !== Infinity) this.#timer = new Timer(next, () => this.watch());
    this.#select.notReady(this);
  }

  run(): void {
    this.#select.done(this, this.#ticker.take());
  }

  withdraw(): void {
    this.#timer?.stop();
  }

  timeoutError(): undefined {}
}
