import type { AMQPChannel } from "@cloudamqp/amqp-client";
import type { Client } from "./client.ts";
import { PooledChannel } from "./pooled_channel.ts";
import { leastChannels } from "../uri.ts";

/** How many AMQP channels a connection may open, as far as earlier connections have found out. */
export interface ChannelLimit {
  channels: number;
}

/**
 * The AMQP channels of a connection. They are reused, because opening one costs as much as a get.
 *
 * An AMQP channel has one user at a time, because an error closes it with everything that runs on it. Only if the
 * broker allows no more AMQP channels, receivers share them; administration, which often meets errors, waits instead.
 *
 * Invariants: no more AMQP channels are open, opening or closing than the broker allows. Some of them are never used
 * for receiving, so that administration never waits for a message. If an AMQP channel can be shared, is released,
 * closes or fails to open, every waiting caller is woken.
 */
export class ChannelPool {
  readonly #client: Client;
  readonly #idle: PooledChannel[] = [];
  /** The AMQP channels in use for receiving, the one that was acquired longest ago first. */
  readonly #receiving = new Set<PooledChannel>();
  /** The number of AMQP channels in use for receiving, or soon to be. */
  #receivers = 0;
  #waiting: (() => void)[] = [];
  /** The number of AMQP channels that are open, opening or closing. */
  #open = 0;
  /** The number of those that the broker has opened. */
  #opened = 0;
  readonly #limit: ChannelLimit;
  /** Milliseconds of the shortest round trip to the broker so far; 0 while none is known. */
  roundTrip = 0;

  constructor(client: Client, limit: ChannelLimit) {
    this.#client = client;
    this.#limit = limit;
  }

  /**
   * The broker has closed the connection because its user has too many AMQP channels. Reports whether the next
   * connection may do with fewer.
   */
  refused(): boolean {
    const { channels } = this.#limit;
    const fewer = Math.min(this.#opened + ownChannels, channels - 1);
    this.#limit.channels = Math.max(fewer, leastChannels);
    return channels > leastChannels;
  }

  /** Opens the least number that is needed, so that a limit is noticed when the connection is made. */
  async open(): Promise<void> {
    this.#idle.push(...await Promise.all([this.#openChannel(), this.#openChannel()]));
  }

  /** A round trip has taken this number of milliseconds. */
  measured(ms: number): void {
    this.roundTrip = this.roundTrip === 0 ? ms : Math.min(this.roundTrip, ms);
  }

  /**
   * Returns an AMQP channel to receive messages on; `release` or `discard` gives it back. A receiver gets its last one
   * again, unless another receiver has it: the broker reads what was released there before it reads the next request, and
   * what is released together goes back in order.
   *
   * @param receiver stands for the caller
   * @param last the AMQP channel that the receiver had last
   */
  async acquireForReceiving(receiver: object, last?: PooledChannel): Promise<PooledChannel> {
    for (;;) {
      const mayHaveOwn = this.#receivers < this.#most - this.#reserve;
      const channel = this.#again(receiver, last, mayHaveOwn) ??
        (mayHaveOwn ? await this.#acquireUnshared() : this.#leastUsed());
      if (channel !== undefined) {
        channel.receiver = receiver;
        channel.users++;
        this.#receiving.delete(channel);
        this.#receiving.add(channel);
        this.wake(); // others may share it
        return channel;
      }
      await this.#change();
    }
  }

  /** Calls `use` with an AMQP channel that has no other user. */
  async with<T>(use: (amqp: AMQPChannel, channel: PooledChannel) => Promise<T>): Promise<T> {
    const channel = await this.#acquire();
    channel.users++;
    try {
      return await use(channel.amqp, channel);
    } finally {
      this.release(channel);
    }
  }

  /** A user does not use the AMQP channel any more. */
  release(channel: PooledChannel): void {
    channel.acks.flush();
    if (--channel.users > 0) return;
    if (this.#receiving.delete(channel)) this.#receivers--;
    if (channel.amqp.closed) this.#ended();
    else if (channel.isBroken || this.#idle.length >= mostIdle) this.#close(channel);
    else this.#idle.push(channel);
    this.wake();
  }

  /** Releases an AMQP channel after a failure: it is closed, which requeues the messages that are not settled. */
  discard(channel: PooledChannel): void {
    channel.isBroken = true;
    this.release(channel);
  }

  /** Wakes every waiting caller, after a change or the loss of the connection. */
  wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }

  #close(channel: PooledChannel): void {
    const closed = () => {
      this.#ended();
      this.wake();
    };
    channel.amqp.close().then(closed, closed);
  }

  /** An AMQP channel has ended. */
  #ended(): void {
    this.#open--;
    this.#opened--;
  }

  /** Returns the AMQP channel that a receiver had last, if it may have it again. */
  #again(
    receiver: object,
    last: PooledChannel | undefined,
    mayHaveOwn: boolean,
  ): PooledChannel | undefined {
    if (last?.receiver !== receiver || last.amqp.closed || last.isBroken) return undefined;
    if (this.#receiving.has(last)) return last; // its deliveries are not settled
    const at = mayHaveOwn ? this.#idle.indexOf(last) : -1;
    if (at < 0) return undefined;
    this.#idle.splice(at, 1);
    this.#receivers++;
    return last;
  }

  async #acquireUnshared(): Promise<PooledChannel> {
    this.#receivers++;
    try {
      return await this.#acquire();
    } catch (error) {
      this.#receivers--;
      this.wake();
      throw error;
    }
  }

  async #acquire(): Promise<PooledChannel> {
    for (;;) {
      const channel = this.#idle.pop();
      if (channel !== undefined) {
        if (!channel.amqp.closed) return channel;
        this.#ended();
      } else if (this.#open < this.#most) {
        return await this.#openChannel();
      } else {
        await this.#change();
      }
    }
  }

  async #openChannel(): Promise<PooledChannel> {
    this.#open++;
    try {
      const amqp = await this.#client.channel();
      this.#opened++;
      const channel = new PooledChannel(amqp, this.#client);
      amqp.onerror = () => channel.lost(); // its requests and consumers reject, too
      return channel;
    } catch (error) {
      this.#open--;
      this.wake();
      throw error;
    }
  }

  /** The AMQP channels take turns, so this is the least used one as long as they are released in turn. */
  #leastUsed(): PooledChannel | undefined {
    for (const channel of this.#receiving) {
      if (!channel.amqp.closed && !channel.isBroken) return channel;
    }
  }

  async #change(): Promise<void> {
    if (this.#client.closed) throw new Error("the connection is closed");
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /**
   * The greatest number of open AMQP channels. RabbitMQ's default limit is 2,047; 0 is no limit but the numbering's.
   */
  get #most(): number {
    return Math.min(this.#client.channelMax || 65_535, this.#limit.channels) - ownChannels;
  }

  /** The number of AMQP channels that are never used for receiving. */
  get #reserve(): number {
    return Math.min(16, this.#most >> 1);
  }
}

/** The number of AMQP channels that a connection uses without the pool: for puts, and for announcements. */
const ownChannels = 2;

const mostIdle = 32;
