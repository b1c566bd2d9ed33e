// What a client says of itself as a connection begins.

import { isIP } from "node:net";
import process from "node:process";
import type { ConnectionOptions } from "node:tls";
import { hostname } from "../../../shared/host.ts";
import type { TransportOptions } from "../../transport.ts";
import type { Endpoint } from "../../remote/uri_text.ts";
import type { RedisUri } from "../uri.ts";

/** Returns the command that begins a connection. */
export function helloOf({ username, password, name }: RedisUri): string[] {
  const shown = name ?? ["ChannelTS", hostname(), process.pid].filter(Boolean).join(" ");
  return [
    "HELLO",
    "3",
    ...username === undefined && password === undefined
      ? []
      : ["AUTH", username ?? "default", password ?? ""],
    "SETNAME",
    shown.replace(/[^!-~]/g, "-"), // the command takes no others
  ];
}

/** Returns the options of TLS for a connection to an endpoint. */
export function tlsOptionsOf(
  { ca, cert, key, servername }: Pick<TransportOptions, "ca" | "cert" | "key" | "servername">,
  { host }: Endpoint,
): ConnectionOptions {
  const given = {
    ca,
    cert,
    key,
    // An IP address has no name that could be asked for; the certificate must have the address.
    servername: servername ?? (isIP(host) === 0 ? host : undefined),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
