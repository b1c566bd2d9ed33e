import type { AMQPChannel, AMQPConsumer } from "@cloudamqp/amqp-client";
import type { Taker } from "./message_frames.ts";
import { Ledger } from "./acks.ts";
import type { Passage } from "../gets/deduplication.ts";
import { leastChannels } from "./refusal.ts";
import type { Client } from "./client.ts";

/** An AMQP channel for a while's use, with what it has on loan. (A Channel of ours is a queue.) */
export class Lane {
  readonly channel: AMQPChannel;
  readonly ledger: Ledger;
  readonly #client: Client;
  users = 0;
  /** Whether it is not to be used again. */
  isBroken = false;
  #confirming: Promise<void> | undefined;
  /** In which what is accepted now is settled. */
  passage: Passage = { isLost: false };
  #passageBegan = performance.now();
  /** Those that the broker may forget if it is killed, and when it had read them. */
  readonly #recent: { readonly passage: Passage; readonly read: number }[] = [];
  #lastRequest: Promise<unknown> = Promise.resolve();

  constructor(channel: AMQPChannel, client: Client) {
    this.channel = channel;
    this.#client = client;
    this.ledger = new Ledger(channel, (work) => client.atEndOfTurn(work));
  }

  /**
   * Makes requests of this lane one after the other. The client takes answers in the order of its
   * requests, yet RabbitMQ's to basic.consume and basic.cancel come from the queue, and others overtake.
   */
  request<T>(make: () => Promise<T>): Promise<T> {
    const made = this.#lastRequest.then(async () => {
      const proves = this.ledger.isFlushed; // else the broker reads some of it after the request
      const answer = await make();
      if (proves) this.#proved();
      return answer;
    });
    this.#lastRequest = made.catch(() => {});
    return made;
  }

  /** Consumes from a queue: `take` is called for each message as soon as it is read, also before this resolves. */
  async consume(queue: string, take: Taker): Promise<AMQPConsumer> {
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
    this.#recent.push({ passage: this.passage, read: now });
    this.passage = { isLost: false };
    this.#passageBegan = now;
    while (now - this.#recent[0]!.read > safeTime) this.#recent.shift();
  }

  /** The AMQP channel has ended, and what was settled here may not be known to the broker. */
  lost(): void {
    this.passage.isLost = true;
    const now = performance.now();
    for (const { passage, read } of this.#recent) passage.isLost = now - read < safeTime;
  }

  /** Resolves when the broker has read all that was settled here. */
  async settle(): Promise<void> {
    this.ledger.flush();
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
export interface Allowance {
  channels: number;
}

/**
 * The AMQP channels of a connection, reused: opening one costs as much as a get.
 *
 * A lane is lent to one user, as an error closes it with all that runs on it. Only where the broker
 * allows no more of them do receivers share; a topology change, which errors often, waits instead.
 *
 * Invariants: no more lanes are open, opening or closing than the broker allows; some of them are
 * never lent for receiving, so that a topology change never waits for a message. Whoever waits is
 * woken by every lane that can be shared, is given back, closed, or fails to open.
 */
export class Lanes {
  readonly #client: Client;
  readonly #idle: Lane[] = [];
  /** Lent for receiving, the longest-lent first. */
  readonly #receiving = new Set<Lane>();
  /** How many are lent for receiving, or about to be. */
  #receivers = 0;
  #waiting: (() => void)[] = [];
  /** How many are open, opening or closing. */
  #open = 0;
  /** How many of them the broker has opened. */
  #opened = 0;
  readonly #allowance: Allowance;
  /** Milliseconds of the shortest round trip to the broker so far; 0 while none is known. */
  roundTrip = 0;

  constructor(client: Client, allowance: Allowance) {
    this.#client = client;
    this.#allowance = allowance;
  }

  /**
   * The broker has closed the connection because its user has too many AMQP channels. Whether fewer may do on the next.
   */
  refused(): boolean {
    const { channels } = this.#allowance;
    const fewer = Math.min(this.#opened + ownChannels, channels - 1);
    this.#allowance.channels = Math.max(fewer, leastChannels);
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

  /** A lane for as long as messages are expected on it. */
  async lendForReceiving(): Promise<Lane> {
    for (;;) {
      const lane = this.#receivers < this.#limit - this.#reserve
        ? await this.#takeForReceiving()
        : this.#leastUsed();
      if (lane !== undefined) {
        lane.users++;
        this.#receiving.delete(lane);
        this.#receiving.add(lane);
        this.wake(); // those who would share it
        return lane;
      }
      await this.#change();
    }
  }

  /** Runs `use` with a lane that nobody else uses. */
  async with<T>(use: (channel: AMQPChannel, lane: Lane) => Promise<T>): Promise<T> {
    const lane = await this.#take();
    lane.users++;
    try {
      return await use(lane.channel, lane);
    } finally {
      this.giveBack(lane);
    }
  }

  giveBack(lane: Lane): void {
    lane.ledger.flush();
    if (--lane.users > 0) return;
    if (this.#receiving.delete(lane)) this.#receivers--;
    if (lane.channel.closed) this.#ended();
    else if (lane.isBroken || this.#idle.length >= keepIdle) this.#close(lane);
    else this.#idle.push(lane);
    this.wake();
  }

  /** Gives a lane back on which something went wrong; what it has on loan goes to others. */
  discard(lane: Lane): void {
    lane.isBroken = true;
    this.giveBack(lane);
  }

  /** Lets everyone who waits look again, as when the connection is lost. */
  wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }

  #close(lane: Lane): void {
    const closed = () => {
      this.#ended();
      this.wake();
    };
    lane.channel.close().then(closed, closed);
  }

  /** One was closed by the broker. */
  #ended(): void {
    this.#open--;
    this.#opened--;
  }

  async #takeForReceiving(): Promise<Lane> {
    this.#receivers++;
    try {
      return await this.#take();
    } catch (error) {
      this.#receivers--;
      this.wake();
      throw error;
    }
  }

  async #take(): Promise<Lane> {
    for (;;) {
      const lane = this.#idle.pop();
      if (lane !== undefined) {
        if (!lane.channel.closed) return lane;
        this.#ended();
      } else if (this.#open < this.#limit) {
        return await this.#openLane();
      } else {
        await this.#change();
      }
    }
  }

  async #openLane(): Promise<Lane> {
    this.#open++;
    try {
      const channel = await this.#client.channel();
      this.#opened++;
      const lane = new Lane(channel, this.#client);
      channel.onerror = () => lane.lost(); // whoever uses it hears of its end otherwise
      return lane;
    } catch (error) {
      this.#open--;
      this.wake();
      throw error;
    }
  }

  /** In turn, which comes to the least used, as lanes are given back in turn. */
  #leastUsed(): Lane | undefined {
    for (const lane of this.#receiving) {
      if (!lane.channel.closed && !lane.isBroken) return lane;
    }
  }

  async #change(): Promise<void> {
    if (this.#client.closed) throw new Error("the connection is closed");
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** RabbitMQ's default is 2,047 for each connection; 0 means no limit but the numbering's. */
  get #limit(): number {
    return Math.min(this.#client.channelMax || 65_535, this.#allowance.channels) - ownChannels;
  }

  get #reserve(): number {
    return Math.min(16, this.#limit >> 1);
  }
}

/** AMQP channels that the connection uses beside its lanes: for puts, and for announcements. */
const ownChannels = 2;

const keepIdle = 32;
