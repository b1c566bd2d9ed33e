import type { ConnectionWatcher, TransportOptions } from "../transport.ts";
import type { HomeTransport, HomeTransportOptions } from "./transport.ts";

/** What a scheme loads: the class of the transport, and the function that makes its dials. */
export interface HomeCode<Dialer> {
  readonly HomeTransport: typeof HomeTransport;
  readonly dialer: Dialer;
}

/** Returns how the peer presents itself. */
export function helloOf(
  secret: string | undefined,
  options: TransportOptions | undefined,
  watcher: ConnectionWatcher | undefined,
): HomeTransportOptions {
  const { password: token = secret, name } = options ?? {};
  return {
    ...token === undefined ? {} : { token },
    ...name === undefined ? {} : { name },
    ...watcher === undefined ? {} : { watcher },
  };
}
