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
  readonly #open: () => Promise<AMQPChannel>;
  readonly #prefix: string;
  readonly #returned = new Set<string>();
  /** Puts that wait for the broker to take messages again. */
  readonly #waiting: (() => void)[] = [];
  #channel!: AMQPChannel;
  #isOpen = false;
  #count = 0;
  /** Called where nothing can be published any more, although the connection may be open. */
  onLost: (reason: string) => void = () => {};

  private constructor(open: () => Promise<AMQPChannel>, prefix: string) {
    this.#open = open;
    this.#prefix = prefix;
  }

  /**
   * @param open opens an AMQP channel
   * @param prefix what makes the ids of this publisher's messages unique
   */
  static async open(open: () => Promise<AMQPChannel>, prefix: string): Promise<Publisher> {
    const publisher = new Publisher(open, prefix);
    await publisher.#begin();
    return publisher;
  }

  async #begin(): Promise<void> {
    const channel = await this.#open();
    channel.onerror = () => this.#beginAgain();
    channel.onReturn = ({ properties }: AMQPMessage) => {
      if (properties.messageId) this.#returned.add(properties.messageId);
    };
    await channel.confirmSelect();
    this.#channel = channel;
    this.#isOpen = true;
    this.unblock();
  }

  /** The broker has closed the AMQP channel, for one message that it refuses, and with it all unconfirmed. */
  #beginAgain(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#returned.clear();
    // Later, as the whole connection may be ending.
    queueMicrotask(() => this.#begin().catch((error: Error) => this.onLost(error.message)));
  }

  /** Resolves when the broker has confirmed the message; rejects with Unroutable if no queue took it. */
  publish(exchange: string, routingKey: string, message: Message): Promise<void> {
    if (this.#isOpen && this.#channel.connection.blocked === undefined) {
      return this.#publish(exchange, routingKey, message);
    }
    return new Promise((resolve) => {
      this.#waiting.push(() => resolve(this.#publish(exchange, routingKey, message)));
    });
  }

  /** Sends what has waited, when the broker has lifted a block, or the connection has ended. */
  unblock(): void {
    for (const publish of this.#waiting.splice(0)) publish();
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
