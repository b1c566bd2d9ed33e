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
export type { OperationOptions } from "./src/operation.ts";
export type { ConnectionOption } from "./src/connections.ts";
export type {
  Claim,
  Delivery,
  Features,
  Link,
  LinkObserver,
  LinkOptions,
  Message,
  Reach,
  Transport,
} from "./src/transport.ts";
