import { nextMessageId } from "../../shared/message_id.ts";
import { countingReconnects } from "../remote/reconnects.ts";
import { newStats } from "../stats.ts";
import type {
  ConnectionWatcher,
  Features,
  Link,
  LinkOptions,
  Reach,
  Stats,
  Transport,
  TransportOptions,
} from "../transport.ts";
import { AmqpConnector } from "./connection/amqp_connector.ts";
import { AmqpLink } from "./link.ts";
import { parseAmqpUri } from "./uri.ts";

/**
 * Channels on RabbitMQ, or any AMQP 0-9-1 broker with its extensions (confirms, basic.nack, consumer
 * cancel notification). All channels of a process share its one connection.
 */
export class AmqpTransport implements Transport {
  readonly address: string;
  readonly reach: Reach = "network";
  readonly features: Features = { shared: true, terms: ["expires"] };
  readonly stats: Stats = newStats();
  readonly #connector: AmqpConnector;

  /** @throws {ChannelConfigError} if the URI is not an AMQP URI */
  constructor(uri: string, custom: TransportOptions = {}, watcher?: ConnectionWatcher) {
    const parsed = parseAmqpUri(uri);
    const { username = parsed.username, password = parsed.password, name = parsed.name } = custom;
    const { ca, cert, key, servername } = custom;
    this.address = parsed.address;
    this.#connector = new AmqpConnector({
      uri: { ...parsed, username, password, ...name === undefined ? {} : { name } },
      tls: Object.fromEntries(
        Object.entries({ ca, cert, key, servername }).filter(([, value]) => value !== undefined),
      ),
      idPrefix: nextMessageId() + ".",
    }, countingReconnects(this.stats, watcher));
  }

  get trouble(): Error | undefined {
    return this.#connector.trouble;
  }

  get blocked(): string | undefined {
    return this.#connector.session?.blocked;
  }

  open(name: string, options: LinkOptions): Promise<Link> {
    return AmqpLink.open(name, options, this.#connector, this.stats);
  }

  rest(): void {
    this.#connector.closeSoon();
  }
}
