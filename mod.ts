/**
 * Go-style channels that cross tasks, threads, processes and hosts. This entry has all transports: `memory:`, `sqlite:`,
 * `amqp:`, `amqps:`, `redis:`, `rediss:`, and those of homes, `zmq:`, `ws:`, `wss:` and ports. The code of a transport is
 * loaded when a channel first uses it.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel";
 *
 * const ch = new Channel<string>(); // anonymous; `await using ch = …` deletes it at the end of the block
 * try {
 *   await ch.put("foo");
 *   await ch.get(); // "foo"
 * } finally {
 *   await ch[Symbol.asyncDispose](); // on any runtime; otherwise it is deleted 30 minutes after its last use
 * }
 * ```
 *
 * @module
 */
import { enableConfigFiles } from "./src/connection/config.ts";
import { settingsOfFile } from "./src/connection/config_search.ts";
import { enableFollowing } from "./src/connection/follow.ts";
import { addSchemes } from "./src/connection/schemes.ts";
import { jsonFormat } from "./src/encoding/json_format.ts";
import { addJson } from "./src/encoding/message.ts";
import { amqpSchemes } from "./src/transports/amqp/scheme.ts";
import { type MessagePortLike, transportOf } from "./src/transports/home/from_port.ts";
import { webSocketSchemes } from "./src/transports/home/websocket_scheme.ts";
import { zmqSchemes } from "./src/transports/home/zmq_scheme.ts";
import { redisSchemes } from "./src/transports/redis/scheme.ts";
import { sqliteSchemes } from "./src/transports/sqlite/scheme.ts";
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
 * import { Channel, fromPort } from "@channelts/channel";
 *
 * const { port1, port2 } = new MessageChannel(); // a home has the other end
 * const jobs = new Channel({ name: "jobs", connection: fromPort(port1) });
 * console.log(jobs.name); // nothing is sent yet
 * for (const port of [port1, port2]) port.close(); // the example is over
 * ```
 */
export function fromPort(port: MessagePortLike): Transport {
  return transportOf(port, async () => {
    const [HomeTransport, { dialPort }] = await Promise.all([
      loadHomeTransport(),
      import("./src/transports/home/pipes/port_dial.ts"),
    ]);
    return { HomeTransport, dialer: dialPort };
  });
}

async function loadHomeTransport() {
  const { HomeTransport } = await import("./src/transports/home/transport.ts");
  return HomeTransport;
}

addSchemes(amqpSchemes(async () => {
  const { AmqpTransport } = await import("./src/transports/amqp/transport.ts");
  return AmqpTransport;
}));
addSchemes(redisSchemes(async () => {
  const { RedisTransport } = await import("./src/transports/redis/transport.ts");
  return RedisTransport;
}));
addSchemes(sqliteSchemes(async () => {
  const { SqliteTransport } = await import("./src/transports/sqlite/transport.ts");
  return SqliteTransport;
}));
addSchemes(zmqSchemes(async () => {
  const [HomeTransport, { zmqDial }] = await Promise.all([
    loadHomeTransport(),
    import("./src/transports/home/pipes/zmtp/zmtp_dial.ts"),
  ]);
  return { HomeTransport, dialer: zmqDial };
}));
addSchemes(webSocketSchemes(async () => {
  const [HomeTransport, { webSocketDialer }] = await Promise.all([
    loadHomeTransport(),
    import("./src/transports/home/pipes/websocket_dialer.ts"),
  ]);
  return { HomeTransport, dialer: await webSocketDialer() };
}, ["ca", "cert", "key", "servername"]));
enableConfigFiles(settingsOfFile);
enableFollowing();
addJson(jsonFormat);
