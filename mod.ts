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
export { Channel, type ChannelOptions } from "./src/channel.ts";
export {
  ChannelClosedError,
  ChannelConfigError,
  ChannelConnectionError,
  ChannelDecodeError,
  ChannelError,
  type ChannelErrorOptions,
  ChannelReferenceError,
  ChannelTimeoutError,
  type CloseReason,
} from "./src/errors.ts";
export type { CloseAllOptions } from "./src/handle.ts";
export { Connection, type ConnectionOptions, type Logger } from "./src/connection.ts";
export type { Delivery, ReleaseOptions } from "./src/delivery.ts";
export type { OperationOptions } from "./src/operation.ts";
export type { ConnectionOption } from "./src/connections.ts";
export type {
  Claim,
  Features,
  Link,
  LinkObserver,
  LinkOptions,
  Loan,
  Message,
  Offer,
  Reach,
  Stats,
  Transport,
} from "./src/transport.ts";
