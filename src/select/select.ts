import {
  Case,
  caseOf,
  type CaseSource,
  type Choice,
  type GetCase,
  type Part,
  type PutCase,
} from "./case.ts";
import { Operation, type OperationOptions, type Pending, waiting } from "../handle/operation.ts";
import { errorOfValue } from "../shared/error_copies.ts";
import { ChannelClosedError, ChannelConfigError, ChannelTimeoutError } from "../shared/errors.ts";
import { reachTimeout } from "../shared/timeouts.ts";
import { now, Timer } from "../shared/timers.ts";
import { none, shown, Signature } from "../shared/options.ts";

const selectSignature: Signature = new Signature(
  "select",
  2,
  waiting,
  "select({ jobs, results: results.putCase(42) }, { timeout: 1000 })",
);
const trySelectSignature: Signature = new Signature(
  "trySelect",
  2,
  waiting,
  "trySelect({ jobs, results: results.putCase(42) })",
);

/**
 * What {@linkcode select} chooses from, by keys or as an array. A case may be in several selects, and one
 * channel in several cases; undefined never happens, as with Go's nil channels.
 */
export type Cases =
  | { readonly [key: string]: GetCase | PutCase | CaseSource | undefined }
  | readonly (GetCase | PutCase | CaseSource | undefined)[];

/** What a case brings: what it gets; undefined for a put. */
export type CaseValue<C> = C extends GetCase<infer T> ? T
  : C extends CaseSource<infer T> ? T
  : undefined;

/** What has happened, where it is this case. */
export type Happened<K, C> =
  | { readonly key: K; readonly value: CaseValue<NonNullable<C>>; readonly closed: false }
  | { readonly key: K; readonly value: undefined; readonly closed: true };

/** What has happened in a select of these cases: comparing `key` tells what `value` is. */
export type Selected<C> = C extends readonly unknown[]
  ? number extends C["length"] ? Happened<number, C[number]>
  : { [K in keyof C & `${number}`]: Happened<Index<K>, C[K]> }[keyof C & `${number}`]
  : { [K in keyof C]-?: Happened<K, C[K]> }[keyof C];

/** The number that a tuple's key is. */
export type Index<K> = K extends `${infer N extends number}` ? N : never;

/**
 * Go's `select`: waits until one of the cases can happen, and has that one happen, and no other. Where
 * several can, chance decides, with the same chance for each. No other case takes or puts anything:
 * what has reached its get goes back within 20 ms.
 *
 * A case whose channel is closed for everyone can happen: `closed` is true then. A chosen put resolves
 * when the transport has taken the value, as a put does, and where it is given up before that, the
 * error says the same as a put's. Channels of several transports may be mixed.
 *
 * The channels of one broker are asked all at once: a select costs at most three of its round-trips
 * after the channels are attached, however many they are, and none where a value is here already.
 *
 * @param cases `ch.getCase()`, `ch.putCase(value)`, and whatever has a method `getCase`: by keys, or an
 * array
 * @param options `timeout: 0` takes only what can happen now
 * @throws {ChannelTimeoutError} if nothing has happened after `timeout` ms
 * @throws {ChannelConnectionError} if one of the brokers cannot be reached within `retryTimeout`
 * @throws {ChannelClosedError} if one of the handles is closed in this process
 * @throws whatever `put` does for a value that cannot be sent, and `get` for one that cannot be read
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
 *   const n: number = chosen.value; // the key tells its type
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
  const happened = await Selection.start("select", cases, options, isWaiting);
  if (happened === undefined) throw new ChannelTimeoutError("select: no case can happen now");
  return happened as Selected<C>;
}

/**
 * Go's `select` with a `default`: has one of the cases happen that can happen now, or none, and resolves
 * with undefined then.
 *
 * @param cases as `select`'s
 * @param options `timeout` is how long the brokers are waited for to tell; 1000 ms by default
 * @throws whatever `select` does
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

/** Refuses a single case, and whatever else holds no cases. */
function checkCases(action: string, cases: unknown): void {
  const isSingle = cases instanceof Case ||
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

/** Refuses a select that waits for ever: no case can happen, and nothing ends it. */
function checkEnd(cases: Cases, { timeout = Infinity, signal }: OperationOptions): void {
  if (timeout < Infinity || signal !== undefined) return;
  if (Object.values(cases).some((one) => one !== undefined)) return;
  throw new ChannelConfigError(
    "select: there is no case, and neither a timeout nor a signal; it would wait for ever",
  );
}

/** What has happened, whatever the cases. */
interface Outcome {
  readonly key: string | number;
  readonly value: unknown;
  readonly closed: boolean;
}

/**
 * One select. Its parts are in an order that chance decides, and the first whose case can happen is
 * chosen: so chance is fair. One that can happen waits while it is not known of an earlier one,
 * `patience` ms at most; as brokers are asked all at once, that is known soon.
 *
 * Invariants: a case is chosen at most once, and from then on no other part wants anything. Every part
 * before `#first` has said that it waits; no part that is ready comes before or at it.
 */
class Selection implements Choice {
  readonly action: string;
  readonly isWaiting: boolean;
  readonly #parts: Part[];
  readonly #places = new Map<Part, { readonly key: string | number; place: number }>();
  readonly #operation: Operation<Outcome | undefined>;
  readonly #states: ("unknown" | "waiting" | "ready")[];
  #first = 0;
  #chosen: Part | undefined;
  #patience: Timer | undefined;

  /** @param isWaiting whether to wait until a case can happen; otherwise resolves with undefined */
  static async start(
    action: string,
    cases: Cases,
    options: OperationOptions,
    isWaiting: boolean,
  ): Promise<Outcome | undefined> {
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
      this.#places.set(this.#part(caseOf(action, name, named)), { key, place: 0 });
    }
    this.#parts = shuffle([...this.#places.keys()]);
    this.#parts.forEach((part, place) => this.#places.get(part)!.place = place);
    this.#states = this.#parts.map(() => "unknown");
    this.isWaiting = isWaiting;
    const timedOut = () => this.#late(options);
    const call = { action, owner: cases, pending: new Set<Pending>(), timedOut };
    this.#operation = new Operation(call, options);
    this.#operation.onGiveUp = (reason, isOurs) => {
      this.#leave();
      this.#chosen?.giveUp?.(reason, isOurs);
    };
  }

  #part(chosen: Case): Part {
    try {
      return chosen.part(this);
    } catch (error) {
      throw errorOfValue(this.action, error);
    }
  }

  ready(part: Part): void {
    if (this.#isDecided) return part.leave();
    const { place } = this.#places.get(part)!;
    if (place <= this.#first) return this.#take(part);
    this.#states[place] = "ready";
    this.#patience ??= new Timer(now() + patience, () => this.#takeAny());
  }

  waiting(part: Part): void {
    if (this.#isDecided) return;
    this.#states[this.#places.get(part)!.place] = "waiting";
    while (this.#states[this.#first] === "waiting") this.#first++;
    if (this.#states[this.#first] === "ready") this.#take(this.#parts[this.#first]!);
    else this.#checkNone();
  }

  lost(part: Part): void {
    if (this.#chosen !== part || this.#operation.settled) return;
    this.#chosen = undefined;
    this.#first = 0;
    this.#states.fill("unknown");
    this.#ask();
  }

  done(part: Part, value: unknown): void {
    const { key } = this.#places.get(part)!;
    this.#operation.resolve({ key, value, closed: false });
  }

  fail(part: Part, error: unknown): void {
    if (this.#chosen !== part && this.#isDecided) return;
    this.#choose(part);
    part.leave();
    if (!isEnd(error)) return this.#operation.reject(error);
    const { key } = this.#places.get(part)!;
    this.#operation.resolve({ key, value: undefined, closed: true });
  }

  get #isDecided(): boolean {
    return this.#chosen !== undefined || this.#operation.settled;
  }

  #run(): Promise<Outcome | undefined> {
    this.#ask();
    return this.#operation.promise;
  }

  /** Asks every part whether its case can happen. */
  #ask(): void {
    for (const part of this.#parts) {
      if (!this.#isDecided) part.wait();
    }
    this.#checkNone();
  }

  /** Ends a select that does not wait, when no case can happen. */
  #checkNone(): void {
    if (this.isWaiting || this.#isDecided || this.#first < this.#parts.length) return;
    this.#leave();
    this.#operation.resolve(undefined);
  }

  #take(part: Part): void {
    if (!part.isReady) { // a tick that another select has taken
      this.waiting(part);
      return part.wait();
    }
    this.#choose(part);
    part.take();
  }

  /** Takes the first that is ready, although it is not known of all those before. */
  #takeAny(): void {
    this.#patience = undefined;
    const place = this.#states.indexOf("ready");
    if (place >= 0) this.#take(this.#parts[place]!);
  }

  #choose(part: Part): void {
    this.#chosen = part;
    this.#leave();
  }

  /** All parts leave, but the one that is chosen. */
  #leave(): void {
    this.#patience?.stop();
    this.#patience = undefined;
    for (const part of this.#parts) {
      if (part !== this.#chosen) part.leave();
    }
  }

  /** Who cannot reach a broker is not told that nothing is there; nor who has sent something. */
  #late(options: OperationOptions): unknown {
    for (const part of this.#chosen === undefined ? this.#parts : [this.#chosen]) {
      const error = part.late(options);
      if (error !== undefined) return error;
    }
    return new ChannelTimeoutError(`${this.action}: nothing happened within ${options.timeout} ms`);
  }
}

/**
 * Milliseconds for which a case that can happen waits for what is not known of others: with the way
 * back, a value that is given back then is others' within the 20 ms that a channel promises.
 */
const patience = 10;

/** Whether the channel is closed for everyone, and what was sent has surely not arrived. */
function isEnd(error: unknown): boolean {
  return error instanceof ChannelClosedError && error.reason !== "close" &&
    error.messageId === undefined;
}

/** The same in an order of which each is as likely (Fisher and Yates; Knuth, TAOCP 3.4.2, algorithm P). */
function shuffle<T>(elements: readonly T[]): T[] {
  const shuffled = [...elements];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
  }
  return shuffled;
}
