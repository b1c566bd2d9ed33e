import type { AMQPChannel, AMQPMessage } from "@cloudamqp/amqp-client";
import { isOwnId } from "../../../shared/message_id.ts";
import { commonBinding } from "../topology/bindings.ts";
import { classic } from "../topology/queues.ts";

/**
 * The queue through which a connection receives the announcements of all its channels. It is exclusive, so the broker
 * deletes it with the connection. It is bound where the users of each attached channel are, except anonymous ones.
 *
 * The queue is bounded, since a process may be stopped, or slow, while others broadcast. RabbitMQ drops the oldest
 * announcements then, and does not report it. But such a queue is full, so this connection receives as many
 * announcements as the queue holds before it is empty. If it has received that many since the queue was last known to
 * be empty, every listener is told that it may have missed some. After each quarter of the queue's size the broker is
 * asked whether it is empty.
 */
export class AnnouncementQueue {
  readonly queue: string;
  readonly #channel: AMQPChannel;
  /** By the name of the channel. */
  readonly #listeners = new Map<string, Listener>();
  readonly #ownPrefix: string;
  /** The channels whose listener has left lately, with the number of that leave. */
  readonly #left = new Map<string, number>();
  #leaves = 0;
  #isSweeping = false;
  /** What was received since the queue was known to be empty. */
  #received: Amount = { count: 0, bytes: 0 };
  /** The ids of the last announcements, in two generations: a sender that has lost its connection sends some again. */
  #heard = new Set<string>();
  #heardBefore = new Set<string>();
  /** The value of `#received` at which the broker is asked next. */
  #nextProbe: Amount = quarter;
  #isProbing = false;
  /** Called when this queue is lost. The connection may be open still. */
  onLost: (reason: string) => void = () => {};

  private constructor(channel: AMQPChannel, queue: string, ownPrefix: string) {
    this.#channel = channel;
    this.queue = queue;
    this.#ownPrefix = ownPrefix;
  }

  /** @param ownPrefix the prefix of the message ids of this process, whose announcements it ignores */
  static async open(channel: AMQPChannel, ownPrefix: string): Promise<AnnouncementQueue> {
    const { name } = await channel.queueDeclare(
      "",
      { exclusive: true, durable: false, autoDelete: false },
      { ...classic, "x-max-length": capacity.count, "x-max-length-bytes": capacity.bytes },
    );
    await channel.queueBind(name, commonBinding.exchange, commonBinding.routingKey);
    const announcements = new AnnouncementQueue(channel, name, ownPrefix);
    const receive = (message: AMQPMessage) => announcements.#receive(message);
    const consumer = await channel.basicConsume(name, { noAck: true }, receive);
    consumer.wait().catch((error: Error) => announcements.onLost(error.message));
    return announcements;
  }

  /** Sets the listener of a channel. */
  listen(name: string, listener: Listener): void {
    this.#listeners.set(name, listener);
  }

  /** Removes the listener of a channel. Returns false if the channel has another listener. */
  unlisten(name: string, listener: Listener): boolean {
    if (this.#listeners.get(name) !== listener) return false;
    this.#listeners.delete(name);
    this.#left.set(name, ++this.#leaves);
    if (this.#left.size > mostLeft && !this.#isSweeping) this.#sweep();
    return true;
  }

  /**
   * Resolves when every announcement to an earlier listener of a channel has arrived, so that a new listener does not
   * receive it.
   */
  async clear(name: string): Promise<void> {
    if (!this.#left.has(name)) return;
    const until = this.#leaves;
    await this.catchUp();
    this.#forget(name, until);
  }

  async #sweep(): Promise<void> {
    this.#isSweeping = true;
    const until = this.#leaves;
    await this.catchUp().catch(() => {}); // the connection is lost, and no announcement arrives any more
    for (const name of [...this.#left.keys()]) this.#forget(name, until);
    this.#isSweeping = false;
  }

  #forget(name: string, until: number): void {
    if (this.#left.get(name)! <= until) this.#left.delete(name);
  }

  /**
   * Resolves when every earlier announcement has been received, with the number of those that wait in the queue.
   *
   * The broker's answer to a passive declaration comes from the queue, after everything that the queue has sent to the
   * AMQP channel. Its answer to the next request comes from the AMQP channel, after everything that this has sent here.
   */
  async catchUp(): Promise<number> {
    const { messageCount } = await this.#channel.queueDeclare(this.queue, {
      passive: true,
      exclusive: true,
    });
    await this.#channel.prefetch(0);
    return messageCount;
  }

  #receive(message: AMQPMessage): void {
    const received = this.#received = sum(this.#received, { count: 1, bytes: message.bodySize });
    if (!this.#isProbing && reaches(received, this.#nextProbe)) this.#probe();
    const { messageId, correlationId = "", contentType = "" } = message.properties;
    if (messageId?.startsWith(this.#ownPrefix)) return;
    if (messageId !== undefined && isOwnId(messageId) && this.#wasHeard(messageId)) return;
    const name = message.exchange === commonBinding.exchange ? correlationId : message.exchange;
    this.#listeners.get(name)?.announced(message.body ?? new Uint8Array(), contentType);
  }

  #wasHeard(id: string): boolean {
    if (this.#heard.has(id) || this.#heardBefore.has(id)) return true;
    if (this.#heard.size === generationSize) {
      this.#heardBefore = this.#heard;
      this.#heard = new Set();
    }
    this.#heard.add(id);
    return false;
  }

  /** Finds out whether announcements may have been dropped. */
  async #probe(): Promise<void> {
    this.#isProbing = true;
    const { count, bytes } = this.#received;
    try {
      const waiting = await this.catchUp();
      if (reaches(this.#received, suspicious)) {
        this.#received = { count: 0, bytes: 0 };
        for (const listener of [...this.#listeners.values()]) listener.missed();
      } else if (waiting === 0) { // announcements that came after the question stay counted
        this.#received = sum(this.#received, { count: -count, bytes: -bytes });
      }
      this.#nextProbe = sum(this.#received, quarter);
    } catch { /* the connection is lost, and this queue with it */ }
    this.#isProbing = false;
  }
}

/** Receives the announcements on a channel. */
export interface Listener {
  /** @param contentType {@linkcode drainType} for the announcement of a drain */
  announced(event: Uint8Array, contentType: string): void;
  /** The broker may have dropped announcements. */
  missed(): void;
}

/** A number of announcements, and their bytes. */
interface Amount {
  readonly count: number;
  readonly bytes: number;
}

/** What the queue holds. */
const capacity: Amount = { count: 10_000, bytes: 16 * 1024 * 1024 };
/** The most bytes of an announcement. A larger one would be dropped, with everything that waits. */
export const largestAnnouncement: number = capacity.bytes;
/** After this amount the queue may have been full: a full queue lacks up to one announcement's bytes. */
const suspicious: Amount = { count: capacity.count, bytes: capacity.bytes / 2 };
const quarter: Amount = { count: capacity.count / 4, bytes: capacity.bytes / 4 };

function sum(a: Amount, b: Amount): Amount {
  return { count: a.count + b.count, bytes: a.bytes + b.bytes };
}

/** Reports whether an amount reaches a limit in one of its two measures. */
function reaches(amount: Amount, limit: Amount): boolean {
  return amount.count >= limit.count || amount.bytes >= limit.bytes;
}

/** How many ids of announcements a generation has. */
const generationSize = 2048;

/** How many left channels are remembered before the broker is asked to catch up. */
const mostLeft = 1000;
