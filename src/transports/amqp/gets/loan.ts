import type { Loan, Message } from "../../transport.ts";
import type { Acceptor } from "../connection/acks.ts";
import { boundedHeaders } from "../../message_headers.ts";
import type { AckPeriod } from "../connection/ack_periods.ts";
import type { ChannelPool } from "../connection/channel_pool.ts";
import { header } from "../connection/frames.ts";
import type { Delivery } from "../connection/message_frames.ts";
import type { PooledChannel } from "../connection/pooled_channel.ts";
import type { Outbox } from "../puts/outbox.ts";
import type { HeldMessage } from "../../remote/deduplication.ts";
import type { ConsumerWindow } from "./prefetch.ts";

/** The owner of a loan, which is notified of what happens to it. */
export interface LoanOwner extends Acceptor {
  /** The loan was accepted. @param isMoved whether the message was put elsewhere under its id */
  accepted(loan: AmqpLoan, isMoved: boolean): void;
  /** A held loan was settled. */
  settled(loan: AmqpLoan): void;
  /** A held loan takes no place in the consumers' window any more. */
  madeRoom(): void;
  /** Reports whether the owner gives the released message back later, by {@linkcode AmqpLoan.giveBack}. */
  defersReturn(loan: AmqpLoan): boolean;
}

/**
 * A message that the broker has delivered to this process and that is not settled.
 *
 * A loan is _held_ if its claimant does not settle it at once. A held loan keeps its AMQP channel open, and has a place
 * in the consumers' window.
 */
export class AmqpLoan implements Loan, HeldMessage {
  readonly message: Message;
  readonly redelivered: boolean;
  readonly attempts: number;
  /** When it arrived, in milliseconds of `performance.now()`. */
  readonly arrived: number = performance.now();
  readonly wasLent: boolean;
  copy: number;
  #owner: LoanOwner;
  /** The number of accepted messages for which an ack is sent at once. */
  readonly #batch: number;
  #channel: PooledChannel;
  #deliveryTag: number;
  /** The tag of the consumer that brought it; empty if it was asked for. */
  #consumerTag: string;
  /** The window of the consumer that brought it; undefined if it was asked for. */
  #window: ConsumerWindow | undefined;
  /** The pool to which the AMQP channel goes back; undefined unless the loan is held. */
  #pool: ChannelPool | undefined;
  /** Puts the message again after a release; undefined unless the claimant counts attempts. */
  #outbox: Outbox | undefined;
  #isSettled = false;

  constructor(
    delivery: Delivery,
    channel: PooledChannel,
    batch: number,
    window: ConsumerWindow | undefined,
    owner: LoanOwner,
  ) {
    const { properties, redelivered } = delivery;
    const { contentType = "", messageId, headers, expiration } = properties;
    const attempts = positive(headers?.[header.attempts]);
    const reason = headers?.[header.reason];
    const expires = expiration === undefined ? 0 : positive(Number(expiration));
    const message: { -readonly [K in keyof Message]: Message[K] } = {
      body: delivery.body ?? new Uint8Array(),
      contentType,
    };
    if (messageId !== undefined) message.id = messageId;
    if (attempts > 0) message.attempts = attempts;
    if (typeof reason === "string") message.reason = reason;
    if (expires > 0) message.expires = expires; // for when it is put again
    const others = headers && boundedHeaders(headers);
    if (others !== undefined) message.headers = others;
    this.message = message;
    this.wasLent = redelivered;
    this.copy = positive(headers?.[header.copy]);
    if (this.copy > 0) message.copy = this.copy;
    this.attempts = attempts + (redelivered ? 2 : 1);
    this.redelivered = this.attempts > 1 || this.copy > 0;
    this.#channel = channel;
    this.#deliveryTag = delivery.deliveryTag;
    this.#consumerTag = delivery.consumerTag ?? "";
    this.#batch = batch;
    this.#window = window;
    this.#owner = owner;
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** Whether the AMQP channel that brought it is closed: then the broker delivers the message again. */
  get isStale(): boolean {
    return this.#channel.amqp.closed;
  }

  /** Reports whether this AMQP channel brought it. */
  isOf(channel: PooledChannel | undefined): boolean {
    return this.#channel === channel;
  }

  get ackPeriod(): AckPeriod {
    return this.#channel.ackPeriods.current;
  }

  accept(isMoved = false): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    const { acks } = this.#channel;
    if (this.#pool === undefined) acks.accept(this.#deliveryTag, this.#batch, this.#owner);
    else acks.accept(this.#deliveryTag, Infinity);
    this.#owner.accepted(this, isMoved);
    if (this.#pool === undefined) return;
    this.#owner.settled(this);
    this.#leave();
  }

  release(counted = false): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    if (this.#pool !== undefined) this.#owner.settled(this);
    // A stale message is back in the queue already.
    if (!counted || this.#outbox === undefined || this.isStale) this.#return(counted);
    else this.#republish(this.#outbox, this.attempts);
  }

  /** Accepts it as a copy of another message. */
  drop(): void {
    this.#isSettled = true;
    this.#channel.acks.accept(this.#deliveryTag, this.#batch);
  }

  /** The claimant holds it: until it is settled, its AMQP channel stays open, and it has a place in the window. */
  hold(pool: ChannelPool): void {
    this.#pool = pool;
    this.#channel.users++;
    if (this.#window !== undefined) this.#window.held++;
  }

  /** Replaces the delivery of this held, stale loan by another one of the same message. */
  continueAs(again: AmqpLoan): void {
    const pool = this.#pool!;
    const stale = this.#channel;
    this.#channel = again.#channel;
    this.#deliveryTag = again.#deliveryTag;
    this.#consumerTag = again.#consumerTag;
    this.#owner = again.#owner;
    this.#window = again.#window;
    this.copy = again.copy;
    again.#isSettled = true;
    this.hold(pool);
    pool.release(stale);
  }

  /** Makes a release count as an attempt: the message is put again, because RabbitMQ does not count attempts. */
  countReleases(outbox: Outbox): void {
    this.#outbox = outbox;
  }

  /** Counts the attempt of a process that died. Resolves when this message is accepted or goes back. */
  countEarlierAttempts(outbox: Outbox): Promise<void> {
    this.#isSettled = true;
    return this.#republish(outbox, this.attempts - 1);
  }

  /** Puts the message at the end of the queue with this number of attempts, and then accepts this one. */
  #republish(outbox: Outbox, attempts: number): Promise<void> {
    const isStale = () => this.isStale;
    const { copy: _, ...message } = this.message;
    return new Promise((resolve) =>
      outbox.republish({
        message: { ...message, attempts },
        get settled() {
          return isStale(); // then the broker delivers this message again, and it is counted again
        },
        taken: () => {
          this.#channel.acks.accept(this.#deliveryTag, 0);
          this.#leave();
          resolve();
        },
        reject: () => {
          this.#return(true);
          resolve();
        },
      })
    );
  }

  /** Has the broker requeue the message. */
  giveBack(): void {
    this.#channel.acks.release(this.#deliveryTag, this.#consumerTag);
  }

  #return(wasTried: boolean): void {
    const isDeferred = wasTried && this.#pool !== undefined && this.#owner.defersReturn(this);
    if (!isDeferred) this.giveBack();
    this.#leave();
  }

  #leave(): void {
    if (this.#pool === undefined) return;
    if (this.#window !== undefined) {
      this.#window.held--;
      this.#owner.madeRoom();
    }
    this.#pool.release(this.#channel);
    this.#pool = undefined;
  }
}

/** Returns a positive integer as it is, and 0 for everything else. */
function positive(value: unknown): number {
  return Number.isSafeInteger(value) && value as number > 0 ? value as number : 0;
}
