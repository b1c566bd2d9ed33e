import { checkPlatform } from "../../shared/host.ts";
import type { Scheme } from "../transport.ts";
import type { RedisTransport } from "./transport.ts";
import { parseRedisUri } from "./uri.ts";

/**
 * Returns the schemes of Redis and Valkey.
 *
 * @param load returns the class of the transport; it may load its code
 */
export function redisSchemes(
  load: () => typeof RedisTransport | Promise<typeof RedisTransport>,
): Record<string, Scheme> {
  const redis: Scheme = {
    reach: "network",
    parse(uri) {
      checkPlatform("redis:");
      return parseRedisUri(uri);
    },
    options: ["username", "password", "name"],
    load: async (uri, options, watcher) => new (await load())(uri, options, watcher),
  };
  const tls = ["ca", "cert", "key", "servername"] as const;
  return { "redis:": redis, "rediss:": { ...redis, options: [...redis.options!, ...tls] } };
}
