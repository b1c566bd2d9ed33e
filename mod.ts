/**
 * Go-style channels that cross tasks, threads, processes and hosts.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel";
 *
 * await using ch = new Channel<string>();
 * await ch.put("foo");
 * await ch.get(); // "foo"
 * ```
 *
 * @module
 */
export type { Broadcasts, BroadcastsOptions } from "./src/broadcasts.ts";
export type { CaseSource, GetCase, PutCase } from "./src/cases.ts";
export { Channel, type ChannelOptions, type TryGetResult } from "./src/channel.ts";
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
} from "./src/errors.ts";
export type { CloseAllOptions } from "./src/handle.ts";
export { Connection, type ConnectionOptions, type Logger } from "./src/connection.ts";
export type { Delivery, ReleaseOptions } from "./src/delivery.ts";
export { ReceiveChannel, SendChannel } from "./src/directions.ts";
export { type RequestContext, serve, type ServeOptions } from "./src/serve.ts";
export type { DeliveriesOptions } from "./src/iteration.ts";
export type { ReadableOptions, WritableOptions } from "./src/streams.ts";
export type { OperationOptions } from "./src/operation.ts";
export type { PutOptions } from "./src/put_options.ts";
export type { ConnectionOption } from "./src/connections.ts";
export {
  type Cases,
  type CaseValue,
  type Happened,
  type Index,
  select,
  type Selected,
  trySelect,
} from "./src/select.ts";
export { after, every, type Ticks } from "./src/time.ts";
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
} from "./src/transport.ts";
