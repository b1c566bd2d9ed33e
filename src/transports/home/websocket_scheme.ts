import type { Scheme, TransportOptions } from "../transport.ts";
import { helloOf, type HomeCode } from "./home_code.ts";
import { parseWebSocketUri } from "./pipes/websocket_uri.ts";
import type { WebSocketDial } from "./pipes/websocket_dial.ts";

/**
 * Returns the schemes of homes that are reached by WebSockets.
 *
 * @param load returns the code; it may load it
 * @param tls the options of TLS that the dialer takes
 */
export function webSocketSchemes(
  load: () => HomeCode<WebSocketDial> | Promise<HomeCode<WebSocketDial>>,
  tls: readonly (keyof TransportOptions)[] = [],
): Record<string, Scheme> {
  const ws: Scheme = {
    reach: "network",
    options: ["password", "name"],
    parse: (uri) => parseWebSocketUri(uri),
    async load(uri, options, watcher) {
      const { HomeTransport, dialer } = await load();
      const { address, secret, heartbeat } = parseWebSocketUri(uri);
      const dial = dialer(address, options ?? {}, heartbeat);
      return new HomeTransport(address, dial, helloOf(secret, options, watcher));
    },
  };
  return { "ws:": ws, "wss:": { ...ws, options: [...ws.options!, ...tls] } };
}
