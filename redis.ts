/**
 * The library with the transports `memory:`, `redis:` and `rediss:`, for hosts that share a Redis or a Valkey. Importing it
 * loads the code of the transport.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel/redis";
 *
 * const ch = new Channel<string>({ name: "greetings", connection: "redis://localhost" });
 * console.log(ch.name); // nothing is sent yet
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
import { redisSchemes } from "./src/transports/redis/scheme.ts";
import { RedisTransport } from "./src/transports/redis/transport.ts";

export * from "./memory.ts";

addSchemes(redisSchemes(() => RedisTransport));
enableConfigFiles(settingsOfFile);
enableFollowing();
addJson(jsonFormat);
