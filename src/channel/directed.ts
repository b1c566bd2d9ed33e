import type { Broadcasts, BroadcastsOptions } from "./broadcasts.ts";
import type { GetCase, PutCase } from "../select/case.ts";
import type { Delivery } from "../handle/delivery.ts";
import { brand, registerChannelClass, toJSON } from "../handle/channel_registry.ts";
import type { CloseAllOptions } from "../handle/contracts.ts";
import { handleOf } from "../handle/handle.ts";
import type { DeliveriesOptions } from "../handle/iteration.ts";
import type { OperationOptions } from "../handle/operation.ts";
import type { PutOptions } from "../handle/put_options.ts";
import type { ReadableOptions, WritableOptions } from "./streams.ts";
import * as signatures from "./signatures.ts";
import { checkArgument, none } from "../shared/options.ts";
import type { ChannelStats } from "../transports/transport.ts";
import type { ReceivingEnd, SendingEnd, TryGetResult } from "./ends.ts";

/**
 * The sending end of a channel, from {@linkcode Channel.sender}: Go's `chan<- T`. It uses the handle of its channel, so
 * closing one closes the other. Inside a value it travels as a SendChannel; a channel with `encoding: "json"` refuses
 * it.
 *
 * @typeParam T the type of the values
 *
 * @example
 * ```ts
 * import { Channel, type SendChannel } from "@channelts/channel";
 * import { equal } from "node:assert/strict";
 *
 * await using jobs = new Channel<{ n: number; replyTo: SendChannel<number> }>();
 * await using reply = new Channel<number>();
 * await jobs.put({ n: 6, replyTo: reply.sender });
 *
 * const { n, replyTo } = await jobs.get(); // replyTo can only put
 * await replyTo.put(n * 7);
 * equal(await reply.get(), 42);
 * ```
 */
export class SendChannel<T = unknown> implements SendingEnd<T> {
  /** Keeps the channel alive: when a channel is garbage collected, its handle is closed. */
  readonly #channel: SendingEnd<T>;
  /**
   * Throws a {@linkcode ChannelReferenceError}: JSON cannot carry a channel. As a property of the object it also makes
   * `structuredClone` and `postMessage` throw a `DataCloneError`.
   */
  readonly toJSON: () => never = toJSON;

  static {
    Object.defineProperty(this.prototype, brand, { value: true });
    registerChannelClass({
      is: (object) => #channel in object,
      handle: (object) => handleOf((object as SendChannel).#channel)!,
      direction: "send",
    });
  }

  /** Makes the sending end of a channel, as {@linkcode Channel.sender}. */
  constructor(channel: SendingEnd<T>) {
    checkUndirected("new SendChannel", channel);
    this.#channel = channel;
  }

  /** Returns `SendChannel(…)` with the name and the address. */
  toString(): string {
    return `SendChannel(${handleOf(this.#channel)!.title})`;
  }

  /** The name of the channel. */
  get name(): string {
    return this.#channel.name;
  }

  /** Whether the handle is closed, for any reason. */
  get closed(): boolean {
    return this.#channel.closed;
  }

  /** Puts a value into the channel, as {@linkcode Channel.put}. */
  put(value: T, options: PutOptions = none): Promise<void> {
    return signatures.put.refusalOf(value, none, arguments.length) ??
      this.#channel.put(value, options);
  }

  /** Puts a value unless that would wait for room, as {@linkcode Channel.tryPut}. */
  tryPut(value: T, options: OperationOptions = none): Promise<"ok" | "full" | "closed"> {
    return signatures.tryPut.refusalOf(value, none, arguments.length) ??
      this.#channel.tryPut(value, options);
  }

  /** Returns a case that puts a value, as {@linkcode Channel.putCase}. */
  putCase(value: T): PutCase {
    signatures.putCase.check(none, arguments.length);
    return this.#channel.putCase(value);
  }

  /** Sends a value to all listeners, as {@linkcode Channel.broadcast}. */
  broadcast(value: T, options: OperationOptions = none): Promise<void> {
    return signatures.broadcast.refusalOf(value, none, arguments.length) ??
      this.#channel.broadcast(value, options);
  }

  /** Puts a request and resolves with its reply, as {@linkcode Channel.request}. */
  request<R = unknown>(value: T, options: OperationOptions = none): Promise<R> {
    return signatures.request.refusalOf(value, none, arguments.length) ??
      this.#channel.request<R>(value, options);
  }

  /** Returns a Web Stream that puts, as {@linkcode Channel.writable}. */
  writable(options: WritableOptions = none): WritableStream<T> {
    signatures.writable.check(none, arguments.length);
    return this.#channel.writable(options);
  }

  /** Closes the channel for everyone, as {@linkcode Channel.closeAll}. As in Go, only the sending end can do this. */
  closeAll(options: CloseAllOptions = none): Promise<void> {
    return signatures.closeAll.refusal(none, arguments.length) ??
      this.#channel.closeAll(options);
  }

  /** Returns the number of values that wait in the channel, as {@linkcode Channel.depth}. */
  depth(options: OperationOptions = none): Promise<number> {
    return signatures.depth.refusal(none, arguments.length) ??
      this.#channel.depth(options);
  }

  /** Returns what is known of the channel, as {@linkcode Channel.stats}. */
  stats(options: OperationOptions = none): Promise<ChannelStats> {
    return signatures.stats.refusal(none, arguments.length) ??
      this.#channel.stats(options);
  }

  /** Waits until no value waits in the channel, as {@linkcode Channel.whenEmpty}. */
  whenEmpty(options: OperationOptions = none): Promise<void> {
    return signatures.whenEmpty.refusal(none, arguments.length) ??
      this.#channel.whenEmpty(options);
  }

  /** Closes the handle, as {@linkcode Channel.close}. */
  close(): Promise<void> {
    return signatures.close.refusalOfLiteral(arguments) ?? this.#channel.close();
  }

  /** Closes the handle, and deletes the channel if this handle created it without a name. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#channel[Symbol.asyncDispose]();
  }
}

/**
 * The receiving end of a channel, from {@linkcode Channel.receiver}: Go's `<-chan T`. It uses the handle of its
 * channel, so closing one closes the other. Inside a value it travels as a ReceiveChannel; a channel with
 * `encoding: "json"` refuses it.
 *
 * @typeParam T the type of the values
 *
 * @example
 * ```ts
 * import { Channel, type ReceiveChannel } from "@channelts/channel";
 *
 * async function sum(numbers: ReceiveChannel<number>) {
 *   let sum = 0;
 *   for await (const n of numbers) sum += n; // numbers can neither put nor call closeAll
 *   return sum;
 * }
 *
 * await using ch = new Channel<number>();
 * const summing = sum(ch.receiver);
 * for (const n of [1, 2, 3]) await ch.put(n);
 * setTimeout(() => ch.closeAll(), 10);
 * await summing; // 6
 * ```
 */
export class ReceiveChannel<T = unknown> implements ReceivingEnd<T> {
  /** Keeps the channel alive: when a channel is garbage collected, its handle is closed. */
  readonly #channel: ReceivingEnd<T>;
  /**
   * Throws a {@linkcode ChannelReferenceError}: JSON cannot carry a channel. As a property of the object it also makes
   * `structuredClone` and `postMessage` throw a `DataCloneError`.
   */
  readonly toJSON: () => never = toJSON;

  static {
    Object.defineProperty(this.prototype, brand, { value: true });
    registerChannelClass({
      is: (object) => #channel in object,
      handle: (object) => handleOf((object as ReceiveChannel).#channel)!,
      direction: "receive",
    });
  }

  /** Makes the receiving end of a channel, as {@linkcode Channel.receiver}. */
  constructor(channel: ReceivingEnd<T>) {
    checkUndirected("new ReceiveChannel", channel);
    this.#channel = channel;
  }

  /** Returns `ReceiveChannel(…)` with the name and the address. */
  toString(): string {
    return `ReceiveChannel(${handleOf(this.#channel)!.title})`;
  }

  /** The name of the channel. */
  get name(): string {
    return this.#channel.name;
  }

  /** Whether the handle is closed, for any reason. */
  get closed(): boolean {
    return this.#channel.closed;
  }

  /** Gets the next value, as {@linkcode Channel.get}. */
  get(options: OperationOptions = none): Promise<T> {
    return signatures.get.refusal(none, arguments.length) ??
      this.#channel.get(options);
  }

  /** Gets a value that is in the channel now, as {@linkcode Channel.tryGet}. */
  tryGet(options: { readonly signal?: AbortSignal } = none): Promise<TryGetResult<T>> {
    return signatures.tryGet.refusal(none, arguments.length) ??
      this.#channel.tryGet(options);
  }

  /** Returns a case that gets a value, as {@linkcode Channel.getCase}. */
  getCase(): GetCase<T> {
    signatures.getCase.check(none, arguments.length);
    return this.#channel.getCase();
  }

  /** Listens to the broadcasts of the channel, as {@linkcode Channel.broadcasts}. */
  broadcasts(options: BroadcastsOptions = none): Broadcasts<T> {
    signatures.broadcasts.check(none, arguments.length);
    return this.#channel.broadcasts(options);
  }

  /** Receives the next value on loan, as {@linkcode Channel.receive}. */
  receive(options: OperationOptions = none): Promise<Delivery<T>> {
    return signatures.receive.refusal(none, arguments.length) ??
      this.#channel.receive(options);
  }

  /** Returns a Web Stream of the values, as {@linkcode Channel.readable}. */
  readable(options: ReadableOptions = none): ReadableStream<T> {
    signatures.readable.check(none, arguments.length);
    return this.#channel.readable(options);
  }

  /** Returns an iterator over the values, as {@linkcode Channel} does for `for await`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    return this.#channel[Symbol.asyncIterator]();
  }

  /** Returns an iterator over deliveries, as {@linkcode Channel.deliveries}. */
  deliveries(options: DeliveriesOptions = none): AsyncIterableIterator<Delivery<T>> {
    signatures.deliveries.check(none, arguments.length);
    return this.#channel.deliveries(options);
  }

  /** Returns the number of values that wait in the channel, as {@linkcode Channel.depth}. */
  depth(options: OperationOptions = none): Promise<number> {
    return signatures.depth.refusal(none, arguments.length) ??
      this.#channel.depth(options);
  }

  /** Returns what is known of the channel, as {@linkcode Channel.stats}. */
  stats(options: OperationOptions = none): Promise<ChannelStats> {
    return signatures.stats.refusal(none, arguments.length) ??
      this.#channel.stats(options);
  }

  /** Waits until no value waits in the channel, as {@linkcode Channel.whenEmpty}. */
  whenEmpty(options: OperationOptions = none): Promise<void> {
    return signatures.whenEmpty.refusal(none, arguments.length) ??
      this.#channel.whenEmpty(options);
  }

  /** Closes the handle, as {@linkcode Channel.close}. */
  close(): Promise<void> {
    return signatures.close.refusalOfLiteral(arguments) ?? this.#channel.close();
  }

  /** Closes the handle, and deletes the channel if this handle created it without a name. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#channel[Symbol.asyncDispose]();
  }
}

/** Refuses a sending or receiving end: the other direction cannot be made from it. */
function checkUndirected(action: string, channel: object): void {
  checkArgument(action, "channel", signatures.directedChannel, channel);
}
