import type { AMQPConsumer } from "@cloudamqp/amqp-client";
import type { ChannelPool } from "../connection/channel_pool.ts";
import type { Delivery, DeliveryListener } from "../connection/message_frames.ts";
import type { PooledChannel } from "../connection/pooled_channel.ts";

/**
 * The AMQP channel through which one queue is read, and its consumers. No method is called while another one is
 * pending.
 */
export class Subscription {
  readonly #pool: ChannelPool;
  readonly #queue: string;
  readonly #onFailure: () => void;
  #channel: PooledChannel | undefined;
  /** The AMQP channel that it had last. */
  #last: PooledChannel | undefined;
  readonly #receiver = {};
  #consumers: AMQPConsumer[] = [];
  /** Why the broker has ended a consumer; undefined while it has not. */
  failure: Error | undefined;

  /** @param onFailure called when the broker has ended a consumer */
  constructor(pool: ChannelPool, queue: string, onFailure: () => void) {
    this.#pool = pool;
    this.#queue = queue;
    this.#onFailure = onFailure;
  }

  get channel(): PooledChannel | undefined {
    return this.#channel;
  }

  /** Takes an AMQP channel from the pool if there is none. */
  async open(): Promise<PooledChannel> {
    return this.#channel ??= await this.#pool.acquireForReceiving(this.#receiver, this.#last);
  }

  /** Asks for one message. */
  async get(): Promise<Delivery | null> {
    const channel = await this.open();
    channel.acks.flush();
    const start = performance.now();
    const message = await channel.request(() =>
      channel.amqp.basicGet(this.#queue, { noAck: false })
    );
    this.#pool.measured(performance.now() - start);
    return message;
  }

  /**
   * Widens the window by one more consumer with this prefetch: the prefetch of a consumer is fixed, and if an earlier
   * consumer ended, a quorum queue would take back the messages in flight to it.
   *
   * @param onMessage may be called before the promise resolves
   */
  async addConsumer(prefetch: number, onMessage: DeliveryListener): Promise<void> {
    const channel = await this.open();
    const [, consumer] = await channel.request(() =>
      Promise.all([channel.amqp.prefetch(prefetch), channel.consume(this.#queue, onMessage)])
    );
    channel.ended(consumer).catch((error) => {
      if (!this.#consumers.includes(consumer)) return;
      this.failure = error;
      this.#onFailure();
    });
    this.#consumers.push(consumer);
  }

  /** Ends the consumers. When it resolves, the messages that were in flight have arrived or are back in the queue. */
  async endConsumers(): Promise<void> {
    const consumers = this.#consumers;
    if (consumers.length === 0) return;
    this.#consumers = [];
    await this.#channel!.request(() => Promise.all(consumers.map((consumer) => consumer.cancel())));
  }

  /** Returns the AMQP channel to the pool. */
  release(): void {
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel === undefined) return;
    this.#last = channel;
    this.#pool.release(channel);
  }

  /** Gives up the consumers and the AMQP channel, after a failure. */
  discard(): void {
    const channel = this.#channel;
    this.#consumers = [];
    this.failure = undefined;
    this.#channel = undefined;
    if (channel === undefined) return;
    channel.lost(); // the node of the queue may have ended, and have forgotten the last acks
    this.#pool.discard(channel);
  }
}
