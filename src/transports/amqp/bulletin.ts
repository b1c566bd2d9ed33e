import type { AMQPChannel, AMQPMessage } from "@cloudamqp/amqp-client";
import { wordType } from "./words.ts";

/**
 * Where anonymous channels announce, all to every connection: an exchange or a binding for each would
 * cost more than all the rest of a channel that is used once. Every broker has the exchange (AMQP 0-9-1,
 * section 3.1.3.1); the correlation id names the channel.
 */
export const sharedPlace = { exchange: "amq.direct", routingKey: "channelts.anonymous" } as const;

/**
 * The one queue through which a connection hears the announcements of all its channels: exclusive,
 * so it goes with the connection, and bound to the exchange of each channel attached here that has one.
 */
export class Bulletin {
  readonly queue: string;
  readonly #channel: AMQPChannel;
  readonly #listeners = new Map<string, Listener>();
  readonly #own: string;
  /** Of which channels somebody stopped hearing of late, and which leave that was. */
  readonly #left = new Map<string, number>();
  #leaves = 0;
  #isSweeping = false;
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
    await channel.queueBind(name, sharedPlace.exchange, sharedPlace.routingKey);
    const bulletin = new Bulletin(channel, name, own);
    const hear = (message: AMQPMessage) => bulletin.#hear(message);
    const consumer = await channel.basicConsume(name, { noAck: true }, hear);
    consumer.wait().catch((error: Error) => bulletin.onLost(error.message));
    return bulletin;
  }

  /** @param name of a channel; so below */
  listen(name: string, listener: Listener): void {
    this.#listeners.set(name, listener);
  }

  /**
   * Resolves when nothing will be heard any more that was announced to an earlier listener of the same
   * channel, and was on its way when that left.
   */
  async clear(name: string): Promise<void> {
    if (!this.#left.has(name)) return;
    const until = this.#leaves;
    await this.catchUp();
    this.#forget(name, until);
  }

  /** Whether `listener` was the one that listens. */
  unlisten(name: string, listener: Listener): boolean {
    if (this.#listeners.get(name) !== listener) return false;
    this.#listeners.delete(name);
    this.#left.set(name, ++this.#leaves);
    if (this.#left.size > mostLeft && !this.#isSweeping) this.#sweep();
    return true;
  }

  async #sweep(): Promise<void> {
    this.#isSweeping = true;
    const until = this.#leaves;
    await this.catchUp().catch(() => {}); // the connection is lost, and with it all that was on its way
    for (const name of [...this.#left.keys()]) this.#forget(name, until);
    this.#isSweeping = false;
  }

  #forget(name: string, until: number): void {
    if (this.#left.get(name)! <= until) this.#left.delete(name);
  }

  /**
   * Resolves when all that had been announced before has been heard. The broker's answer to a passive
   * declaration comes from the queue, behind what the queue had sent to the AMQP channel; that to the
   * next request comes from the AMQP channel, behind what this had sent here.
   */
  async catchUp(): Promise<void> {
    await this.#channel.queueDeclare(this.queue, { passive: true, exclusive: true });
    await this.#channel.prefetch(0);
  }

  #hear(message: AMQPMessage): void {
    const { messageId, correlationId = "", contentType = "", replyTo = "" } = message.properties;
    if (messageId?.startsWith(this.#own)) return;
    const isWord = contentType === wordType;
    // What comes straight to this queue is a word to one of its channels, and nothing else.
    const isNamed = message.exchange === sharedPlace.exchange || message.exchange === "" && isWord;
    const name = isNamed ? correlationId : message.exchange;
    this.#listeners.get(name)?.(message.body ?? new Uint8Array(), contentType, replyTo);
  }
}

/**
 * @param contentType what is announced: {@linkcode drainType}, {@linkcode wordType}, or an event
 * @param from the bulletin to which a word may be answered
 */
export type Listener = (event: Uint8Array, contentType: string, from: string) => void;

/** So many names are remembered of whom something may be on its way, before the broker is asked. */
const mostLeft = 1000;
