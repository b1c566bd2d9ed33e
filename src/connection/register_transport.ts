import { ChannelConfigError } from "../shared/errors.ts";
import { callable, checkArgument, none, oneOf, type Rule, Signature } from "../shared/options.ts";
import type { ParsedUri, Scheme, Transport } from "../transports/transport.ts";
import { addSchemes, ownerOf } from "./schemes.ts";

const nameRule: Rule = {
  takes: "the name of a URI scheme with its colon, in lower case, such as redis:",
  allows: (value) => typeof value === "string" && /^[a-z][a-z0-9+.-]*:$/.test(value),
};

const optionNames = ["username", "password", "name", "ca", "cert", "key", "servername"];

const signature: Signature = /* @__PURE__ */ new Signature("registerTransport", 2, {
  reach: oneOf("isolate", "machine", "network"),
  parse: callable,
  load: callable,
  options: {
    takes: "an array of username, password, name, ca, cert, key, servername",
    allows: (value) => Array.isArray(value) && value.every((name) => optionNames.includes(name)),
  },
}, 'registerTransport("nats:", { reach: "network", parse, load })');

/**
 * Registers a transport of the program's own under a URI scheme. From then on a URI of the scheme names the transport
 * wherever a connection is configured: in the option `connection`, in {@linkcode Connection}, in `CHANNELTS_URI` and in
 * a configuration file. Without a scheme, a transport object is passed as the option `connection`.
 *
 * @param name the scheme with its colon, such as `nats:`
 * @param scheme what the URIs of the scheme mean, and how their transports are made
 * @throws {ChannelConfigError} if an argument is invalid, or the scheme is registered or belongs to this library
 *
 * @example
 * ```ts
 * import { Channel, registerTransport, type Transport } from "@channelts/channel";
 *
 * function openNats(uri: string): Transport {
 *   throw new Error(`to be written: a transport for ${uri}`);
 * }
 *
 * registerTransport("nats:", {
 *   reach: "network",
 *   parse: (uri) => ({ address: `nats://${new URL(uri).host}` }),
 *   load: (uri) => openNats(uri),
 * });
 * const jobs = new Channel({ name: "jobs", connection: "nats://localhost" });
 * console.log(jobs.name); // the transport is made when a channel is first used
 * ```
 */
export function registerTransport(name: string, scheme: Scheme): void {
  checkArgument("registerTransport", "the name", nameRule, name);
  signature.check(scheme ?? none, arguments.length);
  for (const member of ["reach", "parse", "load"] as const) {
    if (scheme?.[member] !== undefined) continue;
    throw new ChannelConfigError(`registerTransport: the scheme ${name} has no ${member}; add it`);
  }
  const owner = ownerOf(name);
  if (owner !== undefined) {
    const problem = owner === "library" ? "belongs to this library" : "is registered already";
    throw new ChannelConfigError(`registerTransport: ${name} ${problem}; use another scheme`);
  }
  const parse = (uri: string) => checkedAddress(name, scheme.parse(uri));
  const load: Scheme["load"] = async (...args) =>
    checkedTransport(name, await scheme.load(...args));
  const { reach, options = [] } = scheme;
  addSchemes({ [name]: { reach, options, parse, load } });
}

/** @throws {ChannelConfigError} for what is no address: references with it would reach nobody */
function checkedAddress(name: string, parsed: ParsedUri): ParsedUri {
  const address: unknown = parsed?.address;
  if (typeof address === "string" && address.toLowerCase().startsWith(name)) return parsed;
  throw new ChannelConfigError(
    `the function parse of the scheme ${name} returned no address; return { address } that begins with ${name}`,
  );
}

/** @throws {ChannelConfigError} for what is no transport */
function checkedTransport(name: string, transport: Transport): Transport {
  if (typeof transport?.open === "function") return transport;
  throw new ChannelConfigError(
    `the function load of the scheme ${name} returned no transport; return an object with a method open`,
  );
}
