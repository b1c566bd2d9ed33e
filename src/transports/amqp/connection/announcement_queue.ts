import type { AMQPChannel, AMQPMessage } from "@cloudamqp/amqp-client";
import { commonBinding } from "../topology/bindings.ts";
import { classic } from "../topology/queues.ts";

/**
 * The one queue through which a connection hears the announcements of all its channels: exclusive,
 * so it goes with the connection, and bound where the users are of each channel attached here that has a name.
 *
 * It is bounded, for a process that is stopped, or slow, while others broadcast: what is too much is dropped, the
 * oldest first, and RabbitMQ tells nobody. But then the queue is full, and as many announcements as it holds are heard
 * before it is empty: where so many were heard since it was known to be empty, every listener is told that it may
 * have missed something. It is asked whether it is empty each time that a quarter of it was heard.
 */
export class AnnouncementQueue {
  readonly queue: string;
  readonly #channel: AMQPChannel;
  readonly #listeners = new Map<string, Listener>();
  readonly #own: string;
  /** Of which channels somebody stopped hearing of late, and which leave that was. */
  readonly #left = new Map<string, number>();
  #leaves = 0;
  #isSweeping = false;
  /** How much was heard since the queue was known to be empty. */
  #heard: Amount = { count: 0, bytes: 0 };
  /** How much is heard before it is asked again. */
  #nextProbe: Amount = quarter;
  #isProbing = false;
  /** Called when nothing will be heard any more, although the connection may be open. */
  onLost: (reason: string) => void = () => {};

  private constructor(channel: AMQPChannel, queue: string, own: string) {
    this.#channel = channel;
    this.queue = queue;
    this.#own = own;
  }

  /** @param own the prefix of message ids that this process sends, and need not hear */
  static async open(channel: AMQPChannel, own: string): Promise<AnnouncementQueue> {
    const { name } = await channel.queueDeclare(
      "",
      { exclusive: true, durable: false, autoDelete: false },
      { ...classic, "x-max-length": most.count, "x-max-length-bytes": most.bytes },
    );
    await channel.queueBind(name, commonBinding.exchange, commonBinding.routingKey);
    const announcements = new AnnouncementQueue(channel, name, own);
    const hear = (message: AMQPMessage) => announcements.#hear(message);
    const consumer = await channel.basicConsume(name, { noAck: true }, hear);
    consumer.wait().catch((error: Error) => announcements.onLost(error.message));
    return announcements;
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
   * Resolves when all that had been announced before has been heard, with how many wait in the queue. The broker's answer to a passive
   * declaration comes from the queue, behind what the queue had sent to the AMQP channel; that to the
   * next request comes from the AMQP channel, behind what this had sent here.
   */
  async catchUp(): Promise<number> {
    const { messageCount } = await this.#channel.queueDeclare(this.queue, {
      passive: true,
      exclusive: true,
    });
    await this.#channel.prefetch(0);
    return messageCount;
  }

  #hear(message: AMQPMessage): void {
    const heard = this.#heard = more(this.#heard, { count: 1, bytes: message.bodySize });
    if (!this.#isProbing && isOver(heard, this.#nextProbe)) this.#probe();
    const { messageId, correlationId = "", contentType = "" } = message.properties;
    if (messageId?.startsWith(this.#own)) return;
    const name = message.exchange === commonBinding.exchange ? correlationId : message.exchange;
    this.#listeners.get(name)?.hear(message.body ?? new Uint8Array(), contentType);
  }

  /** Finds out whether announcements were dropped. */
  async #probe(): Promise<void> {
    this.#isProbing = true;
    const { count, bytes } = this.#heard;
    try {
      const waiting = await this.catchUp();
      if (isOver(this.#heard, suspicious)) {
        this.#heard = { count: 0, bytes: 0 };
        for (const listener of [...this.#listeners.values()]) listener.missed();
      } else if (waiting === 0) { // what came after the question may have come after the answer
        this.#heard = more(this.#heard, { count: -count, bytes: -bytes });
      }
      this.#nextProbe = more(this.#heard, quarter);
    } catch { /* the connection is lost, and with it all that was on its way */ }
    this.#isProbing = false;
  }
}

/** Who listens to what is announced on a channel. */
export interface Listener {
  /** @param contentType what is announced: {@linkcode drainType}, or an event */
  hear(event: Uint8Array, contentType: string): void;
  /** Announcements may have been dropped, because too many waited. */
  missed(): void;
}

interface Amount {
  readonly count: number;
  readonly bytes: number;
}

/** What waits at the broker for one connection at most. */
const most: Amount = { count: 10_000, bytes: 16 * 1024 * 1024 };
/** Bytes: one that is larger would be dropped, with all that waits. */
export const largestAnnouncement: number = most.bytes;
/** After so much may some have been dropped: what waits in a full queue lacks up to one message's bytes. */
const suspicious: Amount = { count: most.count, bytes: most.bytes / 2 };
const quarter: Amount = { count: most.count / 4, bytes: most.bytes / 4 };

function more(a: Amount, b: Amount): Amount {
  return { count: a.count + b.count, bytes: a.bytes + b.bytes };
}

function isOver(amount: Amount, limit: Amount): boolean {
  return amount.count >= limit.count || amount.bytes >= limit.bytes;
}

/** So many names are remembered of whom something may be on its way, before the broker is asked. */
const mostLeft = 1000;
