import { ChannelConfigError } from "../../../../shared/errors.ts";
import { withoutCredentials } from "../../../../shared/redact.ts";
import { canonicalHost, decoded, type Fail, shownEndpoint } from "../../../remote/uri_text.ts";

/** The parts of a `zmq:` URI. */
export interface ZmqUri {
  /** Canonical and without credentials: `zmq://host:5555`, `zmq://host:5555?key=…`. */
  readonly address: string;
  /** A name or an IP address; an IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
  /** The public key of the home, in base64url. */
  readonly key?: string;
  /** The secret of the home. */
  readonly secret?: string;
  /** The user name, with `mechanism=plain`. */
  readonly username?: string;
  /** Whether the secret is sent as it is: `mechanism=plain`. */
  readonly isPlain: boolean;
  /** Milliseconds between pings; absent: the default. */
  readonly heartbeat?: number;
  /** The name of the peer, which the home shows. */
  readonly name?: string;
}

/**
 * Parses `zmq://:SECRET@HOST:PORT?key=KEY`. The user name, the secret and the parameters `key`, `mechanism=plain`,
 * `heartbeat=SECONDS` and `name` are optional.
 *
 * @param isListener whether the URI is one to listen on, whose port may be 0
 * @throws {ChannelConfigError} that says what was found and expected, without credentials
 */
export function parseZmqUri(uri: string, isListener = false): ZmqUri {
  const fail: Fail = (problem) => {
    throw new ChannelConfigError(`cannot use the URI ${withoutCredentials(uri)}: ${problem}`);
  };
  const parts = /^zmq:\/\/(?:([^@]*)@)?(\[[^\]@]*\]|[^/?#@:]*)(?::([^/?#@]*))?\/?(?:\?([^#@]*))?$/i
    .exec(uri);
  if (parts === null || /[\s\p{Cc}\p{Cs}]/u.test(uri)) {
    return fail("expected zmq://HOST:PORT, zmq://HOST:PORT?key=KEY or zmq://:SECRET@HOST:PORT");
  }
  const [, userinfo, written = "", digits, query = ""] = parts;
  const host = canonicalHost(written) ??
    fail("found a bad host, expected a name, an IPv4 address or an [IPv6 address]");
  const port = digits === undefined || !/^\d{1,5}$/.test(digits) ? NaN : Number(digits);
  if (!(port >= (isListener ? 0 : 1) && port <= 65_535)) {
    fail(`found ${digits ? "a bad" : "no"} port, expected an integer from 1 to 65535`);
  }
  const { key, mechanism, heartbeat, name } = parseQuery(query, fail);
  const isPlain = mechanism === "plain";
  const { username, secret } = parseUserinfo(userinfo, fail);
  if (isPlain && key !== undefined) {
    fail("found a key with mechanism=plain, expected one of the two");
  }
  if (isPlain && secret === undefined && !isListener) {
    fail(
      "found mechanism=plain without a secret, expected zmq://USER:SECRET@HOST:PORT?mechanism=plain",
    );
  }
  if (username !== undefined && !isPlain) {
    fail(
      "found a user name, expected one with mechanism=plain alone; write a secret as zmq://:SECRET@HOST:PORT",
    );
  }
  return {
    address: `zmq://${shownEndpoint({ host, port })}${key === undefined ? "" : `?key=${key}`}`,
    host,
    port,
    isPlain,
    ...key === undefined ? {} : { key },
    ...secret === undefined ? {} : { secret },
    ...username === undefined ? {} : { username },
    ...heartbeat === undefined ? {} : { heartbeat },
    ...name === undefined ? {} : { name },
  };
}

function parseUserinfo(
  userinfo: string | undefined,
  fail: Fail,
): { readonly username?: string; readonly secret?: string } {
  if (userinfo === undefined) return {};
  const colon = userinfo.indexOf(":");
  const username = decoded(colon < 0 ? userinfo : userinfo.slice(0, colon), "user name", fail);
  const secret = colon < 0 ? "" : decoded(userinfo.slice(colon + 1), "secret", fail);
  return { ...username === "" ? {} : { username }, ...secret === "" ? {} : { secret } };
}

interface Query {
  readonly key?: string;
  readonly mechanism?: string;
  readonly heartbeat?: number;
  readonly name?: string;
}

function parseQuery(query: string, fail: Fail): Query {
  const found = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (!["key", "mechanism", "heartbeat", "name"].includes(name)) {
      fail("found an unknown parameter, expected key, mechanism, heartbeat or name");
    }
    if (found.has(name)) fail(`found the parameter ${name} a second time, expected it once`);
    found.set(name, value);
  }
  const key = found.get("key");
  // 43 characters have 258 bits: the last two are 0 in the one way to write 256 bits.
  if (key !== undefined && !/^[\w-]{42}[AEIMQUYcgkosw048]$/.test(key)) {
    fail("found a bad key, expected the 43 characters of a public key in base64url");
  }
  const mechanism = found.get("mechanism");
  if (mechanism !== undefined && mechanism !== "plain") {
    fail("found another mechanism, expected mechanism=plain or none");
  }
  const seconds = found.get("heartbeat");
  if (
    seconds !== undefined && !(/^\d{1,5}(?:\.\d{1,3})?$/.test(seconds) && Number(seconds) <= 3600)
  ) {
    fail("found a bad heartbeat, expected seconds from 0 to 3600");
  }
  const name = found.get("name");
  return {
    ...name === undefined ? {} : { name },
    ...key === undefined ? {} : { key },
    ...mechanism === undefined ? {} : { mechanism },
    ...seconds === undefined ? {} : { heartbeat: Number(seconds) * 1000 },
  };
}
