import { setTimeout } from "node:timers/promises";
import { backOff } from "../../../shared/backoff.ts";
import { drainedError } from "../../../shared/closed_errors.ts";
import { Fifo } from "../../../shared/fifo.ts";
import type { Poll } from "../../poll.ts";
import type { Claim, Loan } from "../../transport.ts";
import type { BrokerOperation } from "../connection/culprit_finder.ts";
import type { Session } from "../connection/session.ts";
import { isMissing } from "../failure.ts";
import { type Binding, type Lifetime, usersBinding } from "../topology/bindings.ts";
import { becomeAbsent, becomePresent, lookForEnd } from "../topology/presence.ts";
import type { QueueConsumer } from "./consumer.ts";

/** What a drain works with. */
export interface DrainOptions {
  readonly session: Session;
  readonly name: string;
  readonly lifetime: Lifetime;
  /** Whether this process was attached when it learnt that the channel is closed, and so may have values. */
  readonly wasAttached: boolean;
  /** Gets the channel's messages. */
  readonly consumer: QueueConsumer;
  /** Returns a consumer to use once the current one is closed. */
  renewConsumer(): QueueConsumer;
  /** The operation as whose part the broker is asked. */
  readonly operation: BrokerOperation;
  /** Reports whether this process has loans, or puts that are not confirmed. */
  isBusy(): boolean;
  /** Records that the channel is gone, and returns the error that says so. */
  gone(): Error;
  /** Returns the error for a refusal of the broker. */
  explain(error: unknown): Error;
}

/**
 * The state of a drain. `unbound` is the first state for an anonymous channel, to whose announcements no connection is
 * bound before the drain; it becomes `present` as soon as the broker has bound the connection.
 */
type State = "unbound" | "present" | "leaving" | "absent";

/**
 * Gets what is left of a closed channel on one connection, until the end. docs/internals/amqp.md describes the protocol
 * ("Closing").
 *
 * ```
 * unbound ──binds──▶ present ──nothing comes──▶ leaving ──unbinds──▶ absent ──▶ the end
 *                    ▲    ▲                        │                   │
 *                    │    └────busy, or refused────┘                   │
 *                    └──────────binds, as values wait──────────────────┘
 * ```
 *
 * Invariants: while this process is `present` or `unbound`, all claims are at the consumer. In the other states all
 * claims are here, and in `absent` the consumer has nothing. This process is absent only while it has no value of the
 * channel and no put under way. So the channel is at its end where no process is present and nothing waits.
 */
export class Drain {
  readonly #options: DrainOptions;
  readonly #users: Binding;
  readonly #claims = new Fifo<Claim>();
  #polls: Poll[] = [];
  #consumer: QueueConsumer;
  #state: State;
  #hasLeft = false;
  #working: Promise<void> | undefined;
  #isClosed = false;
  /** The claims for which the process is held alive. */
  #holds = 0;
  /** How often in a row there was nothing to do but wait. */
  #idleTurns = 0;
  #failures = 0;

  constructor(options: DrainOptions) {
    const { name, lifetime, wasAttached, consumer } = options;
    this.#options = options;
    this.#users = usersBinding(name, lifetime);
    this.#consumer = consumer;
    this.#state = !wasAttached ? "absent" : lifetime === "anonymous" ? "unbound" : "present";
    this.resume();
  }

  take(claim: Claim): void {
    if (this.#hasConsumer) {
      this.#consumer.take(claim);
    } else {
      this.#claims.push(claim);
      this.#hold();
    }
    this.resume();
  }

  withdraw(claim: Claim): boolean {
    const wasHere = this.#claims.remove(claim);
    this.#hold();
    return wasHere || this.#consumer.withdraw(claim);
  }

  /** Withdraws every claim. */
  withdrawAll(): Claim[] {
    const claims = [...this.#claims.takeAll(), ...this.#consumer.withdrawAll()];
    this.#hold();
    return claims;
  }

  tryTake(counted: boolean): Promise<Loan | undefined> {
    return new Promise((resolve, reject) => {
      this.#polls.push({ counted, resolve, reject });
      this.resume();
    });
  }

  /** Ends the drain, after the connection is lost or the link closed. */
  close(reason: unknown): void {
    this.#isClosed = true;
    for (const { reject } of this.#polls.splice(0)) reject(reason);
  }

  resume(): void {
    this.#working ??= this.#work().catch((error) => this.#fail(error)).finally(() => {
      this.#working = undefined;
      if (!this.#isClosed && this.#isWanted) this.resume(); // a claim came as the work ended
    });
  }

  /** Whether claims are served by the consumer, and not held here. */
  get #hasConsumer(): boolean {
    return this.#state === "present" || this.#state === "unbound";
  }

  get #isWanted(): boolean {
    return this.#claims.size > 0 || this.#polls.length > 0;
  }

  async #work(): Promise<void> {
    while (!this.#isClosed) {
      if (this.#state === "unbound") {
        await this.#becomePresent();
      } else if (this.#state === "present") {
        if (await this.#get() === "nothing comes") await this.#leave();
      } else if (!this.#isWanted) {
        return;
      } else if (await this.#lookForEnd() === "values wait") {
        await this.#becomePresent();
      }
    }
  }

  async #becomePresent(): Promise<void> {
    const { session, operation } = this.#options;
    await session.run(operation, () => becomePresent(session, this.#users));
    this.#state = "present";
  }

  /** Gets values, for a pause that grows while there is nothing to do. */
  async #get(): Promise<"values come" | "nothing comes"> {
    for (const claim of this.#claims.takeAll()) this.#consumer.take(claim);
    this.#hold();
    const { arrivals } = this.#consumer;
    await this.#servePolls();
    await pause(backOff(this.#idleTurns, 10, 80));
    if (this.#options.isBusy()) {
      this.#answerNothing();
      this.#idleTurns++;
      return "values come"; // those on loan may come back
    }
    if (this.#consumer.arrivals === arrivals && this.#consumer.isQueueEmpty) return "nothing comes";
    this.#idleTurns = 0;
    return "values come";
  }

  /** Serves the polls. A poll that gets nothing stays, to learn whether this is the end. */
  async #servePolls(): Promise<void> {
    const polls = this.#polls.splice(0);
    for (const poll of polls) {
      const loan = await this.#consumer.tryTake(poll.counted);
      if (loan !== undefined) poll.resolve(loan);
      else if (this.#isClosed) poll.resolve(undefined);
      else this.#polls.push(poll);
    }
  }

  #answerNothing(): void {
    for (const { resolve } of this.#polls.splice(0)) resolve(undefined);
  }

  /** Gives back what the consumer has, and makes this process absent if it has nothing else. */
  async #leave(): Promise<void> {
    const { session, lifetime, operation, isBusy, renewConsumer } = this.#options;
    this.#state = "leaving";
    const consumer = this.#consumer;
    for (const claim of consumer.withdrawAll()) this.#claims.push(claim);
    this.#hold();
    this.#consumer = renewConsumer();
    await consumer.close();
    if (isBusy() || this.#isClosed) {
      this.#state = "present";
      return;
    }
    try {
      await session.run(operation, () => becomeAbsent(session, this.#users));
    } catch (error) {
      this.#state = "present"; // it is bound still
      throw error;
    }
    // The other users of an anonymous channel bind themselves only when they learn of the drain.
    if (lifetime === "anonymous" && !this.#hasLeft) await pause(bindTime);
    this.#hasLeft = true;
    this.#state = "absent";
  }

  /** Looks for the end, which settles all claims. If it has not come, and no value waits, pauses. */
  async #lookForEnd(): Promise<"values wait" | "nothing waits"> {
    const { session, name, operation, gone } = this.#options;
    const outlook = await session.run(operation, () => lookForEnd(session, name, this.#users));
    if (this.#isClosed) return "nothing waits";
    switch (outlook) {
      case "values wait":
        this.#idleTurns = 0;
        return "values wait";
      case "processes are present":
        this.#answerNothing();
        await pause(backOff(this.#idleTurns++, 10, 200));
        break;
      case "end":
        this.#rejectAll(() => drainedError(name));
        break;
      case "deleted":
        this.#rejectAll(gone);
    }
    return "nothing waits";
  }

  #fail(error: unknown): void {
    if (this.#isClosed || this.#options.session.isLost) return;
    const { gone, explain } = this.#options;
    this.#rejectAll(() => isMissing(error) ? gone() : explain(error));
    if (this.#state === "absent") return;
    // While this process is present, the channel does not come to its end for others.
    pause(backOff(this.#failures++, 500, 30_000)).then(() => this.#isClosed || this.resume());
  }

  #rejectAll(make: () => Error): void {
    for (const claim of this.#claims.takeAll()) claim.reject(make());
    for (const { reject } of this.#polls.splice(0)) reject(make());
    this.#hold();
  }

  /** Holds the process alive for the claims that wait here. */
  #hold(): void {
    const { processRef } = this.#options.session;
    for (; this.#holds < this.#claims.size; this.#holds++) processRef.ref();
    for (; this.#holds > this.#claims.size; this.#holds--) processRef.unref();
  }
}

/** Milliseconds for the other users of an anonymous channel to bind themselves. */
const bindTime = 100;

/** Pauses without holding the process alive; the claims do that. */
function pause(ms: number): Promise<void> {
  return setTimeout(ms, undefined, { ref: false });
}
