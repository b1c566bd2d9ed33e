import type { Loan, Message } from "../../transport.ts";
import type { Delivery } from "../connection/message_frames.ts";
import { header } from "../connection/frames.ts";
import type { Acceptor } from "../connection/acks.ts";
import type { ChannelPool, PooledChannel } from "../connection/channel_pool.ts";
import type { Outbox } from "../puts/outbox.ts";
import type { AckPeriod, Held } from "./deduplication.ts";

/** Who is told what becomes of a loan. */
export interface LoanKeeper extends Acceptor {
  /** It was taken for good. @param isMoved whether it lives on elsewhere, under its id */
  accepted(loan: AmqpLoan, isMoved: boolean): void;
  /** It was kept by its claimant, who has settled it. */
  unkept(loan: AmqpLoan): void;
  /** It takes no place in its consumer's window any more. */
  left(loan: AmqpLoan): void;
  /**
   * Its claimant has tried it and gives it back. Returns whether the keeper gives it back later, by
   * {@linkcode AmqpLoan.giveBack}.
   */
  defers(loan: AmqpLoan): boolean;
}

/** A message that this process has not settled yet. */
export class AmqpLoan implements Loan, Held {
  readonly message: Message;
  readonly redelivered: boolean;
  readonly attempts: number;
  readonly arrived: number = performance.now();
  /** Stands for the consumer that brought it. */
  token: object | undefined;
  /** How often its sender had sent it before. */
  copy: number;
  /** Whether the broker has lent it before. */
  readonly wasLent: boolean;
  #keeper: LoanKeeper;
  readonly #batch: number;
  #pooled: PooledChannel;
  #tag: number;
  /** Which brought it; empty where it was asked for. */
  #consumer: string;
  #keptIn: ChannelPool | undefined;
  /** By which it is put again; there where it was lent to who counts. */
  #outbox: Outbox | undefined;
  #settled = false;

  /** @param batch how many accepted messages are worth a frame */
  constructor(
    message: Delivery,
    pooled: PooledChannel,
    batch: number,
    token: object | undefined,
    keeper: LoanKeeper,
  ) {
    const { properties, redelivered } = message;
    const { contentType = "", messageId, headers, expiration } = properties;
    const expires = Number(expiration);
    const tried = headers?.[header.attempts];
    const reason = headers?.[header.reason];
    const attempts = Number.isSafeInteger(tried) && tried as number > 0 ? tried as number : 0;
    const lent: { -readonly [K in keyof Message]: Message[K] } = {
      body: message.body ?? new Uint8Array(),
      contentType,
    };
    if (messageId !== undefined) lent.id = messageId;
    if (attempts > 0) lent.attempts = attempts;
    if (typeof reason === "string") lent.reason = reason;
    if (Number.isSafeInteger(expires) && expires > 0) lent.expires = expires; // for when it is put again
    this.message = lent;
    this.wasLent = redelivered;
    const copy = headers?.[header.copy];
    this.copy = Number.isSafeInteger(copy) && copy as number > 0 ? copy as number : 0;
    this.attempts = attempts + (redelivered ? 2 : 1);
    this.redelivered = this.attempts > 1 || this.copy > 0;
    this.#pooled = pooled;
    this.#tag = message.deliveryTag;
    this.#consumer = message.consumerTag ?? "";
    this.#batch = batch;
    this.token = token;
    this.#keeper = keeper;
  }

  get isSettled(): boolean {
    return this.#settled;
  }

  /** Whether the AMQP channel that brought it is gone: the broker lends the message anew. */
  get isStale(): boolean {
    return this.#pooled.channel.closed;
  }

  /** Whether this pooled brought it. */
  isOf(pooled: PooledChannel | undefined): boolean {
    return this.#pooled === pooled;
  }

  /** In which it is settled. */
  get ackPeriod(): AckPeriod {
    return this.#pooled.ackPeriod;
  }

  accept(isMoved = false): void {
    if (this.#settled) return;
    this.#settled = true;
    const { acks } = this.#pooled;
    if (this.#keptIn === undefined) acks.accept(this.#tag, this.#batch, this.#keeper);
    else acks.accept(this.#tag, Infinity);
    this.#keeper.accepted(this, isMoved);
    if (this.#keptIn !== undefined) this.#keeper.unkept(this);
    this.#leave();
  }

  release(counted = false): void {
    if (this.#settled) return;
    this.#settled = true;
    if (this.#keptIn !== undefined) this.#keeper.unkept(this);
    // What is stale, the broker has given back itself.
    if (!counted || this.#outbox === undefined || this.isStale) this.#return(counted);
    else this.#republish(this.#outbox, this.attempts);
  }

  /** Takes it as the copy of another message. */
  drop(): void {
    this.#settled = true;
    this.#pooled.acks.accept(this.#tag, this.#batch);
  }

  /** Its claimant keeps it: its pooled stays open until it is settled. */
  keep(pool: ChannelPool): void {
    this.#keptIn = pool;
    this.#pooled.users++;
  }

  /** The broker has lent the message anew, here: this loan goes on with that. */
  renew(again: AmqpLoan): void {
    const pool = this.#keptIn!;
    const stale = this.#pooled;
    this.#pooled = again.#pooled;
    this.#tag = again.#tag;
    this.#consumer = again.#consumer;
    this.#keeper = again.#keeper;
    this.token = again.token;
    this.copy = again.copy;
    again.#settled = true;
    this.keep(pool);
    pool.giveBack(stale);
  }

  /** Whether it was lent to a process that died, as far as the broker tells, and that was not counted. */
  get isUncounted(): boolean {
    return this.wasLent;
  }

  /** A release of it is counted, by putting it again: RabbitMQ itself cannot count. */
  countIn(outbox: Outbox): void {
    this.#outbox = outbox;
  }

  /** Counts the attempt of who died. Resolves when this copy is taken, or given back. */
  recount(outbox: Outbox): Promise<void> {
    this.#settled = true;
    return this.#republish(outbox, this.attempts - 1);
  }

  /** At the end of the queue, with so many attempts behind it; this copy goes when that one is safe. */
  #republish(outbox: Outbox, attempts: number): Promise<void> {
    const isStale = () => this.isStale;
    return new Promise((resolve) =>
      outbox.republish({
        message: { ...this.message, attempts },
        get settled() {
          return isStale(); // then the broker lends this copy anew, and it is counted again
        },
        taken: () => {
          this.#pooled.acks.accept(this.#tag, 0);
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

  /** Tells the broker that it is given back. */
  giveBack(): void {
    this.#pooled.acks.release(this.#tag, this.#consumer);
  }

  #return(wasTried: boolean): void {
    if (!wasTried || this.#keptIn === undefined || !this.#keeper.defers(this)) this.giveBack();
    this.#leave();
  }

  #leave(): void {
    if (this.#keptIn === undefined) return;
    this.#keeper.left(this);
    this.#keptIn.giveBack(this.#pooled);
    this.#keptIn = undefined;
  }
}
