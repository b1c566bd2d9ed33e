import type { AMQPChannel, AMQPMessage } from "@cloudamqp/amqp-client";

/**
 * The one queue through which a connection hears the announcements of all its channels: exclusive,
 * so it goes with the connection, and bound to the fanout exchange of each channel attached here.
 */
export class Bulletin {
  readonly queue: string;
  readonly #channel: AMQPChannel;
  readonly #listeners = new Map<string, (event: Uint8Array) => void>();
  readonly #own: string;
  /** Called when nothing will be heard any more, although the connection may be open. */
  onLost: (reason: string) => void = () => {};

  private constructor(channel: AMQPChannel, queue: string, own: string) {
    this.#channel = channel;
    this.queue = queue;
    this.#own = own;
  }

  /** @param own the prefix of message ids that this process sends, and need not hear */
  static async open(channel: AMQPChannel, own: string): Promise<Bulletin> {
    const { name } = await channel.queueDeclare("", {
      exclusive: true,
      durable: false,
      autoDelete: false,
    });
    const bulletin = new Bulletin(channel, name, own);
    const hear = (message: AMQPMessage) => bulletin.#hear(message);
    const consumer = await channel.basicConsume(name, { noAck: true }, hear);
    consumer.wait().catch((error: Error) => bulletin.onLost(error.message));
    return bulletin;
  }

  listen(exchange: string, listener: (event: Uint8Array) => void): void {
    this.#listeners.set(exchange, listener);
  }

  /** Whether `listener` was the one that listens. */
  unlisten(exchange: string, listener: (event: Uint8Array) => void): boolean {
    return this.#listeners.get(exchange) === listener && this.#listeners.delete(exchange);
  }

  /**
   * Resolves when all that the broker had sent here before has been heard: its answer to any request
   * on this AMQP channel comes after.
   */
  async catchUp(): Promise<void> {
    await this.#channel.prefetch(0);
  }

  #hear(message: AMQPMessage): void {
    if (message.properties.messageId?.startsWith(this.#own)) return;
    this.#listeners.get(message.exchange)?.(message.body ?? new Uint8Array());
  }
}
