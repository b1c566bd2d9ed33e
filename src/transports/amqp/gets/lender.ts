import type { Claim, Stats } from "../../transport.ts";
import type { ChannelPool } from "../connection/channel_pool.ts";
import type { Delivery } from "../connection/message_frames.ts";
import type { PooledChannel } from "../connection/pooled_channel.ts";
import type { Outbox } from "../puts/outbox.ts";
import type { Deduplication } from "../../remote/deduplication.ts";
import { AmqpLoan, type LoanOwner } from "./loan.ts";
import type { ConsumerWindow } from "./prefetch.ts";

/** What a lender works with. */
export interface LenderOptions {
  readonly deduplication: Deduplication<AmqpLoan>;
  /** Puts messages again whose attempts are counted. */
  readonly outbox: Outbox;
  readonly stats: Stats;
  /** The number of loans that their claimants hold, of all consumers of a link. */
  readonly held: { count: number };
  /** Called when a copy of a message that this process has or had was dropped. */
  droppedCopy(): void;
}

/** The consumer that a lender works for. */
export interface LenderOwner extends Pick<LoanOwner, "isWaiting" | "madeRoom" | "defersReturn"> {
  /** The attempts of a message must be counted before it can be lent; `count` does that. */
  foundUncounted(): void;
}

/** Makes a loan of each message of one consumer, decides whether it may be lent, and lends it. */
export class Lender implements LoanOwner {
  readonly #options: LenderOptions;
  readonly #pool: ChannelPool;
  readonly #owner: LenderOwner;
  /** Messages of dead processes. Their attempts must be counted before a claim that counts attempts gets them. */
  #uncounted: AmqpLoan[] = [];
  /** The number of messages that have arrived. */
  arrivals = 0;

  constructor(options: LenderOptions, pool: ChannelPool, owner: LenderOwner) {
    this.#options = options;
    this.#pool = pool;
    this.#owner = owner;
  }

  /**
   * @param batch the number of accepted messages for which an ack is sent at once
   * @param window the window of the consumer that brought the message; undefined if it was asked for
   */
  newLoan(
    message: Delivery,
    channel: PooledChannel,
    batch: number,
    window: ConsumerWindow | undefined,
  ): AmqpLoan {
    this.arrivals++;
    this.#options.outbox.onRoom();
    return new AmqpLoan(message, channel, batch, window, this);
  }

  /**
   * Reports whether a message may be lent. Otherwise it is a copy of a message that this process has or had, and is
   * settled; or its attempts must be counted first.
   */
  mayLend(loan: AmqpLoan, isCounted: boolean): boolean {
    if (!loan.wasLent && loan.copy === 0) return true;
    const { deduplication, outbox } = this.#options;
    const original = deduplication.find(loan);
    if (original === "accepted") {
      this.#drop(loan);
      deduplication.remember(loan);
      return false;
    }
    if (original !== undefined) {
      if (original.isStale) original.continueAs(loan);
      else this.#drop(loan);
      return false;
    }
    // A message that is too large to be put again is lent uncounted.
    if (!isCounted || !loan.wasLent || !outbox.fits(loan.message.body.length)) return true;
    this.#uncounted.push(loan);
    this.#owner.foundUncounted();
    return false;
  }

  #drop(copy: AmqpLoan): void {
    copy.drop();
    this.#options.droppedCopy();
  }

  /** Serves a claim. */
  serve(claim: Claim, loan: AmqpLoan): void {
    this.#prepare(loan, claim.counted);
    claim.deliver(loan);
    if (!loan.isSettled) this.#hold(loan);
  }

  /** Returns the loan for a claimant that settles it later. */
  lend(loan: AmqpLoan, isCounted: boolean): AmqpLoan {
    this.#prepare(loan, isCounted);
    this.#hold(loan);
    return loan;
  }

  #prepare(loan: AmqpLoan, isCounted: boolean): void {
    if (isCounted) loan.countReleases(this.#options.outbox);
    if (loan.redelivered) this.#options.stats.redeliveries++;
  }

  #hold(loan: AmqpLoan): void {
    loan.hold(this.#pool);
    this.#options.held.count++;
    this.#options.stats.loans++;
    this.#options.deduplication.hold(loan);
  }

  get hasUncounted(): boolean {
    return this.#uncounted.length > 0;
  }

  /** Counts the attempts of dead processes, by putting the messages again. */
  async count(): Promise<void> {
    const { outbox } = this.#options;
    await Promise.all(this.#uncounted.splice(0).map((loan) => loan.countEarlierAttempts(outbox)));
  }

  releaseUncounted(): void {
    for (const loan of this.#uncounted.splice(0)) loan.release();
  }

  isWaiting(): boolean {
    return this.#owner.isWaiting();
  }

  accepted(loan: AmqpLoan, isMoved: boolean): void {
    this.#options.stats.gets++;
    if (!isMoved) this.#options.deduplication.remember(loan);
  }

  settled(loan: AmqpLoan): void {
    this.#options.deduplication.unhold(loan);
    this.#options.held.count--;
    this.#options.stats.loans--;
  }

  madeRoom(): void {
    this.#owner.madeRoom();
  }

  defersReturn(loan: AmqpLoan): boolean {
    return this.#owner.defersReturn(loan);
  }
}
