import { ChannelConfigError } from "../../../shared/errors.ts";
import { withoutCredentials } from "../../../shared/redact.ts";
import { decoded, type Fail } from "../../remote/uri_text.ts";

/** The parts of a `ws:` or `wss:` URI. */
export interface WebSocketUri {
  /** Canonical and without credentials: `ws://host/channels`. */
  readonly address: string;
  /** The secret of the home. */
  readonly secret?: string;
  /** Milliseconds between pings; absent: the default. */
  readonly heartbeat?: number;
}

/**
 * Parses `ws://:SECRET@HOST:PORT/PATH?QUERY`, or the same with `wss:`. The secret, the port, the path and the query are
 * optional. The parameter `heartbeat=SECONDS` is of this library; the rest of the query is for the server.
 *
 * @param isListener whether the URI is one to listen on, whose port may be 0
 * @throws {ChannelConfigError} that says what was found and expected, without credentials
 */
export function parseWebSocketUri(uri: string, isListener = false): WebSocketUri {
  const fail: Fail = (problem) => {
    throw new ChannelConfigError(`cannot use the URI ${withoutCredentials(uri)}: ${problem}`);
  };
  if (!/^wss?:\/\/[^/]/i.test(uri) || !URL.canParse(uri)) {
    fail("expected ws://HOST:PORT/PATH or wss://HOST/PATH");
  }
  const url = new URL(uri);
  if (url.hash !== "" || uri.includes("#")) fail("found a fragment, expected none; write # as %23");
  if (url.username !== "") {
    fail("found a user name, expected none; write a secret as ws://:SECRET@HOST");
  }
  if (url.port === "0" && !isListener) fail("found the port 0, expected one from 1 to 65535");
  const secret = decoded(url.password, "secret", fail);
  url.password = "";
  const seconds = url.searchParams.get("heartbeat");
  if (seconds !== null) {
    if (!/^\d{1,5}(?:\.\d{1,3})?$/.test(seconds) || Number(seconds) > 3600) {
      fail("found a bad heartbeat, expected seconds from 0 to 3600");
    }
    url.searchParams.delete("heartbeat");
  }
  for (const name of url.searchParams.keys()) {
    if (!/pass|secret|token|auth/i.test(name)) continue;
    // It would be a part of the address, which is logged and travels in references.
    fail("found a credential in the query, expected it as the secret, ws://:SECRET@HOST");
  }
  const address = url.href.replace(/\?$/, "");
  return {
    address,
    ...secret === "" ? {} : { secret },
    ...seconds === null ? {} : { heartbeat: Number(seconds) * 1000 },
  };
}
