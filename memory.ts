/**
 * The library with the transport `memory:` alone, for browsers, edge runtimes and small bundles. It imports no module of
 * a runtime. The other entries export the same and add what this one does not have: a transport, configuration files,
 * and the encoding JSON, which is for channels that other languages reach.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel/memory";
 *
 * const ch = new Channel<string>();
 * await ch.put("foo");
 * await ch.get(); // "foo"
 * await ch.delete();
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
export type { ConnectionOptions, Follow, Logger } from "./src/connection/connection_options.ts";
export type { Delivery, ReleaseOptions } from "./src/handle/delivery.ts";
export { ReceiveChannel, SendChannel } from "./src/channel/directed.ts";
export { type RequestContext, serve, type ServeOptions } from "./src/rpc/serve.ts";
export { registerTransport } from "./src/connection/register_transport.ts";
export type { DeliveriesOptions } from "./src/handle/iteration.ts";
export { pipe, type PipeOptions } from "./src/channel/piping.ts";
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
export { ImmediateLink, type Lent } from "./src/transports/immediate_link.ts";
export type {
  ChannelStats,
  Claim,
  ConnectionWatcher,
  EmptyWaiter,
  Features,
  Link,
  LinkObserver,
  LinkOptions,
  Loan,
  Message,
  Offer,
  ParsedUri,
  PutTerm,
  Reach,
  RoomWaiter,
  Scheme,
  Stats,
  Transport,
  TransportOptions,
} from "./src/transports/transport.ts";
