import type { CloseAllOptions } from "../handle/contracts.ts";
import type { Delivery } from "../handle/delivery.ts";
import type { Receiver, Sender } from "../handle/sender_receiver.ts";
import type { DeliveriesOptions } from "../handle/iteration.ts";
import type { OperationOptions } from "../handle/operation.ts";
import type { GetCase, PutCase } from "../select/case.ts";
import type { ChannelStats } from "../transports/transport.ts";
import type { Broadcasts, BroadcastsOptions } from "./broadcasts.ts";
import type { ReadableOptions, WritableOptions } from "./streams.ts";

/** The result of {@linkcode Channel.tryGet}. */
export type TryGetResult<T> =
  | { readonly status: "ok"; readonly value: T }
  | { readonly status: "empty" | "closed" };

/** The members of both ends of a channel. */
export interface ChannelEnd extends AsyncDisposable {
  /** The channel's name. */
  readonly name: string;
  /** Whether the handle is closed, for any reason. */
  readonly closed: boolean;
  /** Returns the number of values in the channel, as {@linkcode Channel.depth} does. */
  depth(options?: OperationOptions): Promise<number>;
  /** Returns what is known of the channel, as {@linkcode Channel.stats} does. */
  stats(options?: OperationOptions): Promise<ChannelStats>;
  /** Waits until the channel is empty, as {@linkcode Channel.whenEmpty} does. */
  whenEmpty(options?: OperationOptions): Promise<void>;
  /** Closes the handle, as {@linkcode Channel.close} does. */
  close(): Promise<void>;
  /** Closes the handle, and deletes a channel that was made without a name. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The sending end: the members that a Channel and a SendChannel have in common. */
export interface SendingEnd<T> extends ChannelEnd, Sender<T> {
  /** Puts a value unless that would wait, as {@linkcode Channel.tryPut} does. */
  tryPut(value: T, options?: OperationOptions): Promise<"ok" | "full" | "closed">;
  /** Returns a case that puts a value, as {@linkcode Channel.putCase} does. */
  putCase(value: T): PutCase;
  /** Broadcasts a value, as {@linkcode Channel.broadcast} does. */
  broadcast(value: T, options?: OperationOptions): Promise<void>;
  /** Puts a request and returns its reply, as {@linkcode Channel.request} does. */
  request<R = unknown>(value: T, options?: OperationOptions): Promise<R>;
  /** Returns a Web Stream that puts, as {@linkcode Channel.writable} does. */
  writable(options?: WritableOptions): WritableStream<T>;
  /** Closes the channel for all handles, as {@linkcode Channel.closeAll} does. */
  closeAll(options?: CloseAllOptions): Promise<void>;
}

/** The receiving end: the members that a Channel and a ReceiveChannel have in common. */
export interface ReceivingEnd<T> extends ChannelEnd, Receiver<T>, AsyncIterable<T> {
  /** Gets the next value, as {@linkcode Channel.get} does. */
  get(options?: OperationOptions): Promise<T>;
  /** Gets a value if there is one, as {@linkcode Channel.tryGet} does. */
  tryGet(options?: { readonly signal?: AbortSignal }): Promise<TryGetResult<T>>;
  /** Returns a case that gets, as {@linkcode Channel.getCase} does. */
  getCase(): GetCase<T>;
  /** Listens to broadcasts, as {@linkcode Channel.broadcasts} does. */
  broadcasts(options?: BroadcastsOptions): Broadcasts<T>;
  /** Receives value after value, as {@linkcode Channel.deliveries} does. */
  deliveries(options?: DeliveriesOptions): AsyncIterableIterator<Delivery<T>>;
  /** Returns a Web Stream of the values, as {@linkcode Channel.readable} does. */
  readable(options?: ReadableOptions): ReadableStream<T>;
  /** Iterates over the values, as `for await` over a {@linkcode Channel} does. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T>;
}
