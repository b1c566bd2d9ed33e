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

/** The parts of a Redis URI, decoded, with defaults. */
export interface RedisUri {
  readonly tls: boolean;
  /**
   * The servers, at least one, in the order in which they are tried. One of them is the primary; in a cluster, each tells of all
   * nodes.
   */
  readonly endpoints: readonly Endpoint[];
  /** Whether the servers are nodes of a cluster, so that each channel is on the node of its slot. */
  readonly isCluster: boolean;
  readonly database: number;
  readonly username?: string;
  readonly password?: string;
  /** Seconds after which a silent server is asked whether it lives; 0 for never. */
  readonly heartbeat: number;
  /** Whether a server may be used that drops keys when its memory is full. */
  readonly mayEvict: boolean;
  /** The connection's name, as `CLIENT LIST` shows it. */
  readonly name?: string;
  /** Canonical and without credentials: `redis://host:6379/0`, in a cluster `redis://host:6379/0?cluster`. */
  readonly address: string;
}

const parts = /^(rediss?):\/\/(?:([^@]*)@)?([^/?]*)([^?]*)(?:\?(.*))?$/i;
const parameters = "cluster, name, heartbeat, eviction";

/**
 * Parses a Redis URI: `redis://user:password@host:port/database`, or `rediss:` with TLS. A URI may list several hosts. The
 * parameters are `cluster`, `name`, `heartbeat` and `eviction`.
 *
 * @throws ChannelConfigError that says what was found and expected, without credentials
 */
export function parseRedisUri(uri: string): RedisUri {
  const fail: Fail = (problem) => {
    throw new ChannelConfigError(`cannot use the URI ${withoutCredentials(uri)}: ${problem}`);
  };
  if (!/^rediss?:\/\//i.test(uri)) {
    fail("expected redis://user:password@host:port/database or rediss://");
  }
  checkUriText(uri, fail);
  const [, scheme = "", userinfo, hosts = "", path = "", query = ""] = parts.exec(uri)!;
  const tls = scheme.toLowerCase() === "rediss";
  const endpoints = endpointsOf(hosts, "redis", 6379, fail);
  const database = databaseOf(path, fail);
  const list = endpoints.map(shownEndpoint).join();
  const options = parametersOf(query, fail);
  if (options.isCluster && database !== 0) {
    fail(
      "found the number of a database with the parameter cluster, expected none; a cluster has only database 0",
    );
  }
  return {
    tls,
    endpoints,
    database,
    ...credentialsOf(userinfo, fail),
    ...options,
    address: `${tls ? "rediss" : "redis"}://${list}/${database}${
      options.isCluster ? "?cluster" : ""
    }`,
  };
}

function databaseOf(path: string, fail: Fail): number {
  if (path === "" || path === "/") return 0;
  const number = integerOf(path.slice(1), 0, 1_000_000);
  return number ??
    fail("found a bad path, expected the number of a database, as in redis://host/0");
}

function credentialsOf(
  userinfo: string | undefined,
  fail: Fail,
): Pick<RedisUri, "username" | "password"> {
  if (userinfo === undefined) return {};
  const colon = userinfo.indexOf(":");
  const user = decoded(colon < 0 ? userinfo : userinfo.slice(0, colon), "user name", fail);
  const password = colon < 0 ? "" : decoded(userinfo.slice(colon + 1), "password", fail);
  return {
    ...user === "" ? {} : { username: user },
    ...password === "" ? {} : { password },
  };
}

function parametersOf(
  query: string,
  fail: Fail,
): Pick<RedisUri, "isCluster" | "name" | "heartbeat" | "mayEvict"> {
  const found = new Map<string, string>();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const [, key = "", encoded = ""] = /^([^=]*)=?(.*)$/.exec(pair)!;
    if (!/^(?:cluster|name|heartbeat|eviction)$/.test(key)) {
      fail(`found an unknown parameter, expected ${parameters}`);
    }
    if (found.has(key)) fail(`found the parameter ${key} a second time, expected it once`);
    // URLSearchParams writes a space as +.
    found.set(key, decoded(encoded.replaceAll("+", " "), `parameter ${key}`, fail));
  }
  const name = found.get("name");
  const heartbeat = integerOf(found.get("heartbeat") ?? "30", 0, 65_535);
  if (heartbeat === undefined) fail("found a bad heartbeat, expected an integer from 0 to 65535");
  const eviction = found.get("eviction") ?? "refuse";
  if (!/^(?:allow|refuse)$/.test(eviction)) {
    fail("found a bad eviction, expected allow or refuse");
  }
  const cluster = found.get("cluster");
  if (!/^(?:true)?$/.test(cluster ?? "")) {
    fail("found a bad value of the parameter cluster, expected none, as in redis://a,b,c?cluster");
  }
  return {
    isCluster: cluster !== undefined,
    heartbeat,
    mayEvict: eviction === "allow",
    ...name === undefined ? {} : { name },
  };
}
