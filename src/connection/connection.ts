import { errorOfAction } from "../shared/error_copies.ts";
import { ChannelConfigError, type ChannelConnectionError } from "../shared/errors.ts";
import {
  callable,
  checkArgument,
  milliseconds,
  none,
  type Rule,
  type Rules,
  secret,
  Signature,
  text,
} from "../shared/options.ts";
import type { ConnectionWatcher, Stats, Transport } from "../transports/transport.ts";
import { customConnection, setShared, unlisted } from "./configured.ts";
import type { ConnectionOptions, Follow, Logger } from "./connection_options.ts";
import type { Follower, SharedConnection } from "./shared_connection.ts";

let followerOf = (_: Follow): Follower => {
  throw new ChannelConfigError(
    'the option "follow" is not in "@channelts/channel/memory"; import from "@channelts/channel"',
  );
};

/** Adds the option `follow`. @param of returns how a connection with this function finds the connections of addresses */
export function setFollower(of: typeof followerOf): void {
  followerOf = of;
}

const uriRule: Rule = {
  takes: "a URI such as amqp://localhost, or a URL",
  allows: (value) => typeof value === "string" ? value !== "" : value instanceof URL,
  isSecret: true,
};

const signature: Signature = /* @__PURE__ */ new Signature(
  "new Connection",
  2,
  {
    username: secret,
    password: secret,
    name: text,
    ca: {
      takes: "PEM text, or an array of such",
      allows: (value) => (Array.isArray(value) ? value : [value]).every(text.allows),
      isSecret: true,
    },
    cert: secret,
    key: secret,
    servername: text,
    retryTimeout: milliseconds(),
    logger: {
      takes: "an object such as console",
      allows: (value) => typeof value === "object" && value !== null,
    },
    follow: callable,
    ondisconnect: callable,
    onreconnect: callable,
  } satisfies Rules<ConnectionOptions>,
  'new Connection("amqp://localhost", { name: "billing" })',
);

/**
 * The connection of a channel: a URI, a {@linkcode Connection}, or a transport of the program's own. Channels whose URIs
 * mean the same broker, the same credentials and the same parameters share one connection.
 */
export type ConnectionOption = string | URL | Connection | Transport;

/**
 * A connection to a broker, for channels that need more than a URI: credentials, certificates, a logger, callbacks.
 * The connection opens when the first of its channels is used, reopens when it is lost, and closes with the last
 * channel. Channels share the connection if they are given the same object.
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
  /** Called when the connection is lost. Pending operations continue when it is back. */
  ondisconnect: ((error: ChannelConnectionError) => void) | undefined;
  /** Called when the connection is back, before anything is sent on it. */
  onreconnect: (() => void) | undefined;
  readonly #shared: SharedConnection;

  /**
   * Describes a connection; nothing is opened before a channel uses it.
   *
   * @param uri a URI as the `connection` option of a channel takes it
   * @throws {ChannelConfigError} if the URI or an option is invalid
   */
  constructor(uri: string | URL, options: ConnectionOptions = none) {
    const isListed = arguments[2] !== unlisted;
    signature.check(options, isListed ? arguments.length : 2);
    checkArgument("new Connection", "uri", uriRule, uri);
    const { retryTimeout, logger, follow, ondisconnect, onreconnect, ...custom } = options;
    this.ondisconnect = ondisconnect;
    this.onreconnect = onreconnect;
    let shared: SharedConnection;
    try {
      const follower = follow && followerOf(follow);
      const watcher = this.#watcher(logger);
      shared = customConnection(String(uri), custom, watcher, retryTimeout, isListed);
      if (follower !== undefined) shared.follow = follower;
    } catch (error) {
      throw errorOfAction("new Connection", error);
    }
    this.#shared = shared;
    setShared(this, shared, (problem, level = "error") => log(logger, level, problem));
  }

  /** Returns `Connection(address)`, without credentials. */
  toString(): string {
    return `Connection(${this.address})`;
  }

  /** The canonical address of the broker, without credentials. */
  get address(): string {
    return this.#shared.address;
  }

  /** Counts of what the connection has done since it was made; a copy. */
  get stats(): Readonly<Stats> {
    return { ...this.#shared.stats };
  }

  #watcher(logger: Logger | undefined): ConnectionWatcher {
    const address = () => this.#shared.address;
    return {
      connected: (isAgain) => {
        log(logger, "info", `${isAgain ? "connected again" : "connected"} to ${address()}`);
        if (isAgain) callUser(() => this.onreconnect?.());
      },
      disconnected: (error) => {
        log(logger, "warn", error.message);
        callUser(() => this.ondisconnect?.(error as ChannelConnectionError));
      },
      failed: (error, pause) => {
        const next = pause === Infinity ? "no further try" : `next try in ${Math.round(pause)} ms`;
        log(logger, pause === Infinity ? "warn" : "debug", `${error.message}; ${next}`);
      },
      blocked: (reason) => {
        if (reason === undefined) log(logger, "info", `${address()} accepts messages again`);
        else log(logger, "warn", `${address()} accepts no messages: ${reason}`);
      },
      warned: (problem) => log(logger, "warn", problem),
      noted: (event) => log(logger, "debug", event),
    };
  }
}

/** Logs one line: an error may quote a message, which another program may have written. */
function log(logger: Logger | undefined, level: keyof Logger, text: string): void {
  callUser(() => logger?.[level]?.(`ChannelTS: ${text.replace(/\p{Cc}+/gu, " ")}`));
}

/** Calls the program's code. An error that it throws is reported as an uncaught error and does not end ours. */
function callUser(call: () => void): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
