import type { AMQPChannel, AMQPMessage } from "@cloudamqp/amqp-client";
import type { Message } from "../../transport.ts";

/** A message was published where no queue is. */
export class Unroutable extends Error {}

/**
 * Publishes with confirms on one AMQP channel, for all queues of a connection: persistent, and
 * mandatory, because the broker confirms also what it could deliver nowhere. Such a message comes
 * back before its confirmation does (https://www.rabbitmq.com/docs/confirms).
 */
export class Publisher {
  readonly #channel: AMQPChannel;
  readonly #returned = new Set<string>();
  /** Puts that wait for the broker to take messages again. */
  readonly #blocked: (() => void)[] = [];
  readonly #prefix: string;
  #count = 0;
  /** Called when the AMQP channel is closed by the broker, and with it all that was unconfirmed. */
  onLost: (reason: string) => void = () => {};

  private constructor(channel: AMQPChannel, prefix: string) {
    this.#channel = channel;
    this.#prefix = prefix;
    channel.onerror = (reason) => this.onLost(reason);
    channel.onReturn = (message: AMQPMessage) => {
      if (message.properties.messageId) this.#returned.add(message.properties.messageId);
    };
  }

  /** @param prefix what makes the ids of this publisher's messages unique */
  static async open(channel: AMQPChannel, prefix: string): Promise<Publisher> {
    await channel.confirmSelect();
    return new Publisher(channel, prefix);
  }

  /** Resolves when the broker has confirmed the message; rejects with Unroutable if no queue took it. */
  publish(exchange: string, routingKey: string, message: Message): Promise<void> {
    if (this.#channel.connection.blocked === undefined) {
      return this.#publish(exchange, routingKey, message);
    }
    return new Promise((resolve) => {
      this.#blocked.push(() => resolve(this.#publish(exchange, routingKey, message)));
    });
  }

  /** Sends what has waited, when the broker has lifted a block, or the connection has ended. */
  unblock(): void {
    for (const publish of this.#blocked.splice(0)) publish();
  }

  async #publish(exchange: string, routingKey: string, message: Message): Promise<void> {
    const messageId = this.nextId();
    const { contentType } = message;
    const properties = contentType === ""
      ? { deliveryMode: persistent, messageId }
      : { deliveryMode: persistent, messageId, contentType };
    await this.#channel.basicPublish(exchange, routingKey, message.body, properties, true);
    if (this.#returned.size > 0 && this.#returned.delete(messageId)) {
      throw new Unroutable(`no queue ${routingKey}`);
    }
  }

  /** An id that no other message has. */
  nextId(): string {
    return this.#prefix + (this.#count++).toString(36);
  }
}

const persistent = 2;
