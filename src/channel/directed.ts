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
import type { ReceivingEnd, SendingEnd, TryGetResult } from "./ends.ts";

/**
 * A channel that values are only put into, from {@linkcode Channel.sender}: what Go writes `chan<- T`. It has its
 * channel's handle, so that closing either closes both. Inside a value it travels like a channel, and arrives as a
 * SendChannel; through a channel with `encoding: "json"` it does not travel.
 *
 * @typeParam T what the channel carries
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
 * const { n, replyTo } = await jobs.get(); // whoever has it can answer, and nothing else
 * await replyTo.put(n * 7);
 * equal(await reply.get(), 42);
 * ```
 */
export class SendChannel<T = unknown> implements SendingEnd<T> {
  /** Held, because the handle of a channel that is collected is closed. */
  readonly #channel: SendingEnd<T>;
  /**
   * Throws, as JSON and copies carry no channel. It is a property of each object, so that `structuredClone` and
   * `postMessage` refuse that as well, with a `DataCloneError`.
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

  /** Directs a channel; the same as its `sender`. */
  constructor(channel: SendingEnd<T>) {
    checkUndirected("new SendChannel", channel);
    this.#channel = channel;
  }

  /** Its name and its address. */
  toString(): string {
    return `SendChannel(${handleOf(this.#channel)!.title})`;
  }

  /** The channel's name. */
  get name(): string {
    return this.#channel.name;
  }

  /** Whether the handle takes no more operations, for whatever reason. */
  get closed(): boolean {
    return this.#channel.closed;
  }

  /** Puts a value into the channel, as {@linkcode Channel.put}. */
  put(value: T, options: PutOptions = none): Promise<void> {
    return signatures.put.refusalOf(value, none, arguments.length) ??
      this.#channel.put(value, options);
  }

  /** Puts a value if the channel takes it now, as {@linkcode Channel.tryPut}. */
  tryPut(value: T, options: OperationOptions = none): Promise<"ok" | "full" | "closed"> {
    return signatures.tryPut.refusalOf(value, none, arguments.length) ??
      this.#channel.tryPut(value, options);
  }

  /** A case that puts, as {@linkcode Channel.putCase}. */
  putCase(value: T): PutCase {
    signatures.putCase.check(none, arguments.length);
    return this.#channel.putCase(value);
  }

  /** Tells a value to everyone who listens, as {@linkcode Channel.broadcast}. */
  broadcast(value: T, options: OperationOptions = none): Promise<void> {
    return signatures.broadcast.refusalOf(value, none, arguments.length) ??
      this.#channel.broadcast(value, options);
  }

  /** Puts a request and resolves with its reply, as {@linkcode Channel.request}. */
  request<R = unknown>(value: T, options: OperationOptions = none): Promise<R> {
    return signatures.request.refusalOf(value, none, arguments.length) ??
      this.#channel.request<R>(value, options);
  }

  /** A Web Stream to write to, as {@linkcode Channel.writable}. */
  writable(options: WritableOptions = none): WritableStream<T> {
    signatures.writable.check(none, arguments.length);
    return this.#channel.writable(options);
  }

  /** Closes the channel for everyone, as {@linkcode Channel.closeAll}: in Go, that is the sender's to do. */
  closeAll(options: CloseAllOptions = none): Promise<void> {
    return signatures.closeAll.refusal(none, arguments.length) ??
      this.#channel.closeAll(options);
  }

  /** How many values wait in the channel, as {@linkcode Channel.depth}. */
  depth(options: OperationOptions = none): Promise<number> {
    return signatures.depth.refusal(none, arguments.length) ??
      this.#channel.depth(options);
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

  /** Closes the handle, and deletes a channel that was made without a name. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#channel[Symbol.asyncDispose]();
  }
}

/**
 * A channel that values are only received from, from {@linkcode Channel.receiver}: what Go writes `<-chan T`. It has
 * its channel's handle, so that closing either closes both. Inside a value it travels like a channel, and arrives as a
 * ReceiveChannel; through a channel with `encoding: "json"` it does not travel.
 *
 * @typeParam T what the channel carries
 *
 * @example
 * ```ts
 * import { Channel, type ReceiveChannel } from "@channelts/channel";
 *
 * async function sum(numbers: ReceiveChannel<number>) {
 *   let sum = 0;
 *   for await (const n of numbers) sum += n; // and nothing here can put or end what it reads
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
  /** Held, because the handle of a channel that is collected is closed. */
  readonly #channel: ReceivingEnd<T>;
  /**
   * Throws, as JSON and copies carry no channel. It is a property of each object, so that `structuredClone` and
   * `postMessage` refuse that as well, with a `DataCloneError`.
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

  /** Directs a channel; the same as its `receiver`. */
  constructor(channel: ReceivingEnd<T>) {
    checkUndirected("new ReceiveChannel", channel);
    this.#channel = channel;
  }

  /** Its name and its address. */
  toString(): string {
    return `ReceiveChannel(${handleOf(this.#channel)!.title})`;
  }

  /** The channel's name. */
  get name(): string {
    return this.#channel.name;
  }

  /** Whether the handle takes no more operations, for whatever reason. */
  get closed(): boolean {
    return this.#channel.closed;
  }

  /** Takes the next value, as {@linkcode Channel.get}. */
  get(options: OperationOptions = none): Promise<T> {
    return signatures.get.refusal(none, arguments.length) ??
      this.#channel.get(options);
  }

  /** Takes a value if one is there, as {@linkcode Channel.tryGet}. */
  tryGet(options: { readonly signal?: AbortSignal } = none): Promise<TryGetResult<T>> {
    return signatures.tryGet.refusal(none, arguments.length) ??
      this.#channel.tryGet(options);
  }

  /** A case that gets, as {@linkcode Channel.getCase}. */
  getCase(): GetCase<T> {
    signatures.getCase.check(none, arguments.length);
    return this.#channel.getCase();
  }

  /** Listens to what is broadcast on the channel, as {@linkcode Channel.broadcasts}. */
  broadcasts(options: BroadcastsOptions = none): Broadcasts<T> {
    signatures.broadcasts.check(none, arguments.length);
    return this.#channel.broadcasts(options);
  }

  /** Takes the next value on loan, as {@linkcode Channel.receive}. */
  receive(options: OperationOptions = none): Promise<Delivery<T>> {
    return signatures.receive.refusal(none, arguments.length) ??
      this.#channel.receive(options);
  }

  /** A Web Stream of the values, as {@linkcode Channel.readable}. */
  readable(options: ReadableOptions = none): ReadableStream<T> {
    signatures.readable.check(none, arguments.length);
    return this.#channel.readable(options);
  }

  /** Gets value after value, until the channel is closed or deleted by anyone. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    return this.#channel[Symbol.asyncIterator]();
  }

  /** Receives value after value on loan, as {@linkcode Channel.deliveries}. */
  deliveries(options: DeliveriesOptions = none): AsyncIterableIterator<Delivery<T>> {
    signatures.deliveries.check(none, arguments.length);
    return this.#channel.deliveries(options);
  }

  /** How many values wait in the channel, as {@linkcode Channel.depth}. */
  depth(options: OperationOptions = none): Promise<number> {
    return signatures.depth.refusal(none, arguments.length) ??
      this.#channel.depth(options);
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

  /** Closes the handle, and deletes a channel that was made without a name. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#channel[Symbol.asyncDispose]();
  }
}

/** A directed channel is no way to one of the other direction. */
function checkUndirected(action: string, channel: object): void {
  checkArgument(action, "channel", signatures.directedChannel, channel);
}
