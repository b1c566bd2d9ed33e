/**
 * Go-style channels that cross tasks, threads, processes and hosts. This entry has all transports: `memory:`, `sqlite:`,
 * `amqp:` and `amqps:`. The code of a transport is loaded when a channel first uses it.
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
 *   await ch.delete(); // on any runtime; otherwise it is deleted 30 minutes after its last use
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
import { sqliteSchemes } from "./src/transports/sqlite/scheme.ts";

export * from "./memory.ts";

addSchemes(amqpSchemes(async () => {
  const { AmqpTransport } = await import("./src/transports/amqp/transport.ts");
  return AmqpTransport;
}));
addSchemes(sqliteSchemes(async () => {
  const { SqliteTransport } = await import("./src/transports/sqlite/transport.ts");
  return SqliteTransport;
}));
enableConfigFiles(settingsOfFile);
enableFollowing();
addJson(jsonFormat);
