import type { AMQPConsumer } from "@cloudamqp/amqp-client";
import { clearTimeout, setTimeout } from "node:timers";
import { Fifo } from "../../../shared/fifo.ts";
import type { Claim, Loan, Stats } from "../../transport.ts";
import type { Poll } from "../../poll.ts";
import { isHolding } from "../../../shared/turns.ts";
import type { Delivery } from "../connection/message_frames.ts";
import type { PooledChannel } from "../connection/channel_pool.ts";
import { AmqpLoan, type LoanKeeper } from "./loan.ts";
import type { Outbox } from "../puts/outbox.ts";
import { far, linger, Prefetch, widest } from "./prefetch.ts";
import type { Deduplication } from "./deduplication.ts";
import type { Session } from "../connection/session.ts";
import type { BrokerOperation } from "../connection/culprit_finder.ts";

/** What a source works with. */
export interface QueueConsumerOptions {
  readonly session: Session;
  readonly queue: string;
  readonly deduplication: Deduplication<AmqpLoan>;
  /** How a message is put again whose attempts are counted. */
  readonly outbox: Outbox;
  readonly stats: Stats;
  /** Whether the channel has a capacity: then nothing is read ahead, for that would not count. */
  readonly isBounded: boolean;
  /** What getting is for the broker. */
  readonly operation: BrokerOperation;
  /** Counts the loans that their claimants keep, of all sources of a link. */
  readonly kept: { count: number };
  /** Told why claims are not served; the claims are still there then. */
  onFailure(error: unknown, inARow: number): void;
}

/**
 * Gets messages of one queue for the claims of this process: fairly, as each message that lies here
 * is one that others wait for, and fast, as asking for each one costs a round-trip.
 *
 * A lone claim asks (basic.get). If nothing is there, a consumer waits, with a window (prefetch) of
 * one message. Claims that follow each other fast widen the window, so that messages are here before
 * they are claimed. What nobody has claimed or needed for `linger` ms goes back: the messages, the
 * consumer, and the pooled.
 *
 * A loan that its claimant keeps takes its place in the consumer's window until it is settled, so claims
 * that wait behind a full window start anew, by asking. Where the broker is far, so that asking takes
 * long, they widen the window instead. A claim that counts attempts reads nothing ahead:
 * what is given back unseen looks like what a dead process had.
 *
 * Invariants: claims or messages wait here, never both. The idle timer runs while anything is here
 * and no claim waits. PooledChannel and consumer change only within `#work`, which runs once at a time, or
 * where they are lost. The process is held alive while claims wait.
 */
export class QueueConsumer {
  readonly #session: Session;
  readonly #queue: string;
  readonly #deduplication: Deduplication<AmqpLoan>;
  readonly #outbox: Outbox;
  readonly #stats: Stats;
  readonly #onFailure: (error: unknown, inARow: number) => void;
  readonly #operation: BrokerOperation;
  readonly #allKept: { count: number };
  readonly #isBounded: boolean;
  /** How many messages have come. */
  arrivals = 0;
  #failures = 0;
  /** Why the broker has ended the consumer. */
  #ended: Error | undefined;
  readonly #claims = new Fifo<Claim>();
  readonly #pace = new Prefetch();
  /** What has been read ahead. */
  readonly #buffer = new Fifo<AmqpLoan>();
  #pooled: PooledChannel | undefined;
  /** Each has a part of the window. */
  #consumers: AMQPConsumer[] = [];
  /** Stands for these consumers in the loans that they have brought. */
  #token: object | undefined;
  /** How many loans of theirs are kept by their claimants. */
  #kept = 0;
  /** The window that the pace asks for. */
  #wanted = 0;
  #endSoon = false;
  #working: Promise<void> | undefined;
  #lending: Promise<PooledChannel> | undefined;
  #polls: Poll[] = [];
  /** Messages that were lent to who died, and whose attempts are to be counted. */
  #uncounted: AmqpLoan[] = [];
  /** What goes back when nothing more is read ahead. */
  readonly #returning: AmqpLoan[] = [];
  #retireSoon = false;
  #isRetiring = false;
  #closed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastNeeded = 0;
  /** Since when claims have waited without a break. */
  #claimedSince = 0;
  #lastServed = 0;
  /** When a message last came, or made room for another. */
  #lastFlow = 0;
  #dry: ReturnType<typeof setTimeout> | undefined;
  #isHolding = false;

  constructor({ session, queue, deduplication, outbox, stats, ...rest }: QueueConsumerOptions) {
    const { operation, kept, isBounded, onFailure } = rest;
    this.#operation = operation;
    this.#allKept = kept;
    this.#isBounded = isBounded;
    this.#session = session;
    this.#queue = queue;
    this.#deduplication = deduplication;
    this.#outbox = outbox;
    this.#stats = stats;
    this.#onFailure = onFailure;
  }

  take(claim: Claim): void {
    const loan = this.#unbuffer(claim.counted);
    if (loan !== undefined) return this.#serve(claim, loan, 0);
    if (!this.#isRetiring) this.#retireSoon = false;
    if (this.#claims.size === 0) this.#claimedSince = performance.now();
    this.#claims.push(claim);
    this.#hold();
    this.resume();
    if (claim.waits === undefined || this.#consumers.length === 0) return;
    if (this.#isDry) claim.waits();
    else this.#tellWhenDry();
  }

  /** Tells the claims that nothing is there, once the consumer has brought nothing for a while. */
  #tellWhenDry(): void {
    this.#dry ??= setTimeout(() => {
      this.#dry = undefined;
      if (this.#claims.size === 0 || this.#consumers.length === 0) return;
      if (this.#isDry) this.#tell();
      else this.#tellWhenDry();
    }, dryness);
  }

  #tell(): void {
    for (const claim of this.#claims.all) claim.waits?.();
  }

  /** Whether none has come for a while to a consumer that would bring them. */
  get #isDry(): boolean {
    return this.#nextStep() === undefined && performance.now() - this.#lastFlow > dryness;
  }

  withdraw(claim: Claim): boolean {
    const wasWaiting = this.#claims.remove(claim);
    if (wasWaiting) this.#rest();
    return wasWaiting;
  }

  /** Takes every claim out, for who rejects or moves them. */
  withdrawAll(): Claim[] {
    const claims = this.#claims.takeAll();
    this.#rest();
    return claims;
  }

  /** Whether nobody waits, or all whom the broker has nothing for. */
  get isDry(): boolean {
    return this.#claims.size === 0 || this.#working === undefined && this.#consumers.length > 0;
  }

  /** Only where no claim waits, for a claim that came before would be due. */
  tryTake(counted: boolean): Promise<Loan | undefined> {
    const loan = this.#unbuffer(counted);
    if (loan !== undefined || this.#claims.size > 0) {
      return Promise.resolve(loan && this.#lendKept(loan, counted));
    }
    return new Promise((resolve, reject) => {
      this.#polls.push({ counted, resolve, reject });
      this.resume();
    });
  }

  /** Serves the claims, again after a failure. */
  resume(): void {
    this.#working ??= this.#work().then((failure) => {
      this.#working = undefined;
      if (failure !== undefined) this.#onFailure(failure.error, ++this.#failures);
      else if (this.#nextStep() !== undefined) this.resume(); // it came up as the work ended
    });
  }

  /** The connection is lost, and all that was here. */
  lose(): void {
    this.#closed = true;
    for (const { reject } of this.#polls.splice(0)) reject(this.#session.loss);
    clearTimeout(this.#timer);
    clearTimeout(this.#dry);
  }

  /** Gives back what is here. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { resolve } of this.#polls.splice(0)) resolve(undefined);
    await this.#working;
    await this.#retire().catch(() => {});
    this.#rest();
    clearTimeout(this.#timer);
    clearTimeout(this.#dry);
  }

  async #work(): Promise<{ error: unknown } | undefined> {
    try {
      for (let step; (step = this.#nextStep()) !== undefined;) {
        const take = step.bind(this);
        await this.#session.run(this.#operation, take);
        if (this.#ended !== undefined) throw this.#ended;
      }
    } catch (error) {
      this.#lose();
      for (const { reject } of this.#polls.splice(0)) reject(error);
      return { error };
    }
    this.#idle();
  }

  #nextStep(): (() => Promise<void>) | undefined {
    if (this.#closed) return undefined;
    if (this.#retireSoon) return this.#retire;
    if (this.#uncounted.length > 0) return this.#recount;
    if (this.#polls.length > 0) return this.#answer;
    if (this.#consumers.length === 0) return this.#claims.size > 0 ? this.#start : undefined;
    if (this.#endSoon) return this.#endConsumers;
    if (this.#claims.size > 0 && this.#kept >= this.#pace.window) {
      return this.#isFar && this.#kept < mostKept ? this.#follow : this.#endConsumers;
    }
    return this.#wanted > this.#pace.window ? this.#widen : undefined;
  }

  async #start(): Promise<void> {
    if (this.#wanted > 0) return await this.#widen();
    const pooled = await this.#useLane();
    const message = await this.#ask(pooled);
    if (message !== null) {
      this.#arrived(message, pooled, undefined);
      return this.#claims.size > 0 && this.#isFar ? this.#follow() : undefined;
    }
    this.#tell();
    if (this.#claims.size > 0) await this.#consume(1);
  }

  async #ask(pooled: PooledChannel): Promise<Delivery | null> {
    pooled.acks.flush();
    const start = performance.now();
    const answer = await pooled.request(() =>
      pooled.channel.basicGet(this.#queue, { noAck: false })
    );
    this.#session.pool.took(performance.now() - start);
    return answer;
  }

  /** Whether a round trip takes so long that claims are not to wait for one each. */
  get #isFar(): boolean {
    const mayReadAhead = !this.#isBounded && this.#claims.peek()?.counted !== true;
    return mayReadAhead && this.#session.pool.roundTrip > far;
  }

  /**
   * Has the window follow the claims, which are behind: there is room for what is kept, and for each of
   * them, and twice as much as before, as a loop claims one at a time.
   */
  async #follow(): Promise<void> {
    const twice = Math.min(2 * this.#pace.window, widest);
    await this.#consume(Math.min(Math.max(this.#kept + this.#claims.size, twice), mostKept));
  }

  async #useLane(): Promise<PooledChannel> {
    if (this.#pooled !== undefined) return this.#pooled;
    this.#lending ??= this.#session.pool.lendForReceiving().finally(() => {
      this.#lending = undefined;
    });
    return this.#pooled = await this.#lending;
  }

  async #widen(): Promise<void> {
    await this.#consume(this.#wanted);
  }

  /**
   * Asks without a consumer: RabbitMQ's answer to basic.get may overtake messages that are on their
   * way to a consumer of the same channel, its answer to basic.cancel does not.
   */
  async #answer(): Promise<void> {
    await this.#endConsumers();
    const { counted } = this.#polls[0] ?? { counted: false };
    let loan = this.#unbuffer(counted);
    while (loan === undefined) {
      const pooled = await this.#useLane();
      const message = await this.#ask(pooled);
      if (message === null) break;
      loan = this.#loan(message, pooled, undefined);
      if (this.#isDealtWith(loan, counted)) {
        loan = undefined;
        if (this.#uncounted.length > 0) await this.#recount();
      }
    }
    const poll = this.#polls.shift();
    if (poll === undefined) loan?.release();
    else poll.resolve(loan && this.#lendKept(loan, poll.counted));
    this.#lastNeeded = performance.now();
  }

  /**
   * Widens the window to so many messages, by one more consumer: a consumer's prefetch is fixed, and ending
   * the one before would have a quorum queue take back what is on its way to it.
   */
  async #consume(window: number): Promise<void> {
    const pooled = await this.#useLane();
    // Its first messages may come before the answer.
    const token = this.#token ??= {};
    const arrived = (message: Delivery) => this.#arrived(message, pooled, token);
    const [, consumer] = await pooled.request(() =>
      Promise.all([
        pooled.channel.prefetch(window - this.#pace.window),
        pooled.consume(this.#queue, arrived),
      ])
    );
    pooled.ended(consumer).catch((error) => this.#lost(consumer, error));
    this.#consumers.push(consumer);
    this.#pace.window = window;
  }

  /**
   * Whether a message that goes back waits until nothing more is read ahead: what was goes back with it, in their order,
   * or it would be got before. A quorum queue keeps what is given back in the order in which it comes.
   */
  #defers(loan: AmqpLoan): boolean {
    const reads = this.#consumers.length > 0 || this.#working !== undefined; // or is about to
    if (!reads || this.#claims.size > 0 || this.#closed || !loan.isOf(this.#pooled)) return false;
    this.#returning.push(loan, ...this.#buffer.takeAll());
    this.#isRetiring = this.#retireSoon = true;
    this.resume();
    return true;
  }

  /** Gives back messages, consumer and pooled. */
  async #retire(): Promise<void> {
    this.#retireSoon = false;
    this.#isRetiring = true;
    try {
      // The acks settles at the end of the turn, so that the broker has read of the consumer's end
      // before, and the messages go to others.
      const ended = this.#endConsumers();
      this.#releaseBuffer();
      await ended;
      this.#giveBack();
      // The broker answers when it has read of what went back: whoever asks next, gets the oldest.
      if (this.#pooled?.acks.hasReleased) await this.#pooled.settle();
    } finally {
      this.#isRetiring = false;
      const pooled = this.#pooled;
      this.#pooled = undefined;
      if (pooled !== undefined) this.#session.pool.giveBack(pooled);
    }
  }

  /** Ends the consumers; what was on its way has arrived then, or is back in the queue. */
  async #endConsumers(): Promise<void> {
    const consumers = this.#consumers;
    this.#forgetConsumers();
    if (consumers.length === 0) return;
    const pooled = this.#pooled!;
    await pooled.request(() => Promise.all(consumers.map((consumer) => consumer.cancel())));
  }

  #forgetConsumers(): void {
    this.#consumers = [];
    this.#token = undefined;
    this.#kept = 0;
    this.#endSoon = false;
    this.#pace.reset();
    this.#wanted = 0;
  }

  /** @param token of the consumer that brought the message */
  #arrived(message: Delivery, pooled: PooledChannel, token: object | undefined): void {
    const loan = this.#loan(message, pooled, token);
    this.#lastFlow = loan.arrived;
    if (this.#isRetiring) return void this.#returning.push(loan); // older ones go back, and come first
    if (this.#claims.size === 0) {
      this.#buffer.push(loan);
      return this.#startTimer(linger);
    }
    if (loan.redelivered && this.#isDealtWith(loan, this.#claims.peek()!.counted)) return;
    const waited = loan.arrived - Math.max(this.#claimedSince, this.#lastServed);
    this.#serve(this.#claims.shift()!, loan, waited);
    this.#rest();
  }

  #loan(message: Delivery, pooled: PooledChannel, token: object | undefined): AmqpLoan {
    this.arrivals++;
    this.#outbox.onRoom();
    return new AmqpLoan(message, pooled, this.#pace.window >> 2, token, this.#keeper);
  }

  /** The oldest message that waits here, for who counts attempts or not. */
  #unbuffer(counted: boolean): AmqpLoan | undefined {
    for (let loan; (loan = this.#buffer.shift()) !== undefined;) {
      if (!this.#isDealtWith(loan, counted)) return loan;
    }
  }

  /** Whether a message is none for a claim: a copy of what this process has, or one to be counted first. */
  #isDealtWith(loan: AmqpLoan, counted: boolean): boolean {
    if (loan.wasLent || loan.copy > 0) {
      const known = this.#deduplication.find(loan);
      if (known !== undefined) {
        if (known === "taken" || !known.isStale) {
          loan.drop();
          if (known === "taken") this.#deduplication.take(loan);
        } else {
          known.renew(loan);
          if (known.token === this.#token && this.#token !== undefined) this.#kept++;
        }
        return true;
      }
    }
    // What is too large to be put again is lent as it is.
    const isCountable = counted && loan.isUncounted && this.#outbox.fits(loan.message.body.length);
    if (!isCountable) return false;
    this.#uncounted.push(loan);
    this.resume();
    return true;
  }

  /**
   * Counts the attempts that others left behind when they died. The copy that says so must not arrive
   * here before the broker has read that this one is taken, or a death in this moment would leave both:
   * so there is no consumer, and what is asked next is read after.
   */
  async #recount(): Promise<void> {
    await this.#endConsumers();
    await Promise.all(this.#uncounted.splice(0).map((loan) => loan.recount(this.#outbox)));
  }

  /** @param waited milliseconds for which claims have waited for it */
  #serve(claim: Claim, loan: AmqpLoan, waited: number): void {
    if (claim.counted) loan.countIn(this.#outbox);
    claim.deliver(this.#lend(loan));
    if (!loan.isSettled) this.#keep(loan);
    this.#failures = 0;
    this.#lastNeeded = this.#lastFlow = this.#lastServed = performance.now();
    if (claim.counted) {
      this.#endSoon = this.#consumers.length > 0;
      return this.#endSoon ? this.resume() : undefined;
    }
    const { roundTrip } = this.#session.pool;
    const travel = roundTrip > far && waited < 1.5 * roundTrip ? waited : 0;
    const wider = this.#isBounded ? undefined : this.#pace.served(this.#lastNeeded, travel);
    if (wider !== undefined) this.#wanted = wider;
    if (wider !== undefined || (this.#claims.size > 0 && this.#kept > 0)) this.resume();
  }

  #lend(loan: AmqpLoan): AmqpLoan {
    if (loan.redelivered) this.#stats.redeliveries++;
    return loan;
  }

  /** To who may settle it later than at once. */
  #lendKept(loan: AmqpLoan, counted: boolean): AmqpLoan {
    if (counted) loan.countIn(this.#outbox);
    this.#keep(loan);
    return this.#lend(loan);
  }

  /** Its claimant has not settled the loan yet, and its pooled must stay open until then. */
  #keep(loan: AmqpLoan): void {
    loan.keep(this.#session.pool);
    this.#allKept.count++;
    this.#deduplication.hold(loan);
    if (loan.token === this.#token && this.#token !== undefined) this.#kept++;
  }

  readonly #keeper: LoanKeeper = {
    isWaiting: () => this.#claims.size > 0,
    accepted: (loan, isMoved) => {
      this.#stats.gets++;
      if (!isMoved) this.#deduplication.take(loan);
    },
    unkept: (loan) => {
      this.#deduplication.unhold(loan);
      this.#allKept.count--;
    },
    left: (loan) => {
      if (loan.token !== this.#token || this.#token === undefined) return;
      this.#kept--;
      this.#lastFlow = performance.now();
    },
    defers: (loan) => this.#defers(loan),
  };

  /** What the broker has ended: the messages here are others' again. */
  #lost(consumer: AMQPConsumer, error: Error): void {
    if (!this.#consumers.includes(consumer)) return;
    this.#ended = error;
    if (this.#working !== undefined) return; // whose step fails, or is the last
    this.#lose();
    this.#onFailure(error, ++this.#failures);
  }

  #giveBack(): void {
    for (const loan of this.#returning.splice(0)) loan.giveBack();
  }

  #releaseBuffer(): void {
    for (const loan of this.#buffer.takeAll()) loan.release();
    for (const loan of this.#uncounted.splice(0)) loan.release();
  }

  #lose(): void {
    this.#isRetiring = this.#retireSoon = false;
    this.#releaseBuffer();
    this.#giveBack();
    this.#ended = undefined;
    this.#forgetConsumers();
    const pooled = this.#pooled;
    this.#pooled = undefined;
    if (pooled === undefined) return;
    pooled.lost(); // the queue's node may have ended, and have forgotten what was accepted last
    this.#session.pool.discard(pooled);
  }

  #hold(): void {
    if (this.#isHolding) return;
    this.#isHolding = true;
    this.#session.processRef.ref();
  }

  /** After a claim has left: lets the process exit if it was the last. */
  #rest(): void {
    if (this.#claims.size > 0) return;
    this.#lastNeeded = performance.now();
    this.#idle();
    if (!this.#isHolding) return;
    this.#isHolding = false;
    this.#session.processRef.unref();
  }

  #idle(): void {
    if (this.#pooled !== undefined && this.#claims.size === 0) this.#startTimer(linger);
  }

  #startTimer(ms: number): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#retireIfIdle();
    }, ms);
    this.#timer.unref();
  }

  #retireIfIdle(): void {
    if (this.#pooled === undefined || this.#claims.size > 0) return;
    if (isHolding()) return this.#startTimer(1);
    const since = this.#buffer.peek()?.arrived ?? this.#lastNeeded;
    const rest = since + linger - performance.now();
    if (rest > 0) return this.#startTimer(rest);
    this.#retireSoon = true;
    this.resume();
  }
}

/** Milliseconds without a message after which a consumer has none on its way, as far as can be told. */
const dryness = 2;

/** The widest window for loans that are kept; a prefetch is a number of 16 bits. */
const mostKept = 2 ** 15;
