/**
 * The library with all transports, and with homes: {@linkcode listen} lends the channels of a connection to peers, which
 * use ZeroMQ's protocol, WebSockets or ports. There is no broker to install; if the home ends, its peers wait until it is
 * back.
 *
 * @example
 * ```ts
 * import { Channel, listen } from "@channelts/channel/home";
 *
 * await using home = await listen("ws://127.0.0.1:0/channels");
 * const jobs = new Channel<number>({ name: "jobs", connection: home });
 * const peer = new Channel<number>({ name: "jobs", connection: home.address }); // in any process
 * await peer.put(7);
 * await jobs.get(); // 7
 * await peer.close();
 * await jobs.delete();
 * ```
 *
 * @module
 */
export * from "./mod.ts";
export type { Authorize, PeerAction, PeerIdentity, PeerRequest } from "./src/home/authorize.ts";
export { Home, type HomeWebSocketHandlers, type WebSocketLike } from "./src/home/home.ts";
export type { UpgradeRequest, UpgradeSocket } from "./src/home/websocket/upgrade_request.ts";
export type { HomeLimits } from "./src/home/home_limits.ts";
export type { HomeOptions } from "./src/home/home_options.ts";
export { listen } from "./src/home/listen.ts";
export { generateKeys, type KeyPair } from "./src/transports/home/pipes/zmtp/key_pair.ts";
