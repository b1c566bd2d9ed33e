import { setTimeout } from "node:timers/promises";
import { drainedError } from "../../../shared/closed_errors.ts";
import { Fifo } from "../../../shared/fifo.ts";
import { backOff } from "../../../shared/backoff.ts";
import type { Claim, Loan } from "../../transport.ts";
import type { Poll } from "../../poll.ts";
import { enter, leave, remainder } from "../topology/closed_marker.ts";
import { isMissing } from "../failure.ts";
import { type Binding, type Lifetime, usersBinding } from "../topology/bindings.ts";
import type { Session } from "../connection/session.ts";
import type { Source } from "./consumer.ts";
import type { BrokerOperation } from "../connection/culprit_finder.ts";

/** What a drain works with. */
export interface DrainOptions {
  readonly session: Session;
  readonly name: string;
  readonly lifetime: Lifetime;
  /** Whether this process was attached when it learnt that the channel is closed, and so may have values. */
  readonly wasAttached: boolean;
  /** What gets the channel's messages now. */
  readonly source: Source;
  /** Another one, for when that one is closed. */
  renewSource(): Source;
  /** What getting is for the broker. */
  readonly operation: BrokerOperation;
  /** Whether this process has loans, or puts that are not confirmed. */
  isBusy(): boolean;
  /** Told that the channel is gone. */
  gone(): Error;
  /** The error for what the broker refused. */
  explain(error: unknown): Error;
}

/**
 * Gets what is left of a closed channel on one connection, until there is nothing.
 *
 * Invariants: while it is entered, this connection is bound where the channel's users are (or, of an anonymous one,
 * about to be), and all claims are at the source; else none is, and the source has nothing. It is entered whenever
 * this process may have values, or puts under way. So where nobody is bound and nothing waits, that is the end.
 */
export class Drain {
  readonly #options: DrainOptions;
  readonly #claims = new Fifo<Claim>();
  #polls: Poll[] = [];
  #source: Source;
  readonly #users: Binding;
  #isEntered: boolean;
  #isBound: boolean;
  #working: Promise<void> | undefined;
  #isClosed = false;
  /** Whether it has never been left. */
  #isFirst = true;
  #holds = 0;
  /** How often in a row there was nothing to do but to wait. */
  #idle = 0;
  /** How often the broker has refused something. */
  #failures = 0;

  constructor(options: DrainOptions) {
    this.#options = options;
    this.#source = options.source;
    const { name, lifetime, wasAttached } = options;
    this.#users = usersBinding(name, lifetime);
    this.#isEntered = wasAttached;
    this.#isBound = wasAttached && lifetime !== "anonymous";
    this.resume();
  }

  take(claim: Claim): void {
    if (this.#isEntered) {
      this.#source.take(claim);
    } else {
      this.#claims.push(claim);
      this.#hold();
    }
    this.resume();
  }

  withdraw(claim: Claim): boolean {
    const wasHere = this.#claims.remove(claim);
    this.#hold();
    return wasHere || this.#source.withdraw(claim);
  }

  /** Takes every claim out. */
  withdrawAll(): Claim[] {
    const claims = [...this.#claims.takeAll(), ...this.#source.withdrawAll()];
    this.#hold();
    return claims;
  }

  tryTake(counted: boolean): Promise<Loan | undefined> {
    return new Promise((resolve, reject) => {
      this.#polls.push({ counted, resolve, reject });
      this.resume();
    });
  }

  /** The connection is lost, or the link closed. */
  close(reason: unknown): void {
    this.#isClosed = true;
    for (const { reject } of this.#polls.splice(0)) reject(reason);
  }

  resume(): void {
    this.#working ??= this.#work().catch((error) => this.#fail(error)).finally(() => {
      this.#working = undefined;
      if (!this.#isClosed && this.#isWanted) this.resume(); // it came up as the work ended
    });
  }

  get #isWanted(): boolean {
    return this.#claims.size > 0 || this.#polls.length > 0;
  }

  async #work(): Promise<void> {
    const { session, operation, isBusy } = this.#options;
    while (!this.#isClosed) {
      if (!this.#isEntered) {
        if (!this.#isWanted) return;
        if (!await this.#isSomeLeft()) continue;
      }
      if (!this.#isBound) {
        await session.run(operation, () => enter(session, this.#users));
        this.#isBound = true;
      }
      this.#isEntered = true;
      for (const claim of this.#claims.takeAll()) this.#source.take(claim);
      this.#hold();
      const { arrivals } = this.#source;
      await this.#servePolls();
      await pause(backOff(this.#idle, 10, 80));
      if (isBusy()) {
        this.#answer(undefined);
        this.#idle++;
      } else if (this.#source.arrivals !== arrivals || !this.#source.isDry) {
        this.#idle = 0;
      } else {
        await this.#leave();
      }
    }
  }

  /** Whether there is something to be got. If there is not yet, waits a while; if never, ends all. */
  async #isSomeLeft(): Promise<boolean> {
    const { session, name, operation, gone } = this.#options;
    const left = await session.run(operation, () => remainder(session, name, this.#users));
    if (this.#isClosed) return false;
    if (left === "some") {
      this.#idle = 0;
      return true;
    }
    if (left === "perhaps") {
      this.#answer(undefined);
      await pause(backOff(this.#idle++, 10, 200));
    } else {
      this.#reject(() => left === "gone" ? gone() : drainedError(name));
    }
    return false;
  }

  /** Serves those who do not wait; who gets nothing stays, to hear whether this is the end. */
  async #servePolls(): Promise<void> {
    const polls = this.#polls.splice(0);
    for (const poll of polls) {
      const loan = await this.#source.tryTake(poll.counted);
      if (loan !== undefined) poll.resolve(loan);
      else if (this.#isClosed) poll.resolve(undefined);
      else this.#polls.push(poll);
    }
  }

  #answer(loan: undefined): void {
    for (const { resolve } of this.#polls.splice(0)) resolve(loan);
  }

  async #leave(): Promise<void> {
    const { session, lifetime, operation, isBusy, renewSource } = this.#options;
    this.#isEntered = false;
    const source = this.#source;
    for (const claim of source.withdrawAll()) this.#claims.push(claim);
    this.#hold();
    this.#source = renewSource();
    await source.close();
    if (isBusy() || this.#isClosed) {
      this.#isEntered = true;
      return;
    }
    await session.run(operation, () => leave(session, this.#users));
    // Those who hear of the end of an anonymous channel bind themselves only then.
    if (lifetime === "anonymous" && this.#isFirst) await pause(100);
    this.#isFirst = false;
    this.#isBound = false;
  }

  #fail(error: unknown): void {
    if (this.#isClosed || this.#options.session.isLost) return;
    const { gone, explain } = this.#options;
    this.#reject(() => isMissing(error) ? gone() : explain(error));
    // While it is bound, nobody else comes to the end.
    if (this.#isEntered) {
      pause(backOff(this.#failures++, 500, 30_000)).then(() => this.#isClosed || this.resume());
    }
  }

  #reject(make: () => Error): void {
    for (const claim of this.#claims.takeAll()) claim.reject(make());
    for (const { reject } of this.#polls.splice(0)) reject(make());
    this.#hold();
  }

  /** Keeps the process alive for the claims that wait here. */
  #hold(): void {
    const { processRef } = this.#options.session;
    for (; this.#holds < this.#claims.size; this.#holds++) processRef.ref();
    for (; this.#holds > this.#claims.size; this.#holds--) processRef.unref();
  }
}

/** A pause that does not keep the process alive: the waiting claims do. */
const pause = (ms: number) => setTimeout(ms, undefined, { ref: false });
