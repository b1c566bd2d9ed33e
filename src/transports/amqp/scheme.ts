import { checkPlatform } from "../../shared/host.ts";
import type { Scheme } from "../transport.ts";
import type { AmqpTransport } from "./transport.ts";
import { parseAmqpUri } from "./uri.ts";

/**
 * Returns the schemes of RabbitMQ.
 *
 * @param load returns the class of the transport; it may load its code
 */
export function amqpSchemes(
  load: () => typeof AmqpTransport | Promise<typeof AmqpTransport>,
): Record<string, Scheme> {
  const amqp: Scheme = {
    reach: "network",
    parse(uri) {
      checkPlatform("amqp:");
      return parseAmqpUri(uri);
    },
    options: ["username", "password", "name"],
    load: async (uri, options, watcher) => new (await load())(uri, options, watcher),
  };
  const tls = ["ca", "cert", "key", "servername"] as const;
  return { "amqp:": amqp, "amqps:": { ...amqp, options: [...amqp.options!, ...tls] } };
}
