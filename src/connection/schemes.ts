// The URI schemes, and what is known of each transport before its code is loaded. memory: is always here. The other
// transports of the library are added by the package's entries, and those of the program by registerTransport, so that
// a bundle contains no transport that nobody has imported.

import { ChannelConfigError } from "../shared/errors.ts";
import { withoutCredentials } from "../shared/redact.ts";
import { nearest } from "../shared/spelling.ts";
import { MemoryTransport } from "../transports/memory/transport.ts";
import { parseMemoryUri } from "../transports/memory/uri.ts";
import type { ParsedUri, Scheme, TransportOptions } from "../transports/transport.ts";

/** The schemes of this process, by name. */
const schemes = new Map<string, Scheme>([
  ["memory:", {
    reach: "isolate",
    parse: parseMemoryUri,
    load: (uri) => MemoryTransport.at(parseMemoryUri(uri).address),
  }],
]);

/** The schemes of the library that an entry of the package adds. */
const addable = ["sqlite:", "amqp:", "amqps:", "redis:", "rediss:", "zmq:", "ws:", "wss:"];

/** The options of TLS, which amqps:, rediss: and wss: take. */
const tlsOptions = ["ca", "cert", "key", "servername"];

/** Adds schemes, unless another entry of the package has added them. */
export function addSchemes(added: Readonly<Record<string, Scheme>>): void {
  for (const [name, scheme] of Object.entries(added)) {
    if (!schemes.has(name)) schemes.set(name, scheme);
  }
}

/** Reports whether a scheme belongs to this library, and else whether it is added. */
export function ownerOf(name: string): "library" | "program" | undefined {
  if (name === "memory:" || addable.includes(name)) return "library";
  return schemes.has(name) ? "program" : undefined;
}

/**
 * Returns the scheme of a URI, and what the URI says.
 *
 * @throws {ChannelConfigError} if the scheme is unknown or not imported, or the URI is invalid
 */
export function parseUri(uri: string): { scheme: Scheme; parsed: ParsedUri } {
  const name = schemeName(uri);
  const scheme = schemes.get(name);
  if (scheme !== undefined) return { scheme, parsed: scheme.parse(uri) };
  if (addable.includes(name)) throw notImported(name);
  const known = [...new Set(["memory:", ...addable, ...schemes.keys()])];
  const suggestion = suggestedUri(uri, known);
  const advice = suggestion === undefined
    ? `a connection begins with one of ${known.join(" ")}`
    : `did you mean ${suggestion}?`;
  throw new ChannelConfigError(
    `${JSON.stringify(withoutCredentials(uri))} is not the URI of a connection; ${advice}`,
  );
}

function notImported(name: string): ChannelConfigError {
  const isWeb = name[0] === "w";
  const entry = isWeb ? "web" : name === "zmq:" ? "home" : /^(sqlite|amqp|redis)/.exec(name)![0];
  const where = isWeb ? "" : " on Deno, Bun and Node; elsewhere, use memory: or ws:";
  return new ChannelConfigError(
    `the transport of ${name} is not imported; import from "@channelts/channel/${entry}"${where}`,
  );
}

/** Checks that a scheme takes all of these options. @throws {ChannelConfigError} for the first that it does not take */
export function checkTransportOptions(
  options: TransportOptions,
  scheme: Scheme,
  address: string,
): void {
  for (const [name, value] of Object.entries(options) as [keyof TransportOptions, unknown][]) {
    if (value === undefined || scheme.options?.includes(name)) continue;
    const takers = tlsOptions.includes(name) ? "amqps:, rediss: and wss:" : "brokers and homes";
    throw new ChannelConfigError(`the option "${name}" is for ${takers}, not for ${address}`);
  }
}

/** Returns the address of a URI, also if its parameters are none of the scheme; undefined if the URI is invalid. */
export function addressOf(uri: string): string | undefined {
  const scheme = schemes.get(schemeName(uri));
  for (const text of [uri, uri.replace(/[?#].*$/s, "")]) {
    try {
      return scheme?.parse(text).address;
    } catch {
      // the next text, or undefined
    }
  }
}

/** Returns one address per node of an address that lists nodes: `amqp://a:1,b:2/v` is `amqp://a:1/v`, `amqp://b:2/v`. */
export function nodesOf(address: string): string[] {
  const [, scheme, hosts, rest] = /^([^/]*\/\/)([^/]*)(.*)$/s.exec(address) ?? [];
  return hosts === undefined
    ? [address]
    : hosts.split(",").map((host) => `${scheme}${host}${rest}`);
}

/** Reports whether a text begins with a URI scheme. */
export function hasScheme(text: string): boolean {
  return schemeName(text) !== "";
}

/** Returns the scheme of a URI in lower case, with its colon; empty if it has none. */
function schemeName(uri: string): string {
  return /^[a-z][a-z0-9+.-]*:/i.exec(uri)?.[0].toLowerCase() ?? "";
}

/** Returns the URI that the caller probably meant; undefined if nothing is similar. */
function suggestedUri(text: string, known: readonly string[]): string | undefined {
  const [, word, rest] = /^([a-z][a-z0-9+.-]*)(:\/\/.*|:)?$/is.exec(text) ?? [];
  const near = word === undefined ? undefined : nearest(`${word}:`, known);
  if (near !== undefined) {
    if (!/^(amqp|redis)/.test(near)) return near;
    return rest === undefined || rest === ":" ? `${near}//localhost` : `${near}//…`;
  }
  if (/^(\.{0,2}\/(?!\/)[^@:]*|[\w.-]+\.db)$/.test(text)) return `sqlite:${text}`;
  if (/^(localhost|[\w-]+(\.[\w-]+)+)(:\d{1,5})?$/i.test(text)) {
    return `${text.endsWith(":6379") ? "redis" : "amqp"}://${text}`;
  }
}
