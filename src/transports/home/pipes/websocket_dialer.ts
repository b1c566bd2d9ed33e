import { importWs } from "./ws_package.ts";
import { dialWebSocket, type WebSocketDial } from "./websocket_dial.ts";

/**
 * Returns what dials a WebSocket on Deno, Bun and Node: the npm package `ws`, or else the runtime's own. The latter keeps
 * the process alive while it is open, and takes no certificates.
 */
export async function webSocketDialer(): Promise<WebSocketDial> {
  let hasPackage = true;
  try {
    await importWs();
  } catch {
    hasPackage = false; // it is an optional dependency
  }
  if (!hasPackage) return dialWebSocket;
  const { dialByPackage } = await import("./ws_package_dial.ts");
  return dialByPackage;
}
