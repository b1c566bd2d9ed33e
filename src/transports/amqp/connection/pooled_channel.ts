import type { AMQPChannel, AMQPConsumer } from "@cloudamqp/amqp-client";
import { AckPeriods } from "./ack_periods.ts";
import { Acks } from "./acks.ts";
import type { Client } from "./client.ts";
import type { DeliveryListener } from "./message_frames.ts";

/** An AMQP channel of a {@linkcode ChannelPool}, and the messages that it has delivered. */
export class PooledChannel {
  readonly amqp: AMQPChannel;
  readonly acks: Acks;
  readonly ackPeriods: AckPeriods = new AckPeriods();
  readonly #client: Client;
  users = 0;
  /** Stands for who receives on it, or was the last to do so. */
  receiver: object | undefined;
  /** Whether it must not be used again. */
  isBroken = false;
  #confirming: Promise<void> | undefined;
  #lastRequest: Promise<unknown> = Promise.resolve();

  constructor(amqp: AMQPChannel, client: Client) {
    this.amqp = amqp;
    this.#client = client;
    this.acks = new Acks(amqp, (work) => client.atEndOfTurn(work));
  }

  /**
   * Makes requests one after the other. The client takes answers in the order of its requests, but RabbitMQ's answers
   * to basic.consume and basic.cancel come from the queue, and other answers overtake them.
   */
  request<T>(make: () => Promise<T>): Promise<T> {
    const made = this.#lastRequest.then(async () => {
      const { isFlushed } = this.acks; // otherwise the broker reads some acks after the request
      const answer = await make();
      if (isFlushed) this.ackPeriods.confirmed();
      return answer;
    });
    this.#lastRequest = made.catch(() => {});
    return made;
  }

  /** Consumes from a queue. A message calls `listener` as soon as it is read, possibly before the promise resolves. */
  async consume(queue: string, listener: DeliveryListener): Promise<AMQPConsumer> {
    const { deliveries } = this.#client;
    const tag = deliveries.add(listener);
    try {
      return await this.amqp.basicConsume(queue, { tag, noAck: false }, () => {});
    } catch (error) {
      deliveries.delete(tag);
      throw error;
    }
  }

  /** Resolves when the consumer was cancelled; rejects when it has ended otherwise. Called once for each consumer. */
  ended(consumer: AMQPConsumer): Promise<void> {
    return consumer.wait().finally(() => this.#client.deliveries.delete(consumer.tag));
  }

  /** The AMQP channel has ended, and the broker may not know the latest acks. */
  lost(): void {
    this.ackPeriods.lost();
  }

  /** Resolves when the broker has read everything that was released here since the last call. */
  async settleReleases(): Promise<void> {
    if (!this.acks.hasReleased) return;
    this.acks.hasReleased = false;
    this.acks.flush();
    await this.request(() => this.amqp.prefetch(1));
  }

  /** Has the broker confirm what is published here. It is asked once, because the client then counts from 1 again. */
  confirm(): Promise<void> {
    return this.#confirming ??= this.amqp.confirmSelect();
  }
}
