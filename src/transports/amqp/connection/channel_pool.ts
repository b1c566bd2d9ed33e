import type { AMQPChannel, AMQPConsumer } from "@cloudamqp/amqp-client";
import type { DeliveryListener } from "./message_frames.ts";
import { Acks } from "./acks.ts";
import type { AckPeriod } from "../gets/deduplication.ts";
import { leastChannels } from "./refusal.ts";
import type { Client } from "./client.ts";

/** An AMQP channel for a while's use, with what it has on loan. (A Channel of ours is a queue.) */
export class PooledChannel {
  readonly channel: AMQPChannel;
  readonly acks: Acks;
  readonly #client: Client;
  users = 0;
  /** Whether it is not to be used again. */
  isBroken = false;
  #confirming: Promise<void> | undefined;
  /** In which what is accepted now is settled. */
  ackPeriod: AckPeriod = { isLost: false };
  #passageBegan = performance.now();
  /** Those that the broker may forget if it is killed, and when it had read them. */
  readonly #recent: { readonly ackPeriod: AckPeriod; readonly read: number }[] = [];
  #lastRequest: Promise<unknown> = Promise.resolve();

  constructor(channel: AMQPChannel, client: Client) {
    this.channel = channel;
    this.#client = client;
    this.acks = new Acks(channel, (work) => client.atEndOfTurn(work));
  }

  /**
   * Makes requests of this pooled one after the other. The client takes answers in the order of its
   * requests, yet RabbitMQ's to basic.consume and basic.cancel come from the queue, and others overtake.
   */
  request<T>(make: () => Promise<T>): Promise<T> {
    const made = this.#lastRequest.then(async () => {
      const proves = this.acks.isFlushed; // else the broker reads some of it after the request
      const answer = await make();
      if (proves) this.#proved();
      return answer;
    });
    this.#lastRequest = made.catch(() => {});
    return made;
  }

  /** Consumes from a queue: `take` is called for each message as soon as it is read, also before this resolves. */
  async consume(queue: string, take: DeliveryListener): Promise<AMQPConsumer> {
    const { deliveries } = this.#client;
    const tag = deliveries.add(take);
    try {
      return await this.channel.basicConsume(queue, { tag, noAck: false }, () => {});
    } catch (error) {
      deliveries.delete(tag);
      throw error;
    }
  }

  /** Resolves when the consumer has been cancelled; rejects when it has ended otherwise. To be called once. */
  ended(consumer: AMQPConsumer): Promise<void> {
    return consumer.wait().finally(() => this.#client.deliveries.delete(consumer.tag));
  }

  /** The broker has read what was settled here before its last answer. */
  #proved(): void {
    const now = performance.now();
    if (now - this.#passageBegan < passageTime) return;
    this.#recent.push({ ackPeriod: this.ackPeriod, read: now });
    this.ackPeriod = { isLost: false };
    this.#passageBegan = now;
    while (now - this.#recent[0]!.read > safeTime) this.#recent.shift();
  }

  /** The AMQP channel has ended, and what was settled here may not be known to the broker. */
  lost(): void {
    this.ackPeriod.isLost = true;
    const now = performance.now();
    for (const { ackPeriod, read } of this.#recent) ackPeriod.isLost = now - read < safeTime;
  }

  /** Resolves when the broker has read all that was settled here. */
  async settle(): Promise<void> {
    this.acks.flush();
    await this.request(() => this.channel.prefetch(1));
  }

  /** Lets the broker confirm what is published here; only once, for it starts the client's count anew. */
  confirm(): Promise<void> {
    return this.#confirming ??= this.channel.confirmSelect();
  }
}

/** Milliseconds after which other acceptances are remembered apart, so that there are not too many such times. */
const passageTime = 500;

/** Milliseconds after which an acceptance that RabbitMQ has read is on its disk. */
const safeTime = 5000;

/** How many AMQP channels a connection may open, as far as earlier ones have found out. */
export interface ChannelLimit {
  channels: number;
}

/**
 * The AMQP channels of a connection, reused: opening one costs as much as a get.
 *
 * A pooled is lent to one user, as an error closes it with all that runs on it. Only where the broker
 * allows no more of them do receivers share; a topology change, which errors often, waits instead.
 *
 * Invariants: no more pool are open, opening or closing than the broker allows; some of them are
 * never lent for receiving, so that a topology change never waits for a message. Whoever waits is
 * woken by every pooled that can be shared, is given back, closed, or fails to open.
 */
export class ChannelPool {
  readonly #client: Client;
  readonly #idle: PooledChannel[] = [];
  /** Lent for receiving, the longest-lent first. */
  readonly #receiving = new Set<PooledChannel>();
  /** How many are lent for receiving, or about to be. */
  #receivers = 0;
  #waiting: (() => void)[] = [];
  /** How many are open, opening or closing. */
  #open = 0;
  /** How many of them the broker has opened. */
  #opened = 0;
  readonly #channelLimit: ChannelLimit;
  /** Milliseconds of the shortest round trip to the broker so far; 0 while none is known. */
  roundTrip = 0;

  constructor(client: Client, channelLimit: ChannelLimit) {
    this.#client = client;
    this.#channelLimit = channelLimit;
  }

  /**
   * The broker has closed the connection because its user has too many AMQP channels. Whether fewer may do on the next.
   */
  refused(): boolean {
    const { channels } = this.#channelLimit;
    const fewer = Math.min(this.#opened + ownChannels, channels - 1);
    this.#channelLimit.channels = Math.max(fewer, leastChannels);
    return channels > leastChannels;
  }

  /** Opens as many as are needed at least, so that a limit is met when the connection is made, and not later. */
  async open(): Promise<void> {
    this.#idle.push(...await Promise.all([this.#openLane(), this.#openLane()]));
  }

  /** A round trip has taken so many milliseconds. */
  took(ms: number): void {
    this.roundTrip = this.roundTrip === 0 ? ms : Math.min(this.roundTrip, ms);
  }

  /** A pooled for as long as messages are expected on it. */
  async lendForReceiving(): Promise<PooledChannel> {
    for (;;) {
      const pooled = this.#receivers < this.#limit - this.#reserve
        ? await this.#takeForReceiving()
        : this.#leastUsed();
      if (pooled !== undefined) {
        pooled.users++;
        this.#receiving.delete(pooled);
        this.#receiving.add(pooled);
        this.wake(); // those who would share it
        return pooled;
      }
      await this.#change();
    }
  }

  /** Runs `use` with a pooled that nobody else uses. */
  async with<T>(use: (channel: AMQPChannel, pooled: PooledChannel) => Promise<T>): Promise<T> {
    const pooled = await this.#take();
    pooled.users++;
    try {
      return await use(pooled.channel, pooled);
    } finally {
      this.giveBack(pooled);
    }
  }

  giveBack(pooled: PooledChannel): void {
    pooled.acks.flush();
    if (--pooled.users > 0) return;
    if (this.#receiving.delete(pooled)) this.#receivers--;
    if (pooled.channel.closed) this.#ended();
    else if (pooled.isBroken || this.#idle.length >= keepIdle) this.#close(pooled);
    else this.#idle.push(pooled);
    this.wake();
  }

  /** Gives a pooled back on which something went wrong; what it has on loan goes to others. */
  discard(pooled: PooledChannel): void {
    pooled.isBroken = true;
    this.giveBack(pooled);
  }

  /** Lets everyone who waits look again, as when the connection is lost. */
  wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }

  #close(pooled: PooledChannel): void {
    const closed = () => {
      this.#ended();
      this.wake();
    };
    pooled.channel.close().then(closed, closed);
  }

  /** One was closed by the broker. */
  #ended(): void {
    this.#open--;
    this.#opened--;
  }

  async #takeForReceiving(): Promise<PooledChannel> {
    this.#receivers++;
    try {
      return await this.#take();
    } catch (error) {
      this.#receivers--;
      this.wake();
      throw error;
    }
  }

  async #take(): Promise<PooledChannel> {
    for (;;) {
      const pooled = this.#idle.pop();
      if (pooled !== undefined) {
        if (!pooled.channel.closed) return pooled;
        this.#ended();
      } else if (this.#open < this.#limit) {
        return await this.#openLane();
      } else {
        await this.#change();
      }
    }
  }

  async #openLane(): Promise<PooledChannel> {
    this.#open++;
    try {
      const channel = await this.#client.channel();
      this.#opened++;
      const pooled = new PooledChannel(channel, this.#client);
      channel.onerror = () => pooled.lost(); // whoever uses it hears of its end otherwise
      return pooled;
    } catch (error) {
      this.#open--;
      this.wake();
      throw error;
    }
  }

  /** In turn, which comes to the least used, as pool are given back in turn. */
  #leastUsed(): PooledChannel | undefined {
    for (const pooled of this.#receiving) {
      if (!pooled.channel.closed && !pooled.isBroken) return pooled;
    }
  }

  async #change(): Promise<void> {
    if (this.#client.closed) throw new Error("the connection is closed");
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** RabbitMQ's default is 2,047 for each connection; 0 means no limit but the numbering's. */
  get #limit(): number {
    return Math.min(this.#client.channelMax || 65_535, this.#channelLimit.channels) - ownChannels;
  }

  get #reserve(): number {
    return Math.min(16, this.#limit >> 1);
  }
}

/** AMQP channels that the connection uses beside its pool: for puts, and for announcements. */
const ownChannels = 2;

const keepIdle = 32;
