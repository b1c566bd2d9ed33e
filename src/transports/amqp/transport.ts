import type { ChannelConnectionError } from "../../errors.ts";
import { nextMessageId } from "../../message_id.ts";
import type { Features, Link, LinkOptions, Reach, Stats, Transport } from "../../transport.ts";
import { Connector, type Watcher } from "./connector.ts";
import { AmqpLink } from "./link.ts";
import { type AmqpUri, parseAmqpUri } from "./uri.ts";
import type { TlsOptions } from "./wire.ts";

/** What a connection may have beside its URI. */
export interface AmqpOptions {
  readonly tls?: TlsOptions;
  /** Who is told what happens to the connection. */
  readonly watcher?: Watcher;
}

/**
 * Channels on RabbitMQ, or any AMQP 0-9-1 broker with its extensions (confirms, basic.nack, consumer
 * cancel notification). All channels of a process share its one connection.
 */
export class AmqpTransport implements Transport {
  readonly address: string;
  readonly reach: Reach = "network";
  readonly features: Features = { shared: true };
  readonly stats: Stats = {
    puts: 0,
    confirms: 0,
    gets: 0,
    redeliveries: 0,
    reconnects: 0,
    outstanding: 0,
  };
  readonly #connector: Connector;

  /** @throws {ChannelConfigError} for a URI that is none */
  constructor(uri: string | AmqpUri, { tls, watcher }: AmqpOptions = {}) {
    const parsed = typeof uri === "string" ? parseAmqpUri(uri) : uri;
    this.address = parsed.address;
    const own = nextMessageId() + ".";
    this.#connector = new Connector({ uri: parsed, own, ...tls === undefined ? {} : { tls } }, {
      connected: (session, isAgain) => {
        if (isAgain) this.stats.reconnects++;
        watcher?.connected(session, isAgain);
      },
      disconnected: (error: ChannelConnectionError) => watcher?.disconnected(error),
      failed: (error: ChannelConnectionError, pause) => watcher?.failed(error, pause),
    });
  }

  get trouble(): Error | undefined {
    return this.#connector.trouble;
  }

  open(name: string, options: LinkOptions): Promise<Link> {
    return AmqpLink.open(name, options, this.#connector, this.stats);
  }

  rest(): void {
    this.#connector.rest();
  }
}
