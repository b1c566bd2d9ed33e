/**
 * The library for browsers and edge runtimes: with the transport `memory:`, with homes that are reached by WebSockets
 * (`ws:`, `wss:`) or by a `MessagePort` ({@linkcode fromPort}), and with the encoding JSON. It imports no module of a
 * runtime.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel/web";
 *
 * const news = new Channel<string>({ name: "public.news", connection: "wss://example.org/channels" });
 * console.log(news.name); // nothing is sent yet
 * ```
 *
 * @module
 */
import { enableFollowing } from "./src/connection/follow.ts";
import { addSchemes } from "./src/connection/schemes.ts";
import { jsonFormat } from "./src/encoding/json_format.ts";
import { addJson } from "./src/encoding/message.ts";
import { type MessagePortLike, transportOf } from "./src/transports/home/from_port.ts";
import { dialPort } from "./src/transports/home/pipes/port_dial.ts";
import { dialWebSocket } from "./src/transports/home/pipes/websocket_dial.ts";
import { webSocketSchemes } from "./src/transports/home/websocket_scheme.ts";
import { HomeTransport } from "./src/transports/home/transport.ts";
import type { Transport } from "./src/transports/transport.ts";

export * from "./memory.ts";
export type { MessagePortLike } from "./src/transports/home/from_port.ts";

/**
 * Returns the channels of a home that has the other end of a port: a home in another thread, in the page of a Worker, or
 * in the page around an iframe. There, the program calls `home.accept(port)`.
 *
 * The transport owns the port. A port that no operation uses keeps no process alive.
 *
 * @param port one end of a `MessageChannel`
 * @returns what the option `connection` of a channel takes
 * @throws {ChannelConfigError} if it is no port
 *
 * @example
 * ```ts
 * import { Channel, fromPort } from "@channelts/channel/web";
 *
 * const { port1, port2 } = new MessageChannel(); // a home has the other end
 * const jobs = new Channel({ name: "jobs", connection: fromPort(port1) });
 * console.log(jobs.name); // nothing is sent yet
 * for (const port of [port1, port2]) port.close(); // the example is over
 * ```
 */
export function fromPort(port: MessagePortLike): Transport {
  return transportOf(port, () => ({ HomeTransport, dialer: dialPort }));
}

addSchemes(webSocketSchemes(() => ({ HomeTransport, dialer: dialWebSocket })));
enableFollowing();
addJson(jsonFormat);
