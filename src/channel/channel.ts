import type { Report } from "../connection/configured.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";
import { decodeMessage } from "../encoding/message.ts";
import type { Reference } from "../encoding/reference.ts";
import { brand, registerChannelClass, toJSON } from "../handle/channel_registry.ts";
import type { CloseAllOptions } from "../handle/contracts.ts";
import type { Delivery } from "../handle/delivery.ts";
import { Handle } from "../handle/handle.ts";
import { type DeliveriesOptions, Iteration } from "../handle/iteration.ts";
import { begun, type OperationOptions } from "../handle/operation.ts";
import type { PutOptions } from "../handle/put_options.ts";
import { Requester } from "../rpc/request.ts";
import type { GetCase, PutCase } from "../select/case.ts";
import { ChannelGetCase, ChannelPutCase } from "../select/channel_cases.ts";
import { finalizer } from "../shared/collection.ts";
import { ChannelClosedError, ChannelTimeoutError } from "../shared/errors.ts";
import { none } from "../shared/options.ts";
import type { ChannelStats, Message } from "../transports/transport.ts";
import { broadcast, type Broadcasts, type BroadcastsOptions, listen } from "./broadcasts.ts";
import { type ChannelOptions, handleOptions, resolvedOptions } from "./channel_options.ts";
import { ReceiveChannel, SendChannel } from "./directed.ts";
import type { ReceivingEnd, SendingEnd, TryGetResult } from "./ends.ts";
import { ReceivedReference } from "./received_reference.ts";
import * as signatures from "./signatures.ts";
import { readableOf, type ReadableOptions, writableOf, type WritableOptions } from "./streams.ts";

/** The names of the methods with which Node, Bun and Deno print an object. */
const inspectors = [Symbol.for("nodejs.util.inspect.custom"), Symbol.for("Deno.customInspect")];

/**
 * A handle on a channel. A channel has a name and lives in its transport: in this process, in a file, on a broker or
 * in a home. All handles with the same name and connection use the same channel, in any process and on any host.
 *
 * A channel is a queue: each value is received by one consumer, in the order of the puts. Waiting consumers are served
 * in turn. A handle does no I/O before its first operation. A handle without pending operations keeps no process alive.
 *
 * The examples use `await using`, which Deno, Bun and Node 24 have, and which TypeScript compiles for older versions of
 * Node. Without it, call `ch[Symbol.asyncDispose]()` in a `finally` block.
 *
 * @typeParam T the type of the values: anything that `structuredClone` copies, and channels
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * const jobs = new Channel<{ n: number; replyTo: Channel<number> }>("jobs");
 * await using reply = new Channel<number>();
 * await jobs.put({ n: 6, replyTo: reply });
 *
 * const { n, replyTo } = await jobs.get(); // here, or in any other process on the same broker
 * await replyTo.put(n * 7);
 *
 * equal(await reply.get(), 42);
 * ```
 */
export class Channel<T = unknown> implements SendingEnd<T>, ReceivingEnd<T> {
  #source: Handle | ReceivedReference;
  /**
   * Throws a {@linkcode ChannelReferenceError}: JSON cannot carry a channel. As a property of the object it also makes
   * `structuredClone` and `postMessage` throw a `DataCloneError`.
   */
  readonly toJSON: () => never = toJSON;
  #deadLetters: Channel<T> | undefined;
  #requester: Requester | undefined;
  #sender: SendChannel<T> | undefined;
  #receiver: ReceiveChannel<T> | undefined;

  static {
    Object.defineProperty(this.prototype, brand, { value: true });
    registerChannelClass({
      is: (object) => #source in object,
      handle: (object) => (object as Channel).#handle,
    });
    for (const symbol of inspectors) {
      Object.defineProperty(this.prototype, symbol, { value: this.prototype.toString });
    }
  }

  /** Makes a handle on a new anonymous channel. Nothing is sent before the first operation. */
  constructor();
  /**
   * Makes a handle on a channel. Nothing is sent before the first operation.
   *
   * @param options the name of the channel, or its options. `undefined` is refused here, as `name` and as `connection`,
   * because these decide which channel is meant and may come from an environment variable that is not set. Any other
   * option may be `undefined`, which is the same as absent
   * @throws {ChannelConfigError} for an invalid name, URI or option
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   *
   * new Channel("jobs"); // on the configured connection
   * new Channel({ name: "jobs", connection: "amqp://localhost", capacity: 1000 });
   * ```
   */
  constructor(options: string | ChannelOptions);
  constructor(options: string | ChannelOptions = none) {
    this.#source = isInternal(options)
      ? options[source]
      : new Handle(handleOptions(signatures.newChannel, options, arguments));
    if (this.#source instanceof Handle) closeWhenForgotten(this, this.#source);
  }

  get #handle(): Handle {
    if (!(this.#source instanceof Handle)) {
      this.#source = this.#source.open();
      closeWhenForgotten(this, this.#source);
    }
    return this.#source;
  }

  /**
   * Returns `Channel(…)` with the name, the address, and whether the handle is closed. `console.log` prints the same.
   */
  toString(): string {
    return `Channel(${this.#handle.title}${this.closed ? ", closed" : ""})`;
  }

  /** The name of the channel; 32 hexadecimal digits if it was created without a name. */
  get name(): string {
    return this.#handle.name;
  }

  /** Whether the handle is closed, for any reason: by `close`, `closeAll` or `delete`. Its operations then reject. */
  get closed(): boolean {
    return this.#handle.closed;
  }

  /**
   * Puts a value into the channel. Resolves when the transport has taken responsibility for the value; on RabbitMQ,
   * when the broker has confirmed the message, which is persistent and in a durable queue; on Redis, when the server has
   * it in its memory and, with `appendfsync always`, on its disk. The value is encoded at the call: later changes to it
   * are not sent.
   *
   * If the connection is lost, it is made again and an unconfirmed value is sent again, so that the value may arrive
   * twice. A put that is aborted or times out after the value was sent may still succeed. A ChannelError carries the
   * value as `error.value`, and the message id as `error.messageId` if the outcome is unknown.
   *
   * @throws {DOMException} a `DataCloneError` with the place in the value that cannot be encoded
   * @throws {ChannelReferenceError} if the value contains a channel that reaches less far than this channel
   * @throws {ChannelSizeError} if the encoded value is larger than the broker accepts
   * @throws {ChannelClosedError} if the handle or the channel is closed or deleted
   * @throws {ChannelTimeoutError} after `timeout` milliseconds
   * @throws {ChannelConnectionError} if the broker is unreachable for `retryTimeout` milliseconds
   * @throws {ChannelConfigError} for an invalid option, and for one that the transport does not take
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   *
   * await using ch = new Channel();
   * await ch.put({ any: ["value", new Map([["k", 1n]])] }, { timeout: 5000 });
   * ```
   *
   * @example Delay, expiry and priority
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using ch = new Channel<string>();
   * await ch.put("later", { delay: 50 });
   * await ch.put("soon", { expires: 60_000 });
   * await ch.put("first", { priority: 1 });
   * for (const expected of ["first", "soon", "later"]) equal(await ch.get(), expected);
   * ```
   */
  put(value: T, options: PutOptions = none): Promise<void> {
    return signatures.put.refusalOf(value, options, arguments.length) ??
      this.#handle.puts.put(this, value, options);
  }

  /**
   * Puts a value unless the put would wait for room. Resolves with `"ok"`; with `"full"` if the channel holds
   * `capacity` values; or with `"closed"` if the handle or the channel is closed or deleted.
   *
   * @throws any other error of {@linkcode Channel.put}
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using ch = new Channel<number>({ capacity: 1 });
   * equal(await ch.tryPut(1), "ok");
   * equal(await ch.tryPut(2), "full");
   * await ch.closeAll({ drain: true });
   * equal(await ch.tryPut(3), "closed");
   * ```
   */
  tryPut(value: T, options: OperationOptions = none): Promise<"ok" | "full" | "closed"> {
    return signatures.tryPut.refusalOf(value, options, arguments.length) ??
      this.#handle.puts.tryPut(this, value, options);
  }

  /**
   * Gets the next value, and waits for it without limit by default. The value is removed from the channel; to keep it
   * until it is processed, use {@linkcode Channel.receive}. A get that times out, is aborted or is closed removes no
   * value.
   *
   * With `timeout: 0` a get takes a value that is in the channel now. It does not find a value that another process has
   * read ahead, which is back in the channel within 20 ms.
   *
   * @throws {ChannelTimeoutError} after `timeout` milliseconds without a value
   * @throws {ChannelClosedError} if the handle or the channel is closed or deleted
   * @throws {ChannelConnectionError} if the broker is unreachable for `retryTimeout` milliseconds, or with `timeout: 0`
   * does not answer within 3000 ms
   * @throws {ChannelDecodeError} for a message that cannot be decoded; the error carries its bytes
   * @throws {ChannelReferenceError} for a message that refers to a broker that this process has not configured; the
   * error carries its bytes
   *
   * @example
   * ```ts
   * import { Channel, ChannelTimeoutError } from "@channelts/channel";
   * import { equal, rejects } from "node:assert/strict";
   *
   * await using ch = new Channel<string>();
   * await ch.put("foo");
   * equal(await ch.get(), "foo");
   * await rejects(ch.get({ timeout: 10 }), ChannelTimeoutError);
   * ```
   */
  get(options: OperationOptions = none): Promise<T> {
    const handle = this.#handle;
    return signatures.get.refusal(options, arguments.length) ??
      begun(() => handle.gets.get(this, (message) => this.#decode(message, true), options));
  }

  /**
   * Gets a value that is in the channel now. Resolves with its `value` and the status `"ok"`; with the status `"empty"`
   * if there is none; or with `"closed"` if the handle or the channel is closed or deleted.
   *
   * @throws any other error of {@linkcode Channel.get}
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { deepEqual } from "node:assert/strict";
   *
   * await using ch = new Channel<string>();
   * deepEqual(await ch.tryGet(), { status: "empty" });
   * await ch.put("foo");
   * deepEqual(await ch.tryGet(), { status: "ok", value: "foo" });
   * ```
   */
  async tryGet(options: { readonly signal?: AbortSignal } = none): Promise<TryGetResult<T>> {
    signatures.tryGet.check(options, arguments.length);
    const decode = (message: Message) => this.#decode(message, true);
    try {
      const now = { ...options, timeout: 0 };
      return {
        status: "ok",
        value: await this.#handle.gets.get(this, decode, now, "tryGet").promise,
      };
    } catch (error) {
      if (error instanceof ChannelTimeoutError) return { status: "empty" };
      if (error instanceof ChannelClosedError) return { status: "closed" };
      throw error;
    }
  }

  /**
   * Returns a case of {@linkcode select} that gets the next value. A channel is such a case itself: `select({ jobs })`
   * is short for `select({ jobs: jobs.getCase() })`.
   *
   * @example
   * ```ts
   * import { Channel, select } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using ch = new Channel<string>();
   * await ch.put("foo");
   * const { value } = await select([ch.getCase()]);
   * equal(value, "foo");
   * ```
   */
  getCase(): GetCase<T> {
    signatures.getCase.check(none, arguments.length);
    return new ChannelGetCase({
      handle: this.#handle,
      owner: this,
      decode: (message) => this.#decode(message, true),
    });
  }

  /**
   * Returns a case of {@linkcode select} that puts a value if it is chosen; otherwise nothing is sent. The value is
   * encoded when the select begins.
   *
   * @example
   * ```ts
   * import { Channel, select } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using jobs = new Channel<number>();
   * await using results = new Channel<number>();
   * const { key } = await select({ jobs, results: results.putCase(42) });
   * equal(key, "results"); // jobs is empty
   * ```
   */
  putCase(value: T): PutCase {
    signatures.putCase.check(none, arguments.length);
    return new ChannelPutCase({ handle: this.#handle, owner: this, value });
  }

  /**
   * Receives the next value on loan, for work that must not be lost. The program accepts the delivery when its work is
   * done. The value returns to the channel if the delivery is released, the handle is closed, or this process dies.
   *
   * A value is delivered at least once: after a lost connection it is delivered again, with `redelivered` set. On
   * RabbitMQ a loan lasts for 30 minutes at most, the broker's `consumer_timeout`.
   *
   * @throws {ChannelError} if a value with `maxAttempts` could not be put into {@linkcode Channel.deadLetters}
   * @throws any error of {@linkcode Channel.get}
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   *
   * await using jobs = new Channel<number>({ maxAttempts: 3 });
   * await jobs.put(7);
   *
   * const delivery = await jobs.receive();
   * try {
   *   console.log(delivery.value * 6); // the work
   *   delivery.accept();
   * } catch {
   *   delivery.release({ delay: 1000 }); // after three attempts the value is in jobs.deadLetters
   * }
   * ```
   */
  receive(options: OperationOptions = none): Promise<Delivery<T>> {
    const handle = this.#handle;
    return signatures.receive.refusal(options, arguments.length) ??
      begun(() => handle.gets.receive(this, (message) => this.#decode(message, false), options));
  }

  /**
   * Puts a request, and resolves with the reply of a {@linkcode serve} on this channel, in any process. If the request
   * times out or is aborted, the signal of its handler is aborted and no reply is sent.
   *
   * The requests of a handle share one anonymous channel for their replies. It is created with the first request and
   * deleted with the handle.
   *
   * With `encoding: "json"` a request is the `put_sync` of ChannelPy: the message is `{ "value": …, "reply_to": … }`,
   * the reply is a plain value, and each request has a reply channel of its own. As with `put_sync`, that channel stays
   * if this process is killed while it waits for the reply.
   *
   * @typeParam R the type of the reply, which is not checked
   * @throws {Error} the error that the handler threw: an instance of the same built-in class with the same name,
   * message, own enumerable properties, `cause` and `errors`, as far as these can be encoded. A thrown value that is
   * not an error is the `cause` of an error. A {@linkcode ChannelError} of the handler arrives as an `Error` with the
   * name `Error`
   * @throws {ChannelTimeoutError} after `timeout` milliseconds without a reply
   * @throws {ChannelClosedError} if the handle or the channel is closed or deleted
   * @throws any other error of {@linkcode Channel.put}
   *
   * @example
   * ```ts
   * import { Channel, serve } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using squares = new Channel<number>();
   * const serving = serve(squares, (n) => n * n); // here, or in any other process
   *
   * equal(await squares.request<number>(7, { timeout: 5000 }), 49);
   * await squares.closeAll();
   * await serving;
   * ```
   */
  request<R = unknown>(value: T, options: OperationOptions = none): Promise<R> {
    const refusal = signatures.request.refusalOf(value, options, arguments.length);
    if (refusal !== undefined) return refusal;
    const handle = this.#handle;
    this.#requester ??= new Requester(handle, () => replyChannelOf(handle));
    return this.#requester.request(this, value, options) as Promise<R>;
  }

  /**
   * The channel of the dead letters: the values that were received `maxAttempts` times and never accepted. Its name is
   * the name of this channel with the suffix `.dead-letters`, and its deliveries have a `reason`. Otherwise it is a
   * channel like any other.
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using jobs = new Channel<string>({ maxAttempts: 1 });
   * await jobs.put("poison");
   * (await jobs.receive()).release();
   *
   * const dead = await jobs.deadLetters.receive();
   * equal(dead.value, "poison");
   * equal(dead.reason, "maxAttempts: received 1 times and never accepted");
   * dead.accept();
   * await jobs.deadLetters.delete();
   * ```
   */
  get deadLetters(): Channel<T> {
    return this.#deadLetters ??= channelOf(this.#handle.deadLetters());
  }

  /**
   * Returns an iterator over the values, for `for await`. The iteration ends normally when the handle or the channel is
   * closed or deleted. A `next()` that is pending when the program leaves the loop removes no value, and resolves as
   * done.
   *
   * @throws {ChannelDecodeError} from the iteration, and any other error of {@linkcode Channel.get}
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using ch = new Channel<number>();
   * for (const n of [1, 2, 3]) await ch.put(n);
   * let sum = 0;
   * for await (const n of ch) {
   *   sum += n;
   *   if (n === 3) await ch.closeAll(); // ends this loop, and all others on the channel
   * }
   * equal(sum, 6);
   * ```
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    const decode = (message: Message) => this.#decode(message, true);
    return new Iteration(() => this.#handle.gets.get(this, decode, none));
  }

  /**
   * Returns an iterator over deliveries, which are values on loan as from {@linkcode Channel.receive}. The program
   * accepts each delivery when its work is done. The iteration ends normally when the handle or the channel is closed
   * or deleted.
   *
   * Leaving the loop by `break`, `return` or `throw` releases the deliveries that are not settled. Before it leaves the
   * loop, the program waits for work that has begun.
   *
   * @throws {ChannelDecodeError} from the iteration, and any other error of {@linkcode Channel.receive}
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using jobs = new Channel<string>();
   * await jobs.put("render");
   * await jobs.put("stop");
   * for await (const delivery of jobs.deliveries()) {
   *   if (delivery.value === "stop") break; // releases the delivery, for other consumers
   *   console.log(delivery.value); // the work
   *   delivery.accept();
   * }
   * equal(await jobs.get(), "stop");
   * ```
   */
  deliveries(options: DeliveriesOptions = none): AsyncIterableIterator<Delivery<T>> {
    signatures.deliveries.check(options, arguments.length);
    const decode = (message: Message) => this.#decode(message, false);
    const unsettled = new Set<Delivery>();
    return new Iteration(
      () => this.#handle.gets.receive(this, decode, options, unsettled),
      () => {
        for (const delivery of unsettled) delivery.release();
      },
    );
  }

  /**
   * Sends a value to every handle on the channel that listens now with {@linkcode Channel.broadcasts}, in all processes
   * and on all hosts, this handle included. Resolves when the transport has accepted the broadcast.
   *
   * Broadcasts are not stored: a process that does not listen, or whose connection is lost at that moment, misses them.
   * The broadcasts of one process arrive in the order of the calls. If the connection is lost while one is sent, it is
   * sent again and may arrive twice.
   *
   * ChannelPy's `get` and `put` raise an exception at a broadcast. To broadcast to Python, use a separate channel.
   *
   * @throws any error of {@linkcode Channel.put}
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using news = new Channel<string>("news");
   * const heard = news.broadcasts();
   * await heard.ready;
   * await news.broadcast("it is noon");
   * equal((await heard.next()).value, "it is noon");
   * ```
   */
  broadcast(value: T, options: OperationOptions = none): Promise<void> {
    return signatures.broadcast.refusalOf(value, options, arguments.length) ??
      broadcast(this.#handle, this, value, options);
  }

  /**
   * Listens to the broadcasts of the channel, from the call on, and returns an iterator over them. When its `ready`, or
   * a later operation of this handle, has resolved, no broadcast is missed.
   *
   * The iteration ends normally when the handle or the channel is closed or deleted, after the broadcasts that have
   * arrived. Leaving the loop ends the listening. A slow listener keeps the last 1,000 broadcasts (`buffer`) and counts
   * the others in `missed`. A pending `next()` keeps the process alive.
   *
   * @throws {ChannelConfigError} for an invalid option
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   *
   * await using news = new Channel<string>("news");
   * const heard = news.broadcasts({ signal: AbortSignal.timeout(5000) });
   * await heard.ready;
   * await news.broadcast("reload");
   * for await (const command of heard) {
   *   if (command === "reload") break; // ends the listening
   * }
   * ```
   */
  broadcasts(options: BroadcastsOptions = none): Broadcasts<T> {
    signatures.broadcasts.check(options, arguments.length);
    return listen(this.#handle, this, (message) => this.#decode(message, false), options);
  }

  /**
   * Returns a Web Stream of the channel's values (https://streams.spec.whatwg.org). The stream receives a value when a
   * reader waits for one, and accepts it as it hands it over: a value that a reader or another stream drops is lost. To
   * move values to another channel without loss, use {@linkcode pipe}.
   *
   * The stream ends when the handle or the channel is closed or deleted; cancelling it does not close the channel.
   * Several streams of a channel share its values.
   *
   * @throws {ChannelConfigError} for an invalid option
   * @throws through the stream: any error of {@linkcode Channel.receive}
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using lines = new Channel<string>();
   * for (const line of ["one", "two"]) await lines.put(line);
   *
   * const reader = lines.readable().pipeThrough(new TextEncoderStream()).getReader();
   * equal((await reader.read()).value?.length, 3);
   * await reader.cancel();
   * ```
   */
  readable(options: ReadableOptions = none): ReadableStream<T> {
    signatures.readable.check(options, arguments.length);
    return readableOf(this, options);
  }

  /**
   * Returns a Web Stream whose chunks are put into the channel. A write resolves when its put does. At most
   * `highWaterMark` puts are in progress, 16 by default; then the stream applies back pressure.
   *
   * If a put fails, the stream fails with its error. Closing or aborting the stream waits for the puts in progress, and
   * does not close the channel.
   *
   * @throws {ChannelConfigError} for an invalid option
   * @throws through the stream: any error of {@linkcode Channel.put}
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using ch = new Channel<number>();
   * await ReadableStream.from([1, 2, 3]).pipeTo(ch.writable());
   * equal(await ch.depth(), 3);
   * ```
   */
  writable(options: WritableOptions = none): WritableStream<T> {
    signatures.writable.check(options, arguments.length);
    return writableOf(this, options);
  }

  /**
   * Returns the number of values that wait in the channel at this moment. Values on loan, delayed values, and values
   * that a process has read ahead are not counted.
   *
   * @throws {ChannelTimeoutError} after `timeout` milliseconds
   * @throws {ChannelClosedError} if the handle or the channel is closed or deleted
   * @throws {ChannelConnectionError} if the broker is unreachable for `retryTimeout` milliseconds
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using ch = new Channel();
   * await ch.put("a value");
   * equal(await ch.depth(), 1);
   * ```
   */
  depth(options: OperationOptions = none): Promise<number> {
    return signatures.depth.refusal(options, arguments.length) ??
      this.#handle.depth(this, options);
  }

  /**
   * Returns what is known of the channel at this moment, over all processes: its depth, and where the transport can tell,
   * the values on loan, the consumers, the delayed values, the capacity, and whether it was closed by a drain.
   *
   * @throws {ChannelTimeoutError} after `timeout` milliseconds
   * @throws {ChannelClosedError} if the handle or the channel is closed or deleted
   * @throws {ChannelConnectionError} if the broker is unreachable for `retryTimeout` milliseconds
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { deepEqual } from "node:assert/strict";
   *
   * await using jobs = new Channel<string>({ connection: "memory:", capacity: 10 });
   * for (const job of ["render", "upload"]) await jobs.put(job);
   * await using delivery = await jobs.receive(); // on loan until it is accepted or released
   * deepEqual(await jobs.stats(), {
   *   depth: 1,
   *   loans: 1,
   *   consumers: 0,
   *   delayed: 0,
   *   capacity: 10,
   *   closed: false,
   * });
   * delivery.accept();
   * ```
   */
  stats(options: OperationOptions = none): Promise<ChannelStats> {
    return signatures.stats.refusal(options, arguments.length) ??
      this.#handle.stats(this, options);
  }

  /**
   * Resolves when no value waits in the channel, that is, when its `depth` is 0. Values on loan do not wait; a released
   * value waits again. To wait until all work is done, use `closeAll({ drain: true })`: gets and iterations then end
   * when every value was accepted.
   *
   * On `memory:`, and at a home that serves it, every moment is noticed in which the channel is empty. On other transports,
   * the depth is read after pauses that grow to 250 ms, and a moment between two readings is missed.
   *
   * @throws {ChannelTimeoutError} after `timeout` milliseconds; with `0` the depth is read once
   * @throws {ChannelClosedError} if the handle or the channel is closed or deleted
   * @throws {ChannelConnectionError} if the broker is unreachable for `retryTimeout` milliseconds
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using jobs = new Channel<number>();
   * for (const n of [1, 2, 3]) await jobs.put(n);
   * setTimeout(async () => {
   *   for (let left = 3; left > 0; left--) await jobs.get();
   * }, 5);
   * await jobs.whenEmpty({ timeout: 5000 });
   * equal(await jobs.depth(), 0);
   * ```
   */
  whenEmpty(options: OperationOptions = none): Promise<void> {
    return signatures.whenEmpty.refusal(options, arguments.length) ??
      this.#handle.whenEmpty(this, options);
  }

  /**
   * The sending end of this handle: Go's `chan<- T`. It stays a sending end when it travels inside a value.
   *
   * @example
   * ```ts
   * import { Channel, type SendChannel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * async function produce(out: SendChannel<number>) {
   *   for (const n of [1, 2, 3]) await out.put(n);
   * }
   *
   * await using ch = new Channel<number>();
   * await produce(ch.sender);
   * equal(await ch.get(), 1);
   * ```
   */
  get sender(): SendChannel<T> {
    return this.#sender ??= new SendChannel(this);
  }

  /**
   * The receiving end of this handle: Go's `<-chan T`. It stays a receiving end when it travels inside a value.
   *
   * @example
   * ```ts
   * import { Channel, type ReceiveChannel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using ch = new Channel<number>();
   * await using work = new Channel<ReceiveChannel<number>>();
   * await work.put(ch.receiver);
   * await ch.put(7);
   *
   * const numbers = await work.get(); // here, or in any other process
   * equal(await numbers.get(), 7);
   * ```
   */
  get receiver(): ReceiveChannel<T> {
    return this.#receiver ??= new ReceiveChannel(this);
  }

  /**
   * Returns a second handle on the same channel, which is closed independently. Disposing it does not delete the
   * channel.
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using ch = new Channel<string>();
   * const second = ch.dup();
   * await second.put("foo");
   * await second.close(); // ch stays open
   * equal(await ch.get(), "foo");
   * ```
   */
  dup(): Channel<T> {
    signatures.dup.check(none, arguments.length);
    return channelOf(new Handle(this.#handle.share()));
  }

  /** Returns a new anonymous channel on the same connection, with the same `encoding`, `stacks` and `retryTimeout`. */
  clone<U = T>(): Channel<U>;
  /**
   * Returns another channel on the same connection. `encoding`, `stacks` and `retryTimeout` are the same unless
   * `options` has them; `name`, `capacity`, `durability`, `expires` and `maxAttempts` are not copied.
   *
   * @param options the name of the channel, or its options, as for the constructor
   * @throws {ChannelConfigError} for an invalid name, URI or option
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using ch = new Channel<Channel<string>>({ connection: "memory:" });
   * await using reply = ch.clone<string>(); // anonymous
   * await ch.put(reply);
   *
   * const lines = ch.clone<string>({ name: "lines", capacity: 10 });
   * equal(lines.name, "lines");
   * ```
   */
  clone<U = T>(options: string | ChannelOptions): Channel<U>;
  clone<U = T>(options: string | ChannelOptions = none): Channel<U> {
    return channelOf(
      new Handle(handleOptions(signatures.clone, options, arguments, this.#handle.options)),
    );
  }

  /**
   * Closes the handle; the channel stays. Pending gets reject with a ChannelClosedError. Pending puts are sent first,
   * if the broker takes them within 1,000 ms. Deliveries that are not settled are released. Idempotent; never rejects.
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { ok } from "node:assert/strict";
   *
   * const ch = new Channel("log");
   * await ch.put("a line");
   * await ch.close();
   * ok(ch.closed);
   * ```
   */
  close(): Promise<void> {
    return signatures.close.refusalOfLiteral(arguments) ?? this.#handle.close();
  }

  /**
   * Closes the channel for everyone: every handle that is attached now, on every host, is closed. Its operations reject
   * with a ChannelClosedError and its iterations end. The values stay; a handle that is made later can get them. A
   * pending put that was already sent may still resolve, and its value is then in the channel.
   *
   * With `drain: true`, as Go's `close`, puts reject at once, and gets continue until every earlier value was got or
   * accepted; then gets reject and iterations end. The channel stays closed, also for later handles and after a
   * restart, until it is deleted. The `reason` of the errors is `"drain"`.
   *
   * @throws {ChannelClosedError} if this handle is closed
   * @throws {ChannelTimeoutError} after `timeout` milliseconds
   * @throws {ChannelConnectionError} if the broker is unreachable for `retryTimeout` milliseconds
   *
   * @example
   * ```ts
   * import { Channel, ChannelClosedError } from "@channelts/channel";
   * import { rejects } from "node:assert/strict";
   *
   * const ch = new Channel("orders");
   * const elsewhere = rejects(new Channel("orders").get(), ChannelClosedError);
   * await ch.closeAll();
   * await elsewhere;
   * ```
   *
   * @example Go's close
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { deepEqual } from "node:assert/strict";
   *
   * await using ch = new Channel<number>();
   * for (const n of [1, 2, 3]) await ch.put(n);
   * await ch.closeAll({ drain: true });
   * const got = [];
   * for await (const n of ch) got.push(n);
   * deepEqual(got, [1, 2, 3]);
   * ```
   */
  closeAll(options: CloseAllOptions = none): Promise<void> {
    return signatures.closeAll.refusal(options, arguments.length) ??
      this.#handle.closeAll(this, options);
  }

  /**
   * Deletes the channel and its values. The operations of all handles reject with a ChannelClosedError.
   *
   * @throws {ChannelClosedError} if this handle is closed
   * @throws {ChannelTimeoutError} after `timeout` milliseconds
   * @throws {ChannelConnectionError} if the broker is unreachable for `retryTimeout` milliseconds
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * const ch = new Channel("drafts");
   * await ch.put("a value");
   * await ch.delete();
   * equal(await new Channel("drafts").depth(), 0);
   * ```
   */
  delete(options: OperationOptions = none): Promise<void> {
    return signatures.deleteChannel.refusal(options, arguments.length) ??
      this.#handle.delete(this, options);
  }

  /**
   * Closes the handle, and deletes the channel if this handle created it without a name; used by `await using`.
   * Idempotent; bounded in time; never rejects. JavaScript on Node 20 and 22 calls {@linkcode Channel.delete} or
   * {@linkcode Channel.close} in a `finally` block instead.
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   *
   * await using ch = new Channel(); // deleted at the end of the block
   * await ch.put("a value");
   * ```
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#handle.dispose(this);
  }

  /** @param owned whether the value may share the bytes of the message */
  #decode(message: Message, owned: boolean): T {
    const handle = this.#handle;
    // A handle that has received a message is attached, so its connection is not pending.
    const connection = handle.connection as SharedConnection;
    let met: Map<string, Channel> | undefined; // most messages contain no channel
    const open = (reference: Reference) =>
      fromReference(reference, met ??= new Map(), handle.options.report);
    return decodeMessage(message, connection, open, owned) as T;
  }
}

/** Closes the handle of a channel that the program has dropped without closing it. */
const forgotten = finalizer<Handle>((handle) => void handle.close());

/**
 * The registry does not keep a closed handle: a handle for replies references its channel, and would keep both alive.
 */
function closeWhenForgotten(channel: object, handle: Handle): void {
  forgotten?.register(channel, handle, handle);
  handle.onClosed.add(() => void forgotten?.unregister(handle));
}

const source: unique symbol = Symbol("source");

/** The options with which this file makes a channel. The symbol is not exported, so no program can write them. */
interface InternalOptions extends ChannelOptions {
  readonly [source]: Handle | ReceivedReference;
}

function isInternal(options: string | ChannelOptions): options is InternalOptions {
  return typeof options === "object" && options !== null && source in options;
}

/** Returns a channel that uses a handle, or the handle of a reference. */
export function channelOf<T>(handle: Handle | ReceivedReference): Channel<T> {
  const options: InternalOptions = { [source]: handle };
  return new Channel<T>(options);
}

/**
 * Returns a new channel for replies on the connection of a handle, with the same options as {@linkcode Channel.clone}.
 * With JSON it has no lease: ChannelPy declares the channel of a reference anew, and RabbitMQ refuses that for a queue
 * with other arguments.
 */
function replyChannelOf(handle: Handle): Channel {
  return channelOf(
    new Handle({
      ...resolvedOptions(none, handle.options),
      isReply: true,
      ...handle.encoding === "json" && { lease: undefined },
    }),
  );
}

/** Returns the channel of a reference: one object for all references to the channel in a message. */
export function fromReference(
  reference: Reference,
  met: Map<string, Channel>,
  report: Report | undefined,
): object {
  const { name, connection, encoding, direction } = reference;
  const key = `${connection.address} ${encoding} ${name}`;
  let channel = met.get(key);
  if (channel === undefined) {
    met.set(key, channel = channelOf(new ReceivedReference(reference, report)));
  }
  if (direction === undefined) return channel;
  return direction === "send" ? channel.sender : channel.receiver;
}
