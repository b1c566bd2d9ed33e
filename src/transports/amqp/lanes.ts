import type { AMQPChannel } from "@cloudamqp/amqp-client";
import { Ledger } from "./ledger.ts";
import type { Wire } from "./wire.ts";

/** An AMQP channel for a while's use, with what it has on loan. (A Channel of ours is a queue.) */
export class Lane {
  readonly channel: AMQPChannel;
  readonly ledger: Ledger;
  users = 0;
  #confirming: Promise<void> | undefined;

  constructor(channel: AMQPChannel, wire: Wire) {
    this.channel = channel;
    this.ledger = new Ledger(channel, (work) => wire.atEndOfTurn(work));
  }

  /** Lets the broker confirm what is published here; only once, for it starts the client's count anew. */
  confirm(): Promise<void> {
    return this.#confirming ??= this.channel.confirmSelect();
  }
}

/**
 * The AMQP channels of a connection, reused: opening one costs as much as a get.
 *
 * A lane is lent to one user, as an error closes it with all that runs on it. Only where the broker
 * allows no more of them do receivers share; a topology change, which errors often, waits instead.
 */
export class Lanes {
  readonly #wire: Wire;
  readonly #idle: Lane[] = [];
  /** Lent for receiving, the longest-lent first. */
  readonly #receiving = new Set<Lane>();
  readonly #waiting: (() => void)[] = [];
  #open = 0;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  /** A lane for as long as messages are expected on it. */
  async lendForReceiving(): Promise<Lane> {
    const lane = this.#open < this.#limit - reserve || this.#idle.length > 0
      ? await this.#take()
      : this.#leastUsed() ?? await this.#take();
    lane.users++;
    this.#receiving.delete(lane);
    this.#receiving.add(lane);
    return lane;
  }

  /** Runs `use` with a lane that nobody else uses. */
  async with<T>(use: (channel: AMQPChannel, lane: Lane) => Promise<T>): Promise<T> {
    while (this.#idle.length === 0 && this.#open >= this.#limit) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
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
    this.#receiving.delete(lane);
    if (lane.channel.closed) this.#open--;
    else if (this.#idle.length < keepIdle) this.#idle.push(lane);
    else {
      this.#close(lane);
      this.#open--;
    }
    this.#waiting.shift()?.();
  }

  /** Gives a lane back on which something went wrong; what it has on loan goes to others. */
  discard(lane: Lane): void {
    lane.ledger.flush();
    if (lane.users === 1 && !lane.channel.closed) this.#close(lane);
    this.giveBack(lane);
  }

  #close(lane: Lane): void {
    lane.channel.close().catch(() => {});
  }

  async #take(): Promise<Lane> {
    for (;;) {
      const lane = this.#idle.pop();
      if (lane === undefined) break;
      if (!lane.channel.closed) return lane;
      this.#open--;
    }
    this.#open++;
    try {
      const channel = await this.#wire.channel();
      channel.onerror = () => {}; // whoever uses it hears of its end
      return new Lane(channel, this.#wire);
    } catch (error) {
      this.#open--;
      throw error;
    }
  }

  /** In turn, which comes to the least used, as lanes are given back in turn. */
  #leastUsed(): Lane | undefined {
    for (const lane of this.#receiving) {
      if (!lane.channel.closed) return lane;
    }
  }

  /** RabbitMQ's default is 2,047 for each connection; 0 means no limit but the numbering's. */
  get #limit(): number {
    return (this.#wire.channelMax || 65_535) - ownChannels;
  }
}

/** AMQP channels that the connection uses beside its lanes: for puts, and for announcements. */
const ownChannels = 2;

/** Lanes that are not for receiving, so that a topology change never waits for a message. */
const reserve = 16;

const keepIdle = 32;
