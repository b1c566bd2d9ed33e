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
import { ChannelGet, ChannelPut } from "../select/channel_cases.ts";
import { ChannelClosedError, ChannelTimeoutError } from "../shared/errors.ts";
import { isAnonymous } from "../shared/names.ts";
import { none } from "../shared/options.ts";
import type { Message } from "../transports/transport.ts";
import { broadcast, type Broadcasts, type BroadcastsOptions, listen } from "./broadcasts.ts";
import {
  type ChannelOptions,
  connectedOptions,
  defaultLease,
  handleOptions,
} from "./channel_options.ts";
import { ReceiveChannel, SendChannel } from "./directed.ts";
import type { ReceivingEnd, SendingEnd, TryGetResult } from "./ends.ts";
import * as signatures from "./signatures.ts";
import { readableOf, type ReadableOptions, writableOf, type WritableOptions } from "./streams.ts";

/** How Node and Bun, and Deno, ask an object what to print of it. */
const inspectors = [Symbol.for("nodejs.util.inspect.custom"), Symbol.for("Deno.customInspect")];

/**
 * A handle on a channel: values that are put into it are got from it, wherever the other end is.
 *
 * Making a handle does no I/O; its first operation attaches it. Each value goes to one getter, in the
 * order of the puts; getters that wait, here or elsewhere, are served in turn. A handle that waits
 * for nothing keeps no process alive.
 *
 * @typeParam T what the channel carries: anything that `structuredClone` copies, and channels
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel";
 *
 * const jobs = new Channel<{ n: number; replyTo: Channel<number> }>("jobs");
 * await using reply = new Channel<number>();
 * await jobs.put({ n: 6, replyTo: reply });
 *
 * const { n, replyTo } = await jobs.get(); // here, or in any other process on the same broker
 * await replyTo.put(n * 7);
 *
 * await reply.get(); // 42
 * ```
 */
export class Channel<T = unknown> implements SendingEnd<T>, ReceivingEnd<T> {
  /** A reference of a message, of which there may be very many, becomes a handle when it is used. */
  #source: Handle | ReceivedReference;
  /**
   * Throws, as JSON and copies carry no channel. It is a property of each object, so that `structuredClone` and
   * `postMessage` refuse that as well, with a `DataCloneError`.
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

  /** Makes a handle on a new anonymous channel. Nothing is sent before its first operation. */
  constructor();
  /**
   * Makes a handle. Nothing is sent before its first operation.
   *
   * @param options the channel's name, or its options. `undefined` is refused, and so is a `name` or a
   * `connection` that is `undefined`: they decide which channel is meant, and may come from an environment
   * variable that is not set. Any other option that is `undefined` is the same as one that is absent
   * @throws {ChannelConfigError} for a name, URI or option that cannot be used
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

  /** Its name, its address, and whether it is closed, as `console.log` prints it. */
  toString(): string {
    return `Channel(${this.#handle.title}${this.closed ? ", closed" : ""})`;
  }

  /** The channel's name; 32 hexadecimal digits for one that was made without. */
  get name(): string {
    return this.#handle.name;
  }

  /** Whether this handle takes no more operations, for whatever reason. */
  get closed(): boolean {
    return this.#handle.closed;
  }

  /**
   * Puts a value into the channel. Resolves when the transport has taken responsibility for it: for
   * RabbitMQ, when the broker has confirmed it, persistent in a durable queue. The value is encoded
   * at the call, so later changes to it do not travel.
   *
   * A connection that is lost meanwhile is made again, and the value sent again. A put that is given up
   * after it was sent may still have happened, and one that was sent twice may arrive twice. What it
   * rejects with, where it is a ChannelError, carries the value as `error.value`, and where the outcome
   * is unknown the message's id as `error.messageId`.
   *
   * @throws {DOMException} a `DataCloneError`, which says where, for what the encoding cannot carry
   * @throws {ChannelReferenceError} for a channel inside the value that reaches less far than this one
   * @throws {ChannelSizeError} for a value with more bytes than the broker takes
   * @throws {ChannelClosedError} if the handle or the channel is closed or deleted
   * @throws {ChannelTimeoutError} after `timeout` ms
   * @throws {ChannelConnectionError} if the broker cannot be reached within `retryTimeout`
   * @throws {ChannelConfigError} for a `delay`, `expires` or `priority` that is out of range, or that the
   * transport cannot do
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   *
   * await using ch = new Channel();
   * await ch.put({ any: ["value", new Map([["k", 1n]])] }, { timeout: 5000 });
   * ```
   *
   * @example
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
      this.#handle.put(this, value, options);
  }

  /**
   * Puts a value unless that would wait for room: `"full"` where the channel's `capacity` is reached, and
   * `"closed"` where handle or channel is closed or deleted.
   *
   * @throws whatever else `put` does
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
   * Takes the next value; waits for it without limit unless told otherwise. A get that times out, is
   * aborted or closed never takes a value with it. With `timeout: 0` it takes a value that is there
   * already; one that a process elsewhere has been sent and has not got yet (up to 20 ms) is not.
   *
   * @throws {ChannelTimeoutError} after `timeout` ms without a value
   * @throws {ChannelClosedError} if the handle or the channel is closed or deleted
   * @throws {ChannelConnectionError} if the broker cannot be reached within `retryTimeout`
   * @throws {ChannelDecodeError} for a message that cannot be decoded; it carries the bytes
   * @throws {ChannelReferenceError} for a message with a reference to a broker that this process has
   * not configured; it carries the bytes
   *
   * @example
   * ```ts
   * import { Channel, ChannelTimeoutError } from "@channelts/channel";
   *
   * await using ch = new Channel<string>();
   * await ch.put("foo");
   * await ch.get(); // "foo"
   * await ch.get({ timeout: 10 }).catch((error) => error instanceof ChannelTimeoutError); // true
   * ```
   */
  get(options: OperationOptions = none): Promise<T> {
    const handle = this.#handle;
    return signatures.get.refusal(options, arguments.length) ??
      begun(() => handle.get(this, (message) => this.#unpack(message, true), options));
  }

  /**
   * Takes a value that can be had now, and tells where there is none, or the channel is closed.
   *
   * @throws whatever `get` does, but for ChannelTimeoutError and ChannelClosedError
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
    try {
      const value = await this.#handle.get(
        this,
        (message) => this.#unpack(message, true),
        { ...options, timeout: 0 },
        "tryGet",
      ).promise;
      return { status: "ok", value };
    } catch (error) {
      if (error instanceof ChannelTimeoutError) return { status: "empty" };
      if (error instanceof ChannelClosedError) return { status: "closed" };
      throw error;
    }
  }

  /**
   * A case for {@linkcode select} that takes the next value. The channel itself does as well:
   * `select({ jobs })` is `select({ jobs: jobs.getCase() })`.
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
    return new ChannelGet(this.#handle, this, (message) => this.#unpack(message, true));
  }

  /**
   * A case for {@linkcode select} that puts a value, where it is chosen; otherwise nothing is sent. The
   * value is encoded when the select begins.
   *
   * @example
   * ```ts
   * import { Channel, select } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using jobs = new Channel<number>();
   * await using results = new Channel<number>();
   * const { key } = await select({ jobs, results: results.putCase(42) });
   * equal(key, "results"); // for there was no job
   * ```
   */
  putCase(value: T): PutCase {
    signatures.putCase.check(none, arguments.length);
    return new ChannelPut(this.#handle, this, value);
  }

  /**
   * Takes the next value on loan, for work that must not be lost: others get it only if it is released,
   * or if this process dies before it has accepted it. So a value is processed at least once, and may
   * be twice: where the connection is lost, it is delivered anew, with `redelivered` set. On RabbitMQ a
   * loan lasts 30 minutes at most (the broker's `consumer_timeout`). Closing the handle releases it.
   *
   * @throws whatever `get` does
   * @throws {ChannelError} where a dead letter of this handle could not be put (see `maxAttempts`)
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
   *   delivery.release({ delay: 1000 }); // and after three attempts it is in jobs.deadLetters
   * }
   * ```
   */
  receive(options: OperationOptions = none): Promise<Delivery<T>> {
    const handle = this.#handle;
    return signatures.receive.refusal(options, arguments.length) ??
      begun(() => handle.receive(this, (message) => this.#unpack(message, false), options));
  }

  /**
   * Puts a request, and resolves with what a {@linkcode serve} on this channel answers, in whatever
   * process it runs. All requests of a handle share one anonymous channel for the replies, which is
   * made with the first and goes with the handle. One that times out or is aborted aborts its
   * handler's signal, wherever that runs; the reply is not sent then, or dropped.
   *
   * With `encoding: "json"` it is what ChannelPy's `put_sync` sends, `{ "value": …, "reply_to": … }`,
   * which is answered with the plain value; each request has a channel for its reply then.
   *
   * @typeParam R what the reply is; it is not checked
   * @throws {Error} what the handler threw: of the same built-in class, with its name, message, own enumerable
   * properties, `cause` and, of an AggregateError, `errors`, as far as they can travel; what is no error
   * is the `cause` of one. It is no {@linkcode ChannelError}: where the handler's was one, it is named `Error`
   * @throws {ChannelTimeoutError} after `timeout` ms without a reply
   * @throws {ChannelClosedError} if the handle or the channel is closed or deleted
   * @throws what `put` does
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
    this.#requester ??= new Requester(handle, () => cloneOf(handle));
    return this.#requester.request(this, value, options) as Promise<R>;
  }

  /**
   * The channel of the values that were received `maxAttempts` times and never accepted: one like any
   * other, named like this one with `.dead-letters` behind. Its deliveries carry the `reason`.
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
   * console.log(dead.reason); // "maxAttempts: received 1 times and never accepted"
   * dead.accept();
   * await jobs.deadLetters.delete();
   * ```
   */
  get deadLetters(): Channel<T> {
    return this.#deadLetters ??= channelOf(this.#handle.deadLetters());
  }

  /**
   * Gets value after value, until the channel is closed or deleted by anyone, which ends the
   * iteration normally. Leaving the loop takes nothing with it: a `next()` that waits then is withdrawn, and
   * resolves as done.
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   *
   * await using ch = new Channel<number>();
   * for (const n of [1, 2, 3]) await ch.put(n);
   * let sum = 0;
   * for await (const n of ch) {
   *   sum += n;
   *   if (sum === 6) await ch.closeAll(); // ends the loop, here and everywhere
   * }
   * ```
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    const unpack = (message: Message) => this.#unpack(message, true);
    return new Iteration(() => this.#handle.get(this, unpack, none));
  }

  /**
   * Receives value after value on loan, as {@linkcode Channel.receive}: each is to be accepted when its work is
   * done. It ends where `for await` over the channel does: when the channel is closed or deleted by anyone.
   *
   * Leaving the loop by `break`, `return` or `throw` releases whatever it has yielded that is not settled: wait
   * for work that is under way before you leave.
   *
   * @throws {ChannelDecodeError} as the iteration's error, for what cannot be read, and what else `receive`
   * rejects with
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
   *   if (delivery.value === "stop") break; // it goes back, for others
   *   console.log(delivery.value); // the work
   *   delivery.accept();
   * }
   * equal(await jobs.get(), "stop");
   * ```
   */
  deliveries(options: DeliveriesOptions = none): AsyncIterableIterator<Delivery<T>> {
    signatures.deliveries.check(options, arguments.length);
    const unpack = (message: Message) => this.#unpack(message, false);
    const unsettled = new Set<Delivery>();
    return new Iteration(
      () => this.#handle.receive(this, unpack, options, unsettled),
      () => {
        for (const delivery of unsettled) delivery.release();
      },
    );
  }

  /**
   * Tells a value to everyone who listens now, by {@linkcode Channel.broadcasts} on any handle of the
   * channel, on every host, this one included. Nothing of it is kept: who does not listen misses it, and
   * so does a host whose connection is lost at the moment. Resolves when it is on its way to all of
   * them; broadcasts of one process arrive in the order of the calls. One that was sent as the connection
   * was lost is sent again, and may be heard twice.
   *
   * ChannelPy's get and put raise at any event: use a channel of your own beside one that Python shares.
   *
   * @throws whatever `put` does
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
   * Listens, from the call on, to what is broadcast on the channel: as soon as `ready` has resolved, or
   * any other operation of this handle, none is missed. Closing the handle, closeAll and delete end the
   * iteration normally, after what was heard before; leaving the loop ends the listening.
   *
   * A listener that is slower than the broadcasts keeps the last 1,000 (`buffer`), and counts in `missed`
   * what it has dropped. Waiting for the next one keeps the process alive.
   *
   * @throws {ChannelConfigError} for an option that cannot be used
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   *
   * await using news = new Channel<string>("news");
   * const heard = news.broadcasts({ signal: AbortSignal.timeout(5000) });
   * await heard.ready;
   * await news.broadcast("reload");
   * for await (const what of heard) {
   *   if (what === "reload") break; // and listens no more
   * }
   * ```
   */
  broadcasts(options: BroadcastsOptions = none): Broadcasts<T> {
    signatures.broadcasts.check(options, arguments.length);
    const { listener, ready } = listen(
      this.#handle,
      (message) => this.#unpack(message, false),
      options,
    );
    const iterator: Broadcasts<T> = {
      get ready() {
        return ready();
      },
      get missed() {
        return listener.missed;
      },
      next: () => listener.next(this),
      return: () => {
        listener.leave();
        return Promise.resolve({ value: undefined, done: true });
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /**
   * Returns a Web Stream of the channel's values (https://streams.spec.whatwg.org). The stream receives a value when a
   * reader waits for one, and accepts it as it hands it over: a value that a reader or another stream drops is lost. To
   * move values to another channel without loss, use {@linkcode pipe}.
   *
   * The stream ends when the channel is closed or deleted; cancelling it does not close the channel. Several streams of
   * a channel share its values.
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
   * Returns a Web Stream that puts what is written to it. A write resolves when its put does. At most `highWaterMark`
   * puts are in progress, 16 by default; then the stream applies back pressure.
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
   * How many values wait in the channel; a snapshot. Values that a process has been sent and has not
   * got yet are not among them.
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
   * Waits until no value waits in the channel, as `depth` counts: at once where there is none. Values that
   * are delayed do not wait yet. Values that were received and are not settled do not wait any more, and
   * one that is released waits again. To wait until all work is done, call `closeAll({ drain: true })`: gets
   * and iterations end when every value was accepted.
   *
   * `memory:` tells of every moment in which the channel is empty. Elsewhere it is asked for after growing
   * pauses of up to 250 ms, and a moment between two questions is missed.
   *
   * @throws {ChannelTimeoutError} after `timeout` ms; with `0` it is asked once
   * @throws {ChannelClosedError} if the handle or the channel is closed or deleted
   * @throws {ChannelConnectionError} if the broker cannot be reached within `retryTimeout`
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
   * This handle to send with only: what Go writes `chan<- T`. It is so wherever it travels.
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
   * This handle to receive with only: what Go writes `<-chan T`. It is so wherever it travels.
   *
   * @example
   * ```ts
   * import { Channel, type ReceiveChannel } from "@channelts/channel";
   *
   * await using ch = new Channel<number>();
   * await using work = new Channel<ReceiveChannel<number>>();
   * await work.put(ch.receiver);
   * await ch.put(7);
   *
   * const numbers = await work.get(); // here, or in any other process
   * await numbers.get(); // 7
   * ```
   */
  get receiver(): ReceiveChannel<T> {
    return this.#receiver ??= new ReceiveChannel(this);
  }

  /**
   * A second handle on the same channel, with a life of its own; disposing it deletes nothing.
   *
   * @example
   * ```ts
   * import { Channel } from "@channelts/channel";
   * import { equal } from "node:assert/strict";
   *
   * await using ch = new Channel<string>();
   * const second = ch.dup();
   * await second.put("foo");
   * await second.close(); // ch is not
   * equal(await ch.get(), "foo");
   * ```
   */
  dup(): Channel<T> {
    signatures.dup.check(none, arguments.length);
    return channelOf(new Handle(this.#handle.share()));
  }

  /** A new anonymous channel on the same connection, with the same `encoding`, `stacks` and `retryTimeout`. */
  clone<U = T>(): Channel<U>;
  /**
   * A channel on the same connection, with the same `encoding`, `stacks` and `retryTimeout`, where the options
   * do not say otherwise. What belongs to this channel alone is not taken over: `name`, `capacity`,
   * `durability`, `expires` and `maxAttempts`.
   *
   * @param options the channel's name, or its options, as the constructor takes them
   * @throws {ChannelConfigError} as the constructor does
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
   * Detaches this handle. Its gets reject with a ChannelClosedError; its puts are sent first, as far
   * as the broker takes them within 1,000 ms. Idempotent; never rejects; the channel stays.
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
   * Closes the channel for everyone: pending and later operations of every handle that is attached
   * now, on every host, reject with a ChannelClosedError, and iterations end. Values stay for whoever
   * opens the name anew. A put that was sent before may still resolve: its value is there.
   *
   * With `drain: true` as Go's `close`: puts are rejected at once, gets go on until all is got that was put
   * before, and released for good, and only then reject; iterations end. That lasts until the channel is
   * deleted: who comes later, or after a restart, finds it closed. The errors have the reason `drain`.
   *
   * @throws {ChannelClosedError} if this handle is closed
   * @throws {ChannelConnectionError} if the broker cannot be reached
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
   * @example
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
   * Deletes the channel and its values; operations of all handles reject with a ChannelClosedError.
   *
   * @throws {ChannelClosedError} if this handle is closed
   * @throws {ChannelConnectionError} if the broker cannot be reached
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
   * Closes the handle; if it is the one that made an anonymous channel, the channel is deleted.
   * Idempotent; bounded in time; never rejects.
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#handle.dispose(this);
  }

  #unpack(message: Message, owned: boolean): T {
    const handle = this.#handle;
    // A handle that has attached knows its connection.
    const via = handle.connection as SharedConnection;
    let met: Map<string, Channel> | undefined; // most messages hold no channel
    const open = (reference: Reference) =>
      fromReference(reference, met ??= new Map(), handle.options.report);
    return decodeMessage(message, via, open, owned) as T;
  }
}

/** Closes the handles of channels that the program has dropped without closing them. */
const forgotten = new FinalizationRegistry<Handle>((handle) => void handle.close());

/** A closed handle must not stay there: where it holds its channel, as one for replies does, neither would ever go. */
function closeWhenForgotten(channel: object, handle: Handle): void {
  forgotten.register(channel, handle, handle);
  handle.onClosed.add(() => void forgotten.unregister(handle));
}

const source: unique symbol = Symbol("source");

/** What the constructor takes from this file: a handle, or a reference from a message. */
interface InternalOptions extends ChannelOptions {
  readonly [source]: Handle | ReceivedReference;
}

function isInternal(options: string | ChannelOptions): options is InternalOptions {
  return typeof options === "object" && options !== null && source in options;
}

/** Returns a channel of a handle, or of a reference. */
function channelOf<T>(handle: Handle | ReceivedReference): Channel<T> {
  const options: InternalOptions = { [source]: handle };
  return new Channel<T>(options);
}

/** A reference that came in a message. */
class ReceivedReference {
  readonly #reference: Reference;
  readonly #report: Report | undefined;

  constructor(reference: Reference, report: Report | undefined) {
    this.#reference = reference;
    this.#report = report;
  }

  open(): Handle {
    const { name, connection, encoding } = this.#reference;
    // Whoever sent the name of an anonymous channel has made it: where it is gone, it stays gone.
    const anonymous = isAnonymous(name);
    const lease = anonymous ? defaultLease : undefined;
    const create = !anonymous;
    const about = { name, connection, encoding, report: this.#report };
    return new Handle({ ...about, stacks: true, lease, create, owned: false });
  }
}

/** A channel on the handle's connection; anonymous where no name is given. */
function cloneOf<U>(handle: Handle, options: ChannelOptions = none): Channel<U> {
  return channelOf(new Handle(connectedOptions(options, handle.options)));
}

/** The channel of a reference: the same object for the same channel of one message. */
function fromReference(
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
