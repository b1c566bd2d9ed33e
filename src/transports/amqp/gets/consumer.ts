import { clearTimeout, setTimeout } from "node:timers";
import { Fifo } from "../../../shared/fifo.ts";
import type { Poll } from "../../poll.ts";
import type { Claim, Loan } from "../../transport.ts";
import type { BrokerOperation } from "../connection/culprit_finder.ts";
import type { Delivery } from "../connection/message_frames.ts";
import type { PooledChannel } from "../connection/pooled_channel.ts";
import type { Session } from "../connection/session.ts";
import { IdleTimer } from "./idle_timer.ts";
import { Lender, type LenderOptions } from "./lender.ts";
import type { AmqpLoan } from "./loan.ts";
import { type ConsumerWindow, linger, Prefetch } from "./prefetch.ts";
import { Subscription } from "./subscription.ts";
import { WaitingClaims } from "./waiting_claims.ts";

/** What a consumer works with. */
export interface QueueConsumerOptions extends LenderOptions {
  readonly session: Session;
  readonly queue: string;
  /** Whether the channel has a capacity. */
  readonly isBounded: boolean;
  /** The operation as whose part the broker is asked. */
  readonly operation: BrokerOperation;
  /** Called when claims cannot be served. The claims still wait then, until `resume` is called. */
  onFailure(error: unknown, inARow: number): void;
}

/** What this process has of the queue; see {@linkcode QueueConsumer}. */
type State = "idle" | "asking" | "consuming" | "returning" | "closed";

/** What is requested of the broker next; see {@linkcode QueueConsumer}. */
type Step = "return" | "count" | "poll" | "ask" | "resize";

/**
 * Gets the messages of one queue, on one connection, for the claims of this process.
 *
 * A prefetched message is withheld from other processes; a message that is not prefetched costs a round trip. So a
 * single claim asks for one (basic.get). If the queue is empty, a consumer with a window of one message waits. Claims
 * that follow each other quickly widen the window ({@linkcode Prefetch}). After `linger` ms without use, prefetched
 * messages go back to the queue, and the AMQP channel goes back to the pool.
 *
 * The state is what this process has of the queue:
 *
 * - `idle`: nothing;
 * - `asking`: an AMQP channel;
 * - `consuming`: an AMQP channel and consumers;
 * - `returning`: the messages and the AMQP channel go back; messages that arrive now follow, and claims wait until that
 *   is done;
 * - `closed`: the connection is lost, or the link is closed. This state is final.
 *
 * A step is one or more requests to the broker. `#work` performs one step at a time. The next step is the first one in
 * this table whose state and condition apply (`#nextStep`):
 *
 * | State           | Condition                                            | Step     | Next state           |
 * | --------------- | ---------------------------------------------------- | -------- | -------------------- |
 * | closed          |                                                      | none     | closed               |
 * | returning       |                                                      | `return` | idle                 |
 * | any other       | nothing was used for `linger` ms, and no claim waits | `return` | idle                 |
 * | any other       | attempts of dead processes are not counted           | `count`  | asking               |
 * | any other       | a poll waits                                         | `poll`   | asking               |
 * | consuming       | the prefetch wants another size than the window has  | `resize` | consuming, or asking |
 * | idle or asking  | claims wait, and the prefetch wants a window         | `resize` | consuming            |
 * | idle or asking  | claims wait                                          | `ask`    | asking, or consuming |
 *
 * - `return` ends the consumers, gives back every message, and returns the AMQP channel to the pool.
 * - `count` ends the consumers, and puts messages again with their number of attempts.
 * - `poll` ends the consumers, and asks for one message.
 * - `resize` opens one more consumer, or ends all.
 * - `ask` asks for one message, and opens a consumer if there is none.
 *
 * Three events change the state without a step:
 *
 * - A step fails, or the broker ends a consumer: every message goes back, and the state is `idle`.
 * - A loan is released while younger messages may be here, which must go back with it: the state is `returning`.
 * - The connection is lost, or the link is closed: the state is `closed`.
 *
 * Invariants: claims or prefetched messages wait here, never both. While an AMQP channel is here and no claim waits,
 * the idle timer runs. The process is held alive while claims wait.
 */
export class QueueConsumer {
  readonly #options: QueueConsumerOptions;
  readonly #subscription: Subscription;
  readonly #prefetch: Prefetch;
  readonly #lender: Lender;
  #state: State = "idle";
  readonly #claims: WaitingClaims;
  #polls: Poll[] = [];
  /** The messages that were prefetched. */
  readonly #buffer = new Fifo<AmqpLoan>();
  /** In the state `returning`: messages that go back when the consumers have ended. */
  readonly #returning: AmqpLoan[] = [];
  /** The step that runs, and those after it. */
  #working: Promise<void> | undefined;
  /** How many times in a row claims could not be served. */
  #failures = 0;
  readonly #idleTimer: IdleTimer;
  /** When a claim last waited or was served. */
  #lastUsed = 0;
  #quietTimer: ReturnType<typeof setTimeout> | undefined;
  /** When a message last arrived, or made room for another one. */
  #lastFlow = 0;

  constructor(options: QueueConsumerOptions) {
    const { session, queue, isBounded } = options;
    const { pool, processRef } = session;
    this.#options = options;
    this.#claims = new WaitingClaims(processRef);
    this.#prefetch = new Prefetch(pool, isBounded);
    this.#lender = new Lender(options, pool, {
      isWaiting: () => this.#claims.size > 0,
      madeRoom: () => this.#lastFlow = performance.now(),
      defersReturn: (loan) => this.#defersReturn(loan),
      foundUncounted: () => this.resume(),
    });
    this.#subscription = new Subscription(pool, queue, () => {
      if (this.#working === undefined) this.#checkConsumers();
    });
    this.#idleTimer = new IdleTimer(
      linger,
      () => {
        if (this.#state === "idle" || this.#claims.size > 0) return undefined;
        return this.#buffer.peek()?.arrived ?? this.#lastUsed;
      },
      () => this.resume(),
    );
  }

  /** The number of messages that have arrived. */
  get arrivals(): number {
    return this.#lender.arrivals;
  }

  // Claims

  take(claim: Claim): void {
    const loan = this.#unbuffer(claim.counted);
    if (loan !== undefined) return this.#serve(claim, loan, 0);
    this.#idleTimer.isExpired = false;
    if (this.#claims.size === 0) this.#prefetch.startedWaiting(performance.now());
    this.#claims.push(claim);
    this.resume();
    if (claim.waits === undefined || this.#state !== "consuming") return;
    if (this.#isQuiet) claim.waits();
    else this.#notifyWhenQuiet();
  }

  withdraw(claim: Claim): boolean {
    const wasWaiting = this.#claims.remove(claim);
    if (wasWaiting) this.#onWithdrawn();
    return wasWaiting;
  }

  /** Withdraws every claim, so that the caller can reject or move them. */
  withdrawAll(): Claim[] {
    const claims = this.#claims.removeAll();
    this.#onWithdrawn();
    return claims;
  }

  #onWithdrawn(): void {
    if (this.#claims.size > 0) return;
    this.#lastUsed = performance.now();
    this.#startIdleTimer();
  }

  /** Reports whether no claim waits, or the queue has no message for the waiting claims. */
  get isQueueEmpty(): boolean {
    return this.#claims.size === 0 ||
      this.#working === undefined && this.#state === "consuming";
  }

  /** Gets a message that is there. If claims wait, there is none, because earlier claims come first. */
  tryTake(counted: boolean): Promise<Loan | undefined> {
    const loan = this.#unbuffer(counted);
    if (loan !== undefined || this.#claims.size > 0) {
      return Promise.resolve(loan && this.#lender.lend(loan, counted));
    }
    return new Promise((resolve, reject) => {
      this.#polls.push({ counted, resolve, reject });
      this.resume();
    });
  }

  /** Whether consumers wait for messages, and none has arrived lately. */
  get #isQuiet(): boolean {
    return this.#nextStep() === undefined && performance.now() - this.#lastFlow > quietTime;
  }

  /** Notifies the claims that the queue is empty, as soon as it seems to be. */
  #notifyWhenQuiet(): void {
    this.#quietTimer ??= setTimeout(() => {
      this.#quietTimer = undefined;
      if (this.#claims.size === 0 || this.#state !== "consuming") return;
      if (this.#isQuiet) this.#claims.notifyEmpty();
      else this.#notifyWhenQuiet();
    }, quietTime);
  }

  // Steps

  /** Performs the steps that are due. After a failure, the owner calls it again. */
  resume(): void {
    if (this.#working !== undefined || this.#nextStep() === undefined) return;
    this.#working = this.#work().then((failure) => {
      this.#working = undefined;
      if (failure !== undefined) return this.#options.onFailure(failure.error, ++this.#failures);
      this.#checkConsumers();
      this.resume(); // a step may have become due as the work ended
    });
  }

  async #work(): Promise<{ error: unknown } | undefined> {
    const { session, operation } = this.#options;
    try {
      for (let step: Step | undefined; (step = this.#nextStep()) !== undefined;) {
        const next = step;
        await session.run(operation, () => this.#perform(next));
        if (this.#subscription.failure !== undefined) throw this.#subscription.failure;
      }
    } catch (error) {
      this.#loseAll();
      for (const { reject } of this.#polls.splice(0)) reject(error);
      return { error };
    }
    this.#startIdleTimer();
  }

  /** Returns the first step of the table whose state and condition apply. */
  #nextStep(): Step | undefined {
    const state = this.#state;
    if (state === "closed") return undefined;
    if (state === "returning" || this.#idleTimer.isExpired) return "return";
    if (this.#lender.hasUncounted) return "count";
    if (this.#polls.length > 0) return "poll";
    const claims = this.#claims.size;
    if (state === "consuming") {
      return this.#wantedSize === this.#prefetch.window.size ? undefined : "resize";
    }
    if (claims === 0) return undefined;
    return this.#wantedSize > 0 ? "resize" : "ask";
  }

  #perform(step: Step): Promise<void> {
    switch (step) {
      case "return":
        return this.#return();
      case "count":
        return this.#count();
      case "poll":
        return this.#poll();
      case "resize":
        return this.#resize();
      case "ask":
        return this.#ask();
    }
  }

  async #return(): Promise<void> {
    this.#idleTimer.isExpired = false;
    this.#enter("returning");
    try {
      // The nacks leave at the end of the turn, after the cancellation of the consumers, so that the messages go to
      // others.
      const ended = this.#endConsumers();
      this.#releaseBuffer();
      await ended;
      this.#giveBack();
      // The answer proves that the broker has read the nacks: the next request gets the oldest message.
      await this.#subscription.channel?.settleReleases();
    } finally {
      this.#giveBack(); // released while the broker answered
      this.#subscription.release();
      if (this.#state === "returning") this.#state = "idle";
    }
  }

  /**
   * Counts the attempts of dead processes. The copy that has the number must not arrive here before the broker has read
   * that this message is accepted, or the death of this process at that moment would leave both. So there is no
   * consumer, and the next request is read after the ack.
   */
  async #count(): Promise<void> {
    await this.#endConsumers();
    await this.#lender.count();
  }

  /**
   * Asks without a consumer: RabbitMQ's answer to basic.get may overtake messages in flight to a consumer of the same
   * AMQP channel; its answer to basic.cancel does not.
   */
  async #poll(): Promise<void> {
    await this.#endConsumers();
    const { counted } = this.#polls[0] ?? { counted: false };
    let loan = this.#unbuffer(counted);
    while (loan === undefined) {
      const message = await this.#get();
      if (message === null) break;
      loan = this.#newLoan(message, this.#subscription.channel!, undefined);
      if (!this.#lender.mayLend(loan, counted)) {
        loan = undefined;
        if (this.#lender.hasUncounted) await this.#count();
      }
    }
    const poll = this.#polls.shift();
    if (poll === undefined) loan?.release();
    else poll.resolve(loan && this.#lender.lend(loan, poll.counted));
    this.#lastUsed = performance.now();
  }

  async #ask(): Promise<void> {
    const message = await this.#get();
    if (message !== null) {
      this.#onMessage(message, this.#subscription.channel!, undefined);
      if (this.#claims.size > 0) {
        this.#prefetch.found(this.#claims.size, this.#claims.isNextCounted);
      }
      return;
    }
    this.#claims.notifyEmpty();
    if (this.#claims.size > 0) await this.#openConsumer(1);
  }

  async #resize(): Promise<void> {
    const size = this.#wantedSize;
    if (size === 0) await this.#endConsumers();
    else if (size > this.#prefetch.window.size) await this.#openConsumer(size);
  }

  get #wantedSize(): number {
    return this.#prefetch.sizeFor(this.#claims.size, this.#claims.isNextCounted);
  }

  #enter(state: "asking" | "consuming" | "returning"): void {
    if (this.#state !== "returning" && this.#state !== "closed") this.#state = state;
  }

  #get(): Promise<Delivery | null> {
    this.#enter("asking");
    return this.#subscription.get();
  }

  /** Widens the window to this size, by one more consumer. */
  async #openConsumer(size: number): Promise<void> {
    if (this.#state === "idle") this.#state = "asking";
    const channel = await this.#subscription.open();
    const { window } = this.#prefetch;
    await this.#subscription.addConsumer(
      size - window.size,
      (message) => this.#onMessage(message, channel, window),
    );
    this.#prefetch.opened(size);
    this.#enter("consuming");
  }

  async #endConsumers(): Promise<void> {
    if (this.#state === "consuming") this.#state = "asking";
    this.#prefetch.closed();
    await this.#subscription.endConsumers();
  }

  // Messages

  /** @param window the window of the consumer that brought the message; absent if it was asked for */
  #onMessage(message: Delivery, channel: PooledChannel, window: ConsumerWindow | undefined): void {
    const loan = this.#newLoan(message, channel, window);
    this.#lastFlow = loan.arrived;
    if (this.#state === "returning" || this.#state === "closed") {
      this.#returning.push(loan); // older messages go back, and must come first
    } else if (this.#claims.size === 0) {
      this.#buffer.push(loan);
      this.#startIdleTimer();
    } else if (!loan.redelivered || this.#lender.mayLend(loan, this.#claims.isNextCounted)) {
      const wait = this.#prefetch.waitFor(loan.arrived);
      this.#serve(this.#claims.shift()!, loan, wait);
      if (this.#claims.size > 0) return;
      this.#claims.unrefIfEmpty();
      this.#startIdleTimer();
    }
  }

  #newLoan(
    message: Delivery,
    channel: PooledChannel,
    window: ConsumerWindow | undefined,
  ): AmqpLoan {
    return this.#lender.newLoan(message, channel, this.#prefetch.window.size >> 2, window);
  }

  /** Removes and returns the oldest prefetched message that is for claims. */
  #unbuffer(isCounted: boolean): AmqpLoan | undefined {
    for (let loan; (loan = this.#buffer.shift()) !== undefined;) {
      if (this.#lender.mayLend(loan, isCounted)) return loan;
    }
  }

  /** @param wait for how many milliseconds claims have waited for the message */
  #serve(claim: Claim, loan: AmqpLoan, wait: number): void {
    this.#lender.serve(claim, loan);
    this.#failures = 0;
    const now = this.#lastUsed = this.#lastFlow = performance.now();
    const isResized = this.#prefetch.served(now, wait, claim.counted);
    if (isResized || this.#claims.size > 0 && this.#prefetch.window.held > 0) this.resume();
  }

  // The way back

  /**
   * Reports whether a released message goes back later, together with the prefetched messages. Otherwise this process
   * would get those, which are younger, first. A quorum queue keeps returned messages in the order in which they
   * arrive.
   */
  #defersReturn(loan: AmqpLoan): boolean {
    const mayPrefetch = this.#state === "consuming" || this.#working !== undefined;
    if (!mayPrefetch || this.#claims.size > 0 || this.#state === "closed") return false;
    if (!loan.isOf(this.#subscription.channel)) return false;
    this.#returning.push(loan, ...this.#buffer.takeAll());
    this.#enter("returning");
    this.resume();
    return true;
  }

  #giveBack(): void {
    for (const loan of this.#returning.splice(0)) loan.giveBack();
  }

  #releaseBuffer(): void {
    for (const loan of this.#buffer.takeAll()) loan.release();
    this.#lender.releaseUncounted();
  }

  /** Handles the end of a consumer that the broker has ended, while no step runs. */
  #checkConsumers(): void {
    const { failure } = this.#subscription;
    if (failure === undefined) return;
    this.#loseAll();
    this.#options.onFailure(failure, ++this.#failures);
  }

  /** Gives back every message, and gives up the AMQP channel. */
  #loseAll(): void {
    if (this.#state !== "closed") this.#state = "idle";
    this.#idleTimer.isExpired = false;
    this.#releaseBuffer();
    this.#giveBack();
    this.#prefetch.closed();
    this.#subscription.discard();
  }

  #startIdleTimer(): void {
    if (this.#claims.size > 0 || this.#state === "idle" || this.#state === "closed") return;
    this.#idleTimer.start();
  }

  /** The connection is lost, and with it every message that was here. */
  lose(): void {
    this.#stop();
    for (const { reject } of this.#polls.splice(0)) reject(this.#options.session.loss);
  }

  /** Gives back every message. */
  async close(): Promise<void> {
    this.#stop();
    for (const { resolve } of this.#polls.splice(0)) resolve(undefined);
    await this.#working;
    await this.#return().catch(() => {});
  }

  #stop(): void {
    this.#state = "closed";
    this.#idleTimer.stop();
    clearTimeout(this.#quietTimer);
  }
}

/** Milliseconds without a message after which a queue seems to be empty. */
const quietTime = 2;
