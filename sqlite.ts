/**
 * The library with the transports `memory:` and `sqlite:`, for the threads and processes of one machine. Importing it
 * loads the code of the transport. The runtime's own SQLite is loaded when a channel first uses it: Deno 2.2, Bun 1.4
 * and Node 22.13, or later, have it.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel/sqlite";
 *
 * const ch = new Channel<string>({ name: "greetings", connection: "sqlite:./channels.db" });
 * console.log(ch.name); // nothing is opened yet
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
import { sqliteSchemes } from "./src/transports/sqlite/scheme.ts";
import { SqliteTransport } from "./src/transports/sqlite/transport.ts";

export * from "./memory.ts";

addSchemes(sqliteSchemes(() => SqliteTransport));
enableConfigFiles(settingsOfFile);
enableFollowing();
addJson(jsonFormat);
