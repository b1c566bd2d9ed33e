import { ChannelConfigError } from "../../shared/errors.ts";
import { withoutCredentials } from "../../shared/redact.ts";
import {
  checkUriText,
  decoded,
  type Endpoint,
  endpointsOf,
  type Fail,
  integerOf,
  shownEndpoint,
} from "../remote/uri_text.ts";

/** The parts of an AMQP URI, decoded, with defaults. */
export interface AmqpUri {
  readonly tls: boolean;
  /** The nodes of a cluster, at least one, without duplicates, in the order in which they are tried. */
  readonly endpoints: readonly Endpoint[];
  readonly vhost: string;
  readonly username: string;
  readonly password: string;
  /** Seconds between heartbeats; 0 for none. */
  readonly heartbeat?: number;
  /** Bytes of a frame. */
  readonly frameMax?: number;
  /** The limit of AMQP channels; 0 for the broker's. */
  readonly channelMax?: number;
  /** The connection's name, as the broker's management shows it. */
  readonly name?: string;
  /** Canonical and without credentials: `amqp://host:5672/%2F`, `amqp://a:5672,b:5672/%2F`. */
  readonly address: string;
}

type Parameter =
  | { readonly key: "name" }
  | {
    readonly key: "heartbeat" | "frameMax" | "channelMax";
    /** Inclusive. */
    readonly range: readonly [number, number];
  };

/** The AMQP channels that a connection needs: for puts, for announcements, for gets, and for everything else. */
export const leastChannels = 4;

const MAX_UINT16 = 65_535;
const FRAME_MAX: Parameter = {
  key: "frameMax",
  // RabbitMQ 4 and the client refuse less; the client allocates as much, so more than this is a mistake.
  range: [8192, 2 ** 27],
};
const CHANNEL_MAX: Parameter = { key: "channelMax", range: [0, MAX_UINT16] };
const PARAMETERS: ReadonlyMap<string, Parameter> = new Map<string, Parameter>([
  ["heartbeat", { key: "heartbeat", range: [0, MAX_UINT16] }],
  ["frame_max", FRAME_MAX],
  ["frameMax", FRAME_MAX],
  ["channel_max", CHANNEL_MAX],
  ["channelMax", CHANNEL_MAX],
  ["name", { key: "name" }],
]);

const PARTS = /^(amqps?):\/\/(?:([^@]*)@)?([^/?]*)([^?]*)(?:\?(.*))?$/i;

/**
 * Parses an AMQP URI by https://www.rabbitmq.com/docs/uri-spec, with two differences: an empty path is the virtual host
 * `/`, and a URI may list several hosts, `amqp://a,b:5673,[::1]/vhost`, each with its own port or the default. The
 * parameters are `heartbeat`, `frame_max`, `channel_max` and `name`.
 *
 * @throws ChannelConfigError that says what was found and expected, without credentials
 */
export function parseAmqpUri(uri: string): AmqpUri {
  const fail: Fail = (problem) => {
    throw new ChannelConfigError(`cannot use the URI ${withoutCredentials(uri)}: ${problem}`);
  };
  const [scheme, userinfo, hosts, path, query] = split(uri, fail);
  const tls = scheme.toLowerCase() === "amqps";
  const endpoints = endpointsOf(hosts, "amqp", tls ? 5671 : 5672, fail);
  const vhost = parseVhost(path, fail);
  const colon = userinfo?.indexOf(":") ?? -1;
  const username = colon < 0 ? userinfo : userinfo?.slice(0, colon);
  const password = colon < 0 ? undefined : userinfo?.slice(colon + 1);
  return {
    tls,
    endpoints,
    vhost,
    username: decoded(username ?? "guest", "user name", fail),
    password: decoded(password ?? "guest", "password", fail),
    ...parseQuery(query ?? "", fail),
    address: `${tls ? "amqps" : "amqp"}://${endpoints.map(shownEndpoint)}/${
      encodeURIComponent(vhost)
    }`,
  };
}

type Parts = [
  scheme: string,
  userinfo: string | undefined,
  hosts: string,
  path: string,
  query: string | undefined,
];

function split(uri: string, fail: Fail): Parts {
  if (!/^amqps?:\/\//i.test(uri)) {
    fail("expected amqp://user:password@host:port/vhost or amqps://");
  }
  checkUriText(uri, fail);
  return PARTS.exec(uri)!.slice(1) as Parts;
}

function parseVhost(path: string, fail: Fail): string {
  if (path === "" || path === "/") return "/";
  const segment = path.slice(1);
  if (segment.includes("/")) {
    fail("found a path of several segments, expected one virtual host; write / in its name as %2F");
  }
  const vhost = decoded(segment, "virtual host", fail);
  if (new TextEncoder().encode(vhost).length > 255) {
    fail("found a virtual host of more than 255 bytes, expected at most 255");
  }
  return vhost;
}

type Query = Pick<AmqpUri, Parameter["key"]>;

function parseQuery(query: string, fail: Fail): Query {
  const found: { -readonly [Key in keyof Query]: Query[Key] } = {};
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const [, name = "", encoded = ""] = /^([^=]*)=?(.*)$/.exec(pair)!;
    const parameter = PARAMETERS.get(name);
    if (parameter === undefined) {
      fail(`found an unknown parameter, expected ${[...PARAMETERS.keys()].join(", ")}`);
    }
    if (parameter.key in found) {
      fail(`found the parameter ${name} a second time, expected it once`);
    }
    // URLSearchParams writes a space as +.
    const value = decoded(encoded.replaceAll("+", " "), `parameter ${name}`, fail);
    if (parameter.key === "name") {
      found.name = value;
      continue;
    }
    const { key, range } = parameter;
    const number = integerOf(value, ...range);
    if (number === undefined) {
      fail(`found a bad ${name}, expected an integer from ${range[0]} to ${range[1]}`);
    }
    if (key === "channelMax" && number > 0 && number < leastChannels) {
      fail(`found a bad ${name}, expected ${leastChannels} or more, or 0 for the broker's`);
    }
    found[key] = number;
  }
  return found;
}
