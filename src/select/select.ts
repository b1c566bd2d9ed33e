import { Operation, type OperationOptions, type Pending, waiting } from "../handle/operation.ts";
import { errorOfValue } from "../shared/error_copies.ts";
import { ChannelClosedError, ChannelConfigError, ChannelTimeoutError } from "../shared/errors.ts";
import { none, shown, Signature } from "../shared/options.ts";
import { reachTimeout } from "../shared/timeouts.ts";
import { now, Timer } from "../shared/timers.ts";
import {
  type ActiveCase,
  caseOf,
  type CaseSource,
  type GetCase,
  type PutCase,
  type RunningSelect,
  SelectCase,
} from "./case.ts";
import { activated } from "./active_cases.ts";

/**
 * The cases of a {@linkcode select}: an object or an array. A case may be in several selects, and a channel in several
 * cases. A case that is undefined is never ready, as a nil channel in Go.
 */
export type Cases =
  | { readonly [key: string]: GetCase | PutCase | CaseSource | undefined }
  | readonly (GetCase | PutCase | CaseSource | undefined)[];

/** The type of the value of a case; undefined for a put. */
export type CaseValue<C> = C extends GetCase<infer T> ? T
  : C extends CaseSource<infer T> ? T
  : undefined;

/** The result of a select in which the case with the key `K` was chosen. */
export type Happened<K, C> =
  | { readonly key: K; readonly value: CaseValue<NonNullable<C>>; readonly closed: false }
  | { readonly key: K; readonly value: undefined; readonly closed: true };

/** The result of a select with the cases `C`. Comparing `key` narrows the type of `value`. */
export type Selected<C> = C extends readonly unknown[]
  ? number extends C["length"] ? Happened<number, C[number]>
  : { [K in keyof C & `${number}`]: Happened<Index<K>, C[K]> }[keyof C & `${number}`]
  : { [K in keyof C]-?: Happened<K, C[K]> }[keyof C];

/** The number of an index of a tuple. */
export type Index<K> = K extends `${infer N extends number}` ? N : never;

const selectSignature: Signature = /* @__PURE__ */ new Signature(
  "select",
  2,
  waiting,
  "select({ jobs, results: results.putCase(42) }, { timeout: 1000 })",
);

/**
 * Waits until one of the cases is ready and runs it, as Go's `select`. If several cases are ready, one of them is
 * chosen at random, each with the same probability. The other cases get and put nothing: a value that has arrived for
 * one of them is back in its channel within 20 ms.
 *
 * A case whose channel is closed for everyone is ready; `closed` is then true. A put that is chosen resolves, and
 * fails, as {@linkcode Channel.put} does. The channels may be on different transports.
 *
 * All channels of a broker are asked at the same time: once they are attached, a select takes at most three
 * round-trips, and none if a value has already arrived.
 *
 * @param cases an object or an array of channels, `ch.getCase()`, `ch.putCase(value)`, `after(ms)` and `every(ms)`
 * @param options with `timeout: 0`, only a case that is ready now is chosen
 * @throws {ChannelTimeoutError} if no case was ready within `timeout` milliseconds
 * @throws {ChannelConnectionError} if one of the brokers is unreachable for `retryTimeout` milliseconds
 * @throws {ChannelClosedError} if one of the handles is closed in this process
 * @throws {ChannelConfigError} for an invalid case or option, and for a select that would never end
 * @throws any other error of {@linkcode Channel.put} or {@linkcode Channel.get}, for the chosen case and for a value
 * that cannot be encoded
 *
 * @example
 * ```ts
 * import { after, Channel, select } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * await using jobs = new Channel<number>();
 * await using quit = new Channel<string>();
 * await jobs.put(7);
 *
 * const chosen = await select({ jobs, quit, late: after(1000) });
 * if (chosen.key === "jobs" && !chosen.closed) {
 *   const n: number = chosen.value; // the key narrows the type
 *   equal(n, 7);
 * }
 * ```
 */
export async function select<const C extends Cases>(
  cases: C,
  options: OperationOptions = none,
): Promise<Selected<C>> {
  selectSignature.check(options, arguments.length);
  checkCases("select", cases);
  checkEnd(cases, options);
  const isWaiting = options.timeout !== 0;
  const result = await Selection.start("select", cases, options, isWaiting);
  if (result === undefined) throw new ChannelTimeoutError("select: no case is ready now");
  return result as Selected<C>;
}

const trySelectSignature: Signature = /* @__PURE__ */ new Signature(
  "trySelect",
  2,
  waiting,
  "trySelect({ jobs, results: results.putCase(42) })",
);

/**
 * Runs one of the cases that are ready now, as Go's `select` with a `default`. Resolves with undefined if none is
 * ready.
 *
 * @param cases as for {@linkcode select}
 * @param options `timeout` is the time in milliseconds for which the brokers' answers are awaited; default 1,000
 * @throws any error of {@linkcode select}
 *
 * @example
 * ```ts
 * import { Channel, trySelect } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * await using a = new Channel<string>();
 * await using b = new Channel<string>();
 * equal(await trySelect([a, b]), undefined);
 *
 * await b.put("foo");
 * equal((await trySelect([a, b]))?.key, 1);
 * ```
 */
export async function trySelect<const C extends Cases>(
  cases: C,
  options: OperationOptions = none,
): Promise<Selected<C> | undefined> {
  trySelectSignature.check(options, arguments.length);
  checkCases("trySelect", cases);
  return await Selection.start("trySelect", cases, options, false) as Selected<C> | undefined;
}

/** Refuses a single case, and any other value that does not hold cases. */
function checkCases(action: string, cases: unknown): void {
  const isSingle = cases instanceof SelectCase ||
    typeof (cases as CaseSource | null)?.getCase === "function";
  const isList = typeof cases === "object" && cases !== null && Symbol.iterator in cases;
  if (!isSingle && typeof cases === "object" && cases !== null && Array.isArray(cases) === isList) {
    return;
  }
  const got = isSingle ? "a single one" : shown(cases);
  throw new ChannelConfigError(
    `${action}: the cases must be an object or an array, not ${got}; write ${action}([ch]), or ` +
      `${action}({ ch })`,
  );
}

/** Refuses a select that would never end. */
function checkEnd(cases: Cases, { timeout = Infinity, signal }: OperationOptions): void {
  if (timeout < Infinity || signal !== undefined) return;
  if (Object.values(cases).some((one) => one !== undefined)) return;
  throw new ChannelConfigError(
    "select: there is no case, no timeout and no signal, so the select would never end; add one of them",
  );
}

/** The result of a select with any cases. */
interface Result {
  readonly key: string | number;
  readonly value: unknown;
  readonly closed: boolean;
}

/**
 * One select. Its cases are in a random order, and the first one that is ready is chosen, so that the choice is fair. A
 * case that is ready waits while the state of an earlier one is unknown, but for `longestUnknown` milliseconds at most:
 * the brokers are asked at the same time, so their answers arrive together.
 *
 * Invariants: one case is chosen at most, and then all others are withdrawn. Every case before `#first` has reported
 * that it is not ready. No case up to and including `#first` is ready.
 */
class Selection implements RunningSelect {
  readonly action: string;
  readonly isWaiting: boolean;
  readonly #cases: ActiveCase[];
  readonly #places = new Map<ActiveCase, { readonly key: string | number; place: number }>();
  readonly #operation: Operation<Result | undefined>;
  /** The state of each case. */
  readonly #states: ("unknown" | "not ready" | "ready")[];
  #first = 0;
  /** How often the cases were watched. */
  #rounds = 0;
  #chosen: ActiveCase | undefined;
  /** Runs while a case is ready and the state of an earlier one is unknown. */
  #unknownTimer: Timer | undefined;

  /** @param isWaiting whether to wait until a case is ready; otherwise resolves with undefined if none is */
  static async start(
    action: string,
    cases: Cases,
    options: OperationOptions,
    isWaiting: boolean,
  ): Promise<Result | undefined> {
    options.signal?.throwIfAborted();
    const timeout = isWaiting ? options.timeout : options.timeout || reachTimeout;
    const bounded = timeout === undefined ? options : { ...options, timeout };
    return await new Selection(action, cases, bounded, isWaiting).#run();
  }

  private constructor(
    action: string,
    cases: Cases,
    options: OperationOptions,
    isWaiting: boolean,
  ) {
    this.action = action;
    const isArray = Array.isArray(cases);
    for (const [name, named] of Object.entries(cases)) {
      if (named === undefined) continue;
      const key = isArray ? Number(name) : name;
      this.#places.set(this.#activate(caseOf(action, name, named)), { key, place: 0 });
    }
    this.#cases = shuffle([...this.#places.keys()]);
    this.#cases.forEach((each, place) => this.#places.get(each)!.place = place);
    this.#states = this.#cases.map(() => "unknown");
    this.isWaiting = isWaiting;
    const timedOut = () => this.#timeoutError(options);
    const call = { action, owner: cases, pending: new Set<Pending>(), timedOut };
    const { timeout = Infinity } = options;
    this.#operation = new Operation(call, isWaiting ? options : { ...options, timeout: Infinity });
    if (!isWaiting) this.#operation.limit(timeout, timedOut);
    this.#operation.onGiveUp = (reason, isOurs) => {
      this.#withdrawOthers();
      this.#chosen?.giveUp?.(reason, isOurs);
    };
  }

  #activate(named: SelectCase): ActiveCase {
    try {
      return activated(named, this);
    } catch (error) {
      throw errorOfValue(this.action, error);
    }
  }

  ready(active: ActiveCase): void {
    if (this.#isDecided) return active.withdraw();
    const { place } = this.#places.get(active)!;
    if (place <= this.#first) return this.#choose(active);
    this.#states[place] = "ready";
    this.#unknownTimer ??= new Timer(now() + longestUnknown, () => this.#chooseAnyReady());
  }

  notReady(active: ActiveCase): void {
    if (this.#isDecided) return;
    this.#states[this.#places.get(active)!.place] = "not ready";
    while (this.#states[this.#first] === "not ready") this.#first++;
    if (this.#states[this.#first] === "ready") this.#choose(this.#cases[this.#first]!);
    else this.#endIfNoneReady();
  }

  retry(active: ActiveCase): void {
    if (this.#chosen !== active || this.#operation.settled) return;
    this.#chosen = undefined;
    this.#first = 0;
    this.#states.fill("unknown");
    this.#watch();
  }

  done(active: ActiveCase, value: unknown): void {
    const { key } = this.#places.get(active)!;
    this.#operation.resolve({ key, value, closed: false });
  }

  fail(active: ActiveCase, error: unknown): void {
    if (this.#chosen !== active && this.#isDecided) return;
    this.#setChosen(active);
    active.withdraw();
    if (!isClosedForEveryone(error)) return this.#operation.reject(error);
    const { key } = this.#places.get(active)!;
    this.#operation.resolve({ key, value: undefined, closed: true });
  }

  get #isDecided(): boolean {
    return this.#chosen !== undefined || this.#operation.settled;
  }

  #run(): Promise<Result | undefined> {
    this.#watch();
    return this.#operation.promise;
  }

  #watch(): void {
    const round = ++this.#rounds;
    for (const each of this.#cases) {
      // A put that finds a full channel at once begins the next round.
      if (!this.#isDecided && round === this.#rounds) each.watch();
    }
    this.#endIfNoneReady();
  }

  /** Ends a select that does not wait, when no case is ready. */
  #endIfNoneReady(): void {
    if (this.isWaiting || this.#isDecided || this.#first < this.#cases.length) return;
    this.#withdrawOthers();
    this.#operation.resolve(undefined);
  }

  #choose(active: ActiveCase): void {
    if (!active.isReady) { // another select has taken the tick
      this.notReady(active);
      return active.watch();
    }
    this.#setChosen(active);
    active.run();
  }

  /** Chooses the first case that is ready, although the state of an earlier one is unknown. */
  #chooseAnyReady(): void {
    this.#unknownTimer = undefined;
    const place = this.#states.indexOf("ready");
    if (place >= 0) this.#choose(this.#cases[place]!);
  }

  #setChosen(active: ActiveCase): void {
    this.#chosen = active;
    this.#withdrawOthers();
  }

  /** Withdraws all cases except the chosen one. */
  #withdrawOthers(): void {
    this.#unknownTimer?.stop();
    this.#unknownTimer = undefined;
    for (const each of this.#cases) {
      if (each !== this.#chosen) each.withdraw();
    }
  }

  /** Returns the error for a timeout. An unreachable broker, or a value that was sent, has an error of its own. */
  #timeoutError(options: OperationOptions): unknown {
    const isUndecided = (_: ActiveCase, place: number) =>
      this.isWaiting || this.#states[place] === "unknown";
    const cases = this.#chosen === undefined ? this.#cases.filter(isUndecided) : [this.#chosen];
    for (const each of cases) {
      const error = each.timeoutError(options);
      if (error !== undefined) return error;
    }
    return new ChannelTimeoutError(
      `${this.action}: no case was ready within ${options.timeout} ms`,
    );
  }
}

/**
 * Milliseconds. A value that waits for this time and is then released is back in its channel within the 20 ms that a
 * channel promises, including the time for the way back.
 */
const longestUnknown = 10;

/** Reports whether the channel is closed for everyone, and the value of a put surely has not arrived. */
function isClosedForEveryone(error: unknown): boolean {
  return error instanceof ChannelClosedError && error.reason !== "close" &&
    error.messageId === undefined;
}

/** Returns the elements in a random order; all orders are equally likely (Knuth, TAOCP 3.4.2, algorithm P). */
function shuffle<T>(elements: readonly T[]): T[] {
  const shuffled = [...elements];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
  }
  return shuffled;
}
