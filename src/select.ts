import {
  caseOf,
  type Choice,
  type Part,
  type ReceiveCase,
  type Receiver,
  type SendCase,
} from "./cases.ts";
import { ChannelClosedError, ChannelTimeoutError } from "./errors.ts";
import { checkOptions, Operation, type OperationOptions, type Pending } from "./operation.ts";
import { within } from "./within.ts";

/**
 * What {@linkcode select} chooses from, by keys or as an array. A case may be in several selects, and one
 * channel in several cases; undefined never happens, as with Go's nil channels.
 */
export type Cases =
  | { readonly [key: string]: ReceiveCase | SendCase | Receiver | undefined }
  | readonly (ReceiveCase | SendCase | Receiver | undefined)[];

/** What a case brings: what it receives; undefined for a send. */
export type CaseValue<C> = C extends ReceiveCase<infer T> ? T
  : C extends Receiver<infer T> ? T
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
 * several can, chance decides, with the same chance for each. No other case takes or sends anything:
 * what has reached its receive goes back within 20 ms.
 *
 * A case whose channel is closed for everyone can happen: `closed` is true then. A chosen send resolves
 * when the transport has taken the value, as a put does, and where it is given up before that, the
 * error says the same as a put's. Channels of several transports may be mixed.
 *
 * The channels of one broker are asked all at once: a select costs at most three of its round-trips
 * after the channels are attached, however many they are, and none where a value is here already.
 *
 * @param cases `ch.recv()`, `ch.send(value)`, and whatever has a method `recv`: by keys, or an array
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
  options: OperationOptions = {},
): Promise<Selected<C>> {
  const isWaiting = options.timeout !== 0;
  const happened = await Selection.start(cases, options, isWaiting);
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
  options: OperationOptions = {},
): Promise<Selected<C> | undefined> {
  return await Selection.start(cases, options, false) as Selected<C> | undefined;
}

/** What has happened, whatever the cases. */
interface Outcome {
  readonly key: string | number;
  readonly value: unknown;
  readonly closed: boolean;
}

/**
 * One select.
 *
 * Invariants: a case is chosen at most once, and from then on no other part wants anything. What a part
 * has that is not chosen goes back in the same turn of the event loop.
 */
class Selection implements Choice {
  readonly #parts: Part[] = [];
  readonly #keys = new Map<Part, string | number>();
  readonly #operation: Operation<Outcome | undefined>;
  #chosen: Part | undefined;
  #onDecided: (() => void) | undefined;

  /** @param isWaiting whether to wait until a case can happen; otherwise resolves with undefined */
  static async start(
    cases: Cases,
    options: OperationOptions,
    isWaiting: boolean,
  ): Promise<Outcome | undefined> {
    checkOptions(options);
    options.signal?.throwIfAborted();
    const timeout = isWaiting ? options.timeout : options.timeout || reachTimeout;
    const patience = timeout === undefined ? options : { ...options, timeout };
    const selection = new Selection(cases, patience);
    selection.#decide(isWaiting).catch((error) => selection.#reject(error));
    return await selection.#operation.promise;
  }

  private constructor(cases: Cases, options: OperationOptions) {
    const isArray = Array.isArray(cases);
    for (const [key, named] of Object.entries(cases)) {
      if (named === undefined) continue;
      const part = caseOf(key, named).part(this);
      this.#parts.push(part);
      this.#keys.set(part, isArray ? Number(key) : key);
    }
    const timedOut = () => this.#late(options);
    const call = { action: "select", owner: cases, pending: new Set<Pending>(), timedOut };
    this.#operation = new Operation(call, options);
    this.#operation.onGiveUp = (reason) => {
      this.#leave();
      this.#chosen?.giveUp?.(reason);
    };
  }

  choose(part: Part): boolean {
    if (this.#isDecided) return false;
    this.#chosen = part;
    this.#leave();
    return true;
  }

  done(part: Part, value: unknown): void {
    this.#operation.resolve({ key: this.#keys.get(part)!, value, closed: false });
  }

  fail(part: Part, error: unknown): void {
    if (this.#chosen !== part && this.#isDecided) return;
    if (!isEnd(error)) return this.#reject(error);
    if (this.#chosen !== part) this.choose(part);
    this.#operation.resolve({ key: this.#keys.get(part)!, value: undefined, closed: true });
  }

  get #isDecided(): boolean {
    return this.#chosen !== undefined || this.#operation.settled;
  }

  async #decide(isWaiting: boolean): Promise<void> {
    const parts = shuffle(this.#parts);
    // In this order, the first case that can happen is to: so chance is fair. Brokers must be asked
    // only for those before the first that is known to be ready.
    const unknown: Part[] = [];
    let ready: Part | undefined;
    for (const part of parts) {
      const isReady = part.glance();
      if (isReady) ready = part;
      else if (isReady === undefined) unknown.push(part);
      if (isReady) break;
    }
    if (unknown.length > 0 && (ready !== undefined || !isWaiting)) {
      await this.#ask(unknown, isWaiting);
      if (this.#isDecided) return;
    }
    if (ready?.take()) return;
    if (!isWaiting) return this.#operation.resolve(undefined);
    for (const part of parts) part.leave();
    for (const part of parts) {
      part.wait();
      if (this.#isDecided) return;
    }
  }

  /** Has parts ask, all at once; where another case is ready, no longer than a broker takes that is well. */
  async #ask(parts: Part[], isBounded: boolean): Promise<void> {
    const decided = new Promise<void>((resolve) => this.#onDecided = resolve);
    const told = Promise.race([decided, Promise.all(parts.map((part) => part.ask()))]);
    await (isBounded ? within(reachTimeout, told) : told);
  }

  #leave(): void {
    for (const part of this.#parts) part.leave();
    this.#onDecided?.();
  }

  #reject(error: unknown): void {
    this.#operation.reject(error);
    this.#leave();
  }

  /** Who cannot reach a broker is not told that nothing is there; nor who has sent something. */
  #late(options: OperationOptions): unknown {
    for (const part of this.#chosen === undefined ? this.#parts : [this.#chosen]) {
      const error = part.late(options);
      if (error !== undefined) return error;
    }
    return new ChannelTimeoutError(`select: nothing happened within ${options.timeout} ms`);
  }
}

/** Milliseconds that whoever does not wait for a value waits for a broker. */
const reachTimeout = 1000;

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
