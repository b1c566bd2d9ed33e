/**
 * The library with the transports `memory:`, `amqp:` and `amqps:`, for hosts that share a RabbitMQ. Importing it loads
 * the code of the transport.
 *
 * @example
 * ```ts
 * import { Channel } from "@channelts/channel/amqp";
 *
 * const ch = new Channel<string>({ name: "greetings", connection: "amqp://localhost" });
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
import { amqpSchemes } from "./src/transports/amqp/scheme.ts";
import { AmqpTransport } from "./src/transports/amqp/transport.ts";

export * from "./memory.ts";

addSchemes(amqpSchemes(() => AmqpTransport));
enableConfigFiles(settingsOfFile);
enableFollowing();
addJson(jsonFormat);
