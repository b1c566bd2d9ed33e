import { setTimeout } from "node:timers";
import { backOff } from "../../shared/backoff.ts";
import type { ChannelError } from "../../shared/errors.ts";
import type { Claim, Loan, Stats } from "../transport.ts";
import { type BrokerOperation, RepeatedLossError } from "./connection/culprit_finder.ts";
import type { Session } from "./connection/session.ts";
import { isForbidden } from "./failure.ts";
import { QueueConsumer } from "./gets/consumer.ts";
import type { Deduplication } from "../remote/deduplication.ts";
import { Drain } from "./gets/drain.ts";
import type { AmqpLoan } from "./gets/loan.ts";
import type { Outbox } from "./puts/outbox.ts";
import { type Lifetime, usersBinding } from "./topology/bindings.ts";
import { becomeAbsent } from "./topology/presence.ts";
import { depth } from "./topology/queues.ts";
import { detach } from "./topology/topology.ts";

/** The link of an attachment. It outlasts its attachments. */
export interface AttachmentOwner {
  readonly name: string;
  readonly outbox: Outbox;
  readonly deduplication: Deduplication<AmqpLoan>;
  readonly stats: Stats;
  /** The number of loans that their claimants hold, of all consumers. */
  readonly held: { count: number };
  /** Called when a copy of a message that this process has or had was dropped. */
  droppedCopy(): void;
  /** Returns the operation that a request to the broker is a part of. */
  operation(action: string): BrokerOperation;
  /** Records that the channel is gone, and returns the error that says so. */
  gone(action: string): ChannelError;
  /** Returns the error for a refusal of the broker. */
  explain(action: string, error: unknown): ChannelError;
}

/**
 * The attachment of a link on one connection. It serves claims: by a consumer, and by a drain once the channel is
 * closed.
 */
export class LinkAttachment {
  readonly session: Session;
  readonly lifetime: Lifetime;
  readonly #owner: AttachmentOwner;
  #consumer: QueueConsumer;
  #drain: Drain | undefined;
  #isOver = false;
  /** How often in a row the broker has ended the consumer, or refused one, although the queue existed. */
  #failures = 0;

  constructor(session: Session, lifetime: Lifetime, owner: AttachmentOwner) {
    this.session = session;
    this.lifetime = lifetime;
    this.#owner = owner;
    this.#consumer = this.#newConsumer();
  }

  /** What serves the claims. */
  get #getter(): QueueConsumer | Drain {
    return this.#drain ?? this.#consumer;
  }

  get isDraining(): boolean {
    return this.#drain !== undefined;
  }

  take(claim: Claim): void {
    this.#getter.take(claim);
  }

  withdraw(claim: Claim): boolean {
    return this.#getter.withdraw(claim);
  }

  tryTake(counted: boolean): Promise<Loan | undefined> {
    return this.#getter.tryTake(counted);
  }

  /**
   * Gets the rest of a channel that is closed by a drain.
   *
   * @param wasAttached whether this process was attached when it learnt that the channel is closed
   */
  drain(wasAttached: boolean): void {
    const { session, lifetime } = this;
    const { name, outbox, held, operation, gone, explain } = this.#owner;
    this.#drain = new Drain({
      session,
      name,
      lifetime,
      wasAttached,
      consumer: this.#consumer,
      renewConsumer: () => this.#consumer = this.#newConsumer(),
      operation: operation("get"),
      isBusy: () => outbox.size > 0 || held.count > 0,
      gone: () => gone("get"),
      explain: (error) => explain("get", error),
    });
  }

  /** Ends the attachment after the loss of its connection. Returns the claims that it has not served. */
  lose(): Claim[] {
    this.#isOver = true;
    const claims = this.#getter.withdrawAll();
    this.#drain?.close(this.session.loss);
    this.#consumer.lose();
    return claims;
  }

  /** Ends the attachment, and rejects the claims that it has not served. */
  end(reason: Error): void {
    this.#isOver = true;
    this.#rejectClaims(() => reason);
    this.#drain?.close(reason);
  }

  /** Returns the messages that no caller has claimed to the queue. */
  async close(): Promise<void> {
    await this.#consumer.close();
  }

  /** Unbinds this connection. */
  unbind(): Promise<void> {
    const { session, lifetime } = this;
    const { name } = this.#owner;
    return this.isDraining
      ? becomeAbsent(session, usersBinding(name, lifetime))
      : detach(session, name, lifetime);
  }

  /** Returns how many messages are ready in the queue, or undefined if the queue does not exist. */
  depth(): Promise<number | undefined> {
    const { name, operation } = this.#owner;
    return this.session.run(operation("depth"), () => depth(this.session, name));
  }

  /** Reports whether the queue exists; undefined if that is not known, for example because its node is down. */
  async exists(): Promise<boolean | undefined> {
    try {
      return await this.depth() !== undefined;
    } catch {
      return undefined;
    }
  }

  #newConsumer(): QueueConsumer {
    const { name, outbox, deduplication, stats, held, operation } = this.#owner;
    return new QueueConsumer({
      session: this.session,
      queue: name,
      deduplication,
      outbox,
      stats,
      held,
      droppedCopy: () => this.#owner.droppedCopy(),
      operation: operation("get"),
      isBounded: outbox.isBounded,
      onFailure: (error, inARow) => this.#onFailure(error, inARow),
    });
  }

  /** The consumer has stopped: the queue is gone, or the broker has ended the consumer or its AMQP channel. */
  async #onFailure(error: unknown, inARow: number): Promise<void> {
    if (this.#isOver || this.session.isLost) return;
    const { gone, explain } = this.#owner;
    if (error instanceof RepeatedLossError || isForbidden(error)) {
      return this.#rejectClaims(() => explain("get", error));
    }
    const exists = await this.exists();
    if (this.#isOver || this.session.isLost) return;
    if (inARow === 1 || !exists) this.#failures = 0;
    if (exists === false) {
      gone("get");
    } else if (exists && ++this.#failures > mostFailures) {
      this.#rejectClaims(() => explain("get", error));
    } else if (exists && inARow === 1) {
      this.#consumer.resume();
    } else {
      const pause = backOff(inARow, 25, 1000);
      setTimeout(() => this.#isOver || this.#consumer.resume(), pause).unref();
    }
  }

  #rejectClaims(make: () => Error): void {
    for (const claim of this.#consumer.withdrawAll()) claim.reject(make());
  }
}

/** How often in a row the broker may end the consumer of a queue that exists. */
const mostFailures = 8;
