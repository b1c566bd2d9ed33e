import { customConnection, setShared, type SharedConnection } from "./shared_connection.ts";
import { errorOfAction } from "../shared/error_copies.ts";
import type { ChannelConnectionError } from "../shared/errors.ts";
import { checkArgument, none } from "../shared/options.ts";
import * as signatures from "../channel/signatures.ts";
import type { ConnectionWatcher, Stats } from "../transports/transport.ts";

/** Where a connection tells what happens to it; `console` is one. */
export interface Logger {
  /**
   * Told what could not be done, where no operation is there to be rejected: a dead letter or a reply that
   * could not be put, an error of an `onerror`.
   */
  error?(message: string): void;
  /** Told of each attempt that failed. */
  debug?(message: string): void;
  /** Told that the connection is made, or the broker takes messages again. */
  info?(message: string): void;
  /** Told that the connection is lost, or that the broker takes no messages. */
  warn?(message: string): void;
}

/** What a connection may have beside its URI. Keys and certificates are in PEM, as `node:tls` takes them. */
export interface ConnectionOptions {
  /** Instead of the URI's user name. */
  readonly username?: string;
  /** Instead of the URI's password. */
  readonly password?: string;
  /** How the broker's management shows the connection; default: `ChannelTS`, host name and process id. */
  readonly name?: string;
  /** With `amqps:`, the certificates of the authorities to trust, instead of the system's. */
  readonly ca?: string | readonly string[];
  /** With `amqps:`, this client's certificate. */
  readonly cert?: string;
  /** With `amqps:`, the private key of `cert`. */
  readonly key?: string;
  /** With `amqps:`, the name that the broker's certificate must be for; default: the URI's host. */
  readonly servername?: string;
  /** Milliseconds, for channels that say nothing else; default 10,000. */
  readonly retryTimeout?: number;
  /** Absent: nothing is logged. What is logged holds no credentials. */
  readonly logger?: Logger;
  /** The initial {@linkcode Connection.ondisconnect}. */
  readonly ondisconnect?: (error: ChannelConnectionError) => void;
  /** The initial {@linkcode Connection.onreconnect}. */
  readonly onreconnect?: () => void;
}

/**
 * A connection to a broker that channels are made on, where a URI alone does not say enough. It opens when
 * the first of its channels is used, opens again when it is lost, and closes with the last. Channels that
 * are to share it are given the same object.
 *
 * @example
 * ```ts
 * import { Channel, Connection } from "@channelts/channel";
 *
 * const connection = new Connection("amqp://localhost", {
 *   name: "billing",
 *   logger: console,
 *   onreconnect: () => console.log("back again"),
 * });
 * const invoices = new Channel({ name: "invoices", connection }); // nothing is sent yet
 * console.log(connection.address, connection.stats.outstanding);
 * ```
 */
export class Connection {
  /** Called when the connection is lost; what is pending goes on when it is back. */
  ondisconnect: ((error: ChannelConnectionError) => void) | undefined;
  /** Called when it is back, and before anything is sent on it. */
  onreconnect: (() => void) | undefined;
  readonly #shared: SharedConnection;

  /**
   * Opens nothing yet.
   *
   * @param uri as the option `connection` of a channel takes it
   * @throws {ChannelConfigError} for a URI or an option that cannot be used
   */
  constructor(uri: string | URL, options: ConnectionOptions = none) {
    signatures.newConnection.check(options, arguments.length);
    checkArgument("new Connection", "uri", signatures.uri, uri);
    const { retryTimeout, logger, ondisconnect, onreconnect, ...custom } = options;
    this.ondisconnect = ondisconnect;
    this.onreconnect = onreconnect;
    let shared: SharedConnection;
    try {
      shared = customConnection(String(uri), custom, this.#watcher(logger), retryTimeout);
    } catch (error) {
      throw errorOfAction("new Connection", error);
    }
    this.#shared = shared;
    setShared(this, shared, (problem) => log(logger, "error", problem));
  }

  /** Its address, without credentials. */
  toString(): string {
    return `Connection(${this.address})`;
  }

  /** Canonical, and without credentials. */
  get address(): string {
    return this.#shared.address;
  }

  /** What it has done since it was made. */
  get stats(): Readonly<Stats> {
    return { ...this.#shared.stats };
  }

  #watcher(logger: Logger | undefined): ConnectionWatcher {
    const here = () => this.#shared.address;
    return {
      connected: (isAgain) => {
        log(logger, "info", `${isAgain ? "connected again" : "connected"} to ${here()}`);
        if (isAgain) outside(() => this.onreconnect?.());
      },
      disconnected: (error) => {
        log(logger, "warn", error.message);
        outside(() => this.ondisconnect?.(error as ChannelConnectionError));
      },
      failed: (error, pause) => {
        const next = pause === Infinity ? "not tried again" : `next try in ${Math.round(pause)} ms`;
        log(logger, "debug", `${error.message}; ${next}`);
      },
      blocked: (reason) => {
        if (reason === undefined) log(logger, "info", `${here()} takes messages again`);
        else log(logger, "warn", `${here()} takes no messages: ${reason}`);
      },
      warned: (problem) => log(logger, "warn", problem),
    };
  }
}

function log(logger: Logger | undefined, level: keyof Logger, text: string): void {
  outside(() => logger?.[level]?.(`ChannelTS: ${text}`));
}

/** An error of the program's own code must not end ours; it is reported like one of a timer's. */
function outside(call: () => void): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
