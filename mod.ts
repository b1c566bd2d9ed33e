/**
 * Go-style channels that cross tasks, threads, processes and hosts.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel";
 *
 * const ch = new Channel<string>(); // anonymous; `await using ch = …` deletes it at the end of the block
 * try {
 *   await ch.put("foo");
 *   await ch.get(); // "foo"
 * } finally {
 *   await ch.delete(); // on any runtime; otherwise it is deleted 30 minutes after its last use
 * }
 * ```
 *
 * @module
 */
export type { Broadcasts, BroadcastsOptions } from "./src/channel/broadcasts.ts";
export type { CaseSource, GetCase, PutCase } from "./src/select/case.ts";
export { Channel } from "./src/channel/channel.ts";
export type { ChannelOptions } from "./src/channel/channel_options.ts";
export type { ChannelEnd, ReceivingEnd, SendingEnd, TryGetResult } from "./src/channel/ends.ts";
export {
  ChannelClosedError,
  ChannelConfigError,
  ChannelConnectionError,
  ChannelDecodeError,
  ChannelError,
  type ChannelErrorOptions,
  ChannelReferenceError,
  ChannelSizeError,
  ChannelTimeoutError,
  type CloseReason,
  type RefusalReason,
} from "./src/shared/errors.ts";
export type { CloseAllOptions } from "./src/handle/contracts.ts";
export type { Receiver, Sender } from "./src/handle/sender_receiver.ts";
export { Connection, type ConnectionOption } from "./src/connection/connection.ts";
export type { ConnectionOptions, Logger } from "./src/connection/connection_options.ts";
export type { Delivery, ReleaseOptions } from "./src/handle/delivery.ts";
export { ReceiveChannel, SendChannel } from "./src/channel/directed.ts";
export { type RequestContext, serve, type ServeOptions } from "./src/rpc/serve.ts";
export type { DeliveriesOptions } from "./src/handle/iteration.ts";
export { pipe, type PipeOptions } from "./src/channel/pipe.ts";
export type { ReadableOptions, WritableOptions } from "./src/channel/streams.ts";
export type { OperationOptions } from "./src/handle/operation.ts";
export type { PutOptions } from "./src/handle/put_options.ts";
export {
  type Cases,
  type CaseValue,
  type Happened,
  type Index,
  select,
  type Selected,
  trySelect,
} from "./src/select/select.ts";
export { after, every, type Ticks } from "./src/select/ticks.ts";
export type {
  Claim,
  EmptyWaiter,
  Features,
  Link,
  LinkObserver,
  LinkOptions,
  Loan,
  Message,
  Offer,
  PutTerm,
  Reach,
  RoomWaiter,
  Stats,
  Transport,
} from "./src/transports/transport.ts";
