import type { ChannelConnectionError } from "../shared/errors.ts";
import type { TransportOptions } from "../transports/transport.ts";

/** What a {@linkcode Connection} calls to log; `console` is a Logger. No message holds a credential. */
export interface Logger {
  /**
   * Called for a failure that rejects no operation: a dead letter or a reply that could not be put, or an error
   * that an `onerror` callback threw.
   */
  error?(message: string): void;
  /** Called for each failed attempt to connect. */
  debug?(message: string): void;
  /** Called when the connection is established, or when the broker accepts messages again. */
  info?(message: string): void;
  /** Called when the connection is lost, or when the broker accepts no messages. */
  warn?(message: string): void;
}

/** The options of {@linkcode Connection}. */
export interface ConnectionOptions extends TransportOptions {
  /** The `retryTimeout` in milliseconds of channels that do not set their own; default 10,000. */
  readonly retryTimeout?: number;
  /** The logger; without it nothing is logged. */
  readonly logger?: Logger;
  /** The initial value of {@linkcode Connection.ondisconnect}. */
  readonly ondisconnect?: (error: ChannelConnectionError) => void;
  /** The initial value of {@linkcode Connection.onreconnect}. */
  readonly onreconnect?: () => void;
}
