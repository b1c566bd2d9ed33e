import type { ChannelConnectionError } from "../shared/errors.ts";
import type { TransportOptions } from "../transports/transport.ts";

/** What a {@linkcode Connection} calls to log; `console` is a Logger. No message holds a credential. */
export interface Logger {
  /**
   * Called for a failure that rejects no operation: a dead letter or a reply that could not be put, or an error
   * that an `onerror` callback threw.
   */
  error?(message: string): void;
  /** Called for each failed attempt to connect that another one follows, and for each copy of a value that is dropped. */
  debug?(message: string): void;
  /** Called when the connection is established, or when the broker accepts messages again. */
  info?(message: string): void;
  /**
   * Called when the connection is lost or refused, when the broker accepts no messages, for a queue that drops values, and
   * for each value that becomes a dead letter.
   */
  warn?(message: string): void;
}

/**
 * Decides whether a channel that arrives in a message may be used although it is on a broker or a home that this process
 * has not configured. The function is called for each such reference, before the value is returned.
 *
 * The address is untrusted input, in canonical form and without credentials: `zmq://10.0.0.5:5555?key=…`. The answer is
 * `true`, or the options of the connection to be made; `false` or `undefined` refuse the reference. Compare hosts with a
 * list of your own, or compare the key in the address: whoever can send a message chooses the address.
 *
 * The connection is made when the channel is first used. Connections with the same function share what it has allowed,
 * and at most 256 of these connections have channels attached at a time. References that arrive over a connection that
 * was made so are followed only if its options name a function, too.
 *
 * @example
 * ```ts
 * import { Connection, type Follow } from "@channelts/channel";
 *
 * const hosts = new Set(["10.0.0.5", "10.0.0.6"]);
 * const follow: Follow = (address) =>
 *   hosts.has(new URL(address).hostname) && { username: "guest", password: "guest", follow };
 * const connection = new Connection("amqp://localhost", { follow });
 * console.log(connection.address);
 * ```
 */
export type Follow = (address: string) => boolean | ConnectionOptions | undefined;

/** The options of {@linkcode Connection}. */
export interface ConnectionOptions extends TransportOptions {
  /** The `retryTimeout` in milliseconds of channels that do not set their own; default 10,000. */
  readonly retryTimeout?: number;
  /** The logger; without it nothing is logged. */
  readonly logger?: Logger;
  /**
   * Decides which other brokers and homes the channels in this connection's messages may lead to; default: to none but
   * those that this process has configured. The entry `memory` refuses it with a `ChannelConfigError`.
   */
  readonly follow?: Follow;
  /** The initial value of {@linkcode Connection.ondisconnect}. */
  readonly ondisconnect?: (error: ChannelConnectionError) => void;
  /** The initial value of {@linkcode Connection.onreconnect}. */
  readonly onreconnect?: () => void;
}
