// The URI schemes, and what is known of each transport before its code is loaded.

import { ChannelConfigError } from "../shared/errors.ts";
import { platform } from "../shared/host.ts";
import { withoutCredentials } from "../shared/redact.ts";
import { nearest } from "../shared/spelling.ts";
import { parseAmqpUri } from "../transports/amqp/uri.ts";
import { parseMemoryUri } from "../transports/memory/uri.ts";
import { parseSqliteUri } from "../transports/sqlite/uri.ts";
import type { ConnectionWatcher, Reach, Transport } from "../transports/transport.ts";
import type { ConnectionOptions } from "./connection_options.ts";

/** A URI scheme. The code of its transport is loaded when the transport is first used. */
export interface Scheme {
  readonly reach: Reach;
  /**
   * Parses a URI. Two URIs with equal results share a connection.
   *
   * @throws {ChannelConfigError} if the URI is invalid
   */
  parse(uri: string): ParsedUri;
  /** The names of the {@linkcode TransportOptions} that the transport takes. */
  readonly options: readonly string[];
  load(uri: string, options?: TransportOptions, watcher?: ConnectionWatcher): Promise<Transport>;
}

/** What a URI says. The other members differ by scheme. */
export interface ParsedUri {
  /** The canonical address, without credentials. */
  readonly address: string;
}

/** The options of a connection that its transport reads. */
export type TransportOptions = Omit<
  ConnectionOptions,
  "retryTimeout" | "logger" | "ondisconnect" | "onreconnect"
>;

const tlsOptions = ["ca", "cert", "key", "servername"];

const amqp: Scheme = {
  reach: "network",
  parse: parseAmqpUri,
  options: ["username", "password", "name"],
  load: async (uri, options = {}, watcher) => {
    const { AmqpTransport } = await withNodeModules(
      "amqp:",
      () => import("../transports/amqp/transport.ts"),
    );
    return new AmqpTransport(uri, options, watcher);
  },
};

/** Every scheme. A new transport is a folder in transports/ and an entry here. */
const schemes: Readonly<Record<string, Scheme>> = {
  "memory:": {
    reach: "isolate",
    parse: parseMemoryUri,
    options: [],
    load: async (uri) => {
      const { MemoryTransport } = await import("../transports/memory/transport.ts");
      return MemoryTransport.at(parseMemoryUri(uri).address);
    },
  },
  "sqlite:": {
    reach: "machine",
    parse: parseSqliteUri,
    options: [],
    load: async (uri, _, watcher) => {
      const { SqliteTransport } = await withNodeModules(
        "sqlite:",
        () => import("../transports/sqlite/transport.ts"),
      );
      return new SqliteTransport(uri, watcher);
    },
  },
  "amqp:": amqp,
  "amqps:": { ...amqp, options: [...amqp.options, ...tlsOptions] },
};

/** Loads a transport that needs the built-in modules of Node, which browsers and edge runtimes lack. */
async function withNodeModules<T>(scheme: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if (platform() !== undefined) throw cause;
    throw new ChannelConfigError(
      `${scheme} connections need Deno, Bun or Node; in a browser or an edge runtime use memory:, ` +
        "or a transport of your own",
      { cause },
    );
  }
}

/**
 * Returns the scheme of a URI, and what the URI says.
 *
 * @throws {ChannelConfigError} if the scheme is unknown or the URI is invalid
 */
export function parseUri(uri: string): { scheme: Scheme; parsed: ParsedUri } {
  const scheme = schemeOf(uri);
  if (scheme !== undefined) return { scheme, parsed: scheme.parse(uri) };
  const known = Object.keys(schemes);
  const suggestion = suggestedUri(uri, known);
  const advice = suggestion === undefined
    ? `a connection begins with one of ${known.join(" ")}`
    : `did you mean ${suggestion}?`;
  throw new ChannelConfigError(
    `${JSON.stringify(withoutCredentials(uri))} is not the URI of a connection; ${advice}`,
  );
}

/** Checks that a scheme takes all of these options. @throws {ChannelConfigError} for the first that it does not take */
export function checkTransportOptions(
  options: TransportOptions,
  scheme: Scheme,
  address: string,
): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || scheme.options.includes(name)) continue;
    const takers = tlsOptions.includes(name) ? "amqps:" : "amqp: and amqps:";
    throw new ChannelConfigError(`the option "${name}" is for ${takers}, not for ${address}`);
  }
}

/** Returns the address of a URI without regard to its credentials and parameters; undefined if the URI is invalid. */
export function addressOf(uri: string): string | undefined {
  try {
    return schemeOf(uri)?.parse(uri.replace(/[?#].*$/s, "")).address;
  } catch {
    return undefined;
  }
}

/** Returns one address per node of an address that lists nodes: `amqp://a:1,b:2/v` is `amqp://a:1/v`, `amqp://b:2/v`. */
export function nodesOf(address: string): string[] {
  const [, scheme, hosts, rest] = /^([^/]*\/\/)([^/]*)(.*)$/s.exec(address) ?? [];
  return hosts === undefined
    ? [address]
    : hosts.split(",").map((host) => `${scheme}${host}${rest}`);
}

function schemeOf(uri: string): Scheme | undefined {
  const name = /^[a-z][a-z0-9+.-]*:/i.exec(uri)?.[0].toLowerCase() ?? "";
  return Object.hasOwn(schemes, name) ? schemes[name] : undefined;
}

/** Returns the URI that the caller probably meant; undefined if nothing is similar. */
function suggestedUri(text: string, known: readonly string[]): string | undefined {
  const [, word, rest] = /^([a-z][a-z0-9+.-]*)(:\/\/.*|:)?$/is.exec(text) ?? [];
  const near = word === undefined ? undefined : nearest(`${word}:`, known);
  if (near !== undefined) {
    if (!near.startsWith("amqp")) return near;
    return rest === undefined || rest === ":" ? `${near}//localhost` : `${near}//…`;
  }
  if (/^(?:localhost|[\w-]+(?:\.[\w-]+)+)(?::\d{1,5})?$/i.test(text)) return `amqp://${text}`;
  if (/^\.{0,2}\/(?!\/)[^@:]*$/.test(text)) return `sqlite:${text}`;
}
