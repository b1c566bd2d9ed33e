import { clearTimeout, setTimeout } from "node:timers";
import { ChannelConnectionError } from "../../../shared/errors.ts";
import { backOff } from "../../../shared/backoff.ts";
import type { ConnectionWatcher } from "../../transport.ts";
import { ProcessRef } from "./process_ref.ts";
import { Session, type SessionOptions } from "./session.ts";
import { CulpritFinder } from "./culprit_finder.ts";

/** Who wants a connection. */
export interface SessionWaiter {
  /** There is one. */
  connected(session: Session): void;
  /**
   * An attempt has failed; the next is `pause` ms away. With `Infinity` there will be none, as long as
   * the waiter does not ask again.
   */
  failed(error: ChannelConnectionError, pause: number): void;
}

/**
 * Keeps the one connection to a broker, and makes it anew as long as somebody wants one: from endpoint
 * to endpoint in turn, and after each round with a pause, which grows and varies, so that a thousand
 * clients of a broker that comes back do not come at once.
 *
 * Invariants: one attempt runs at a time. While attempts or pauses go on, there are waiters; when a
 * connection is there, none waits.
 */
export class Connector {
  readonly processRef: ProcessRef = new ProcessRef();
  readonly #options: SessionOptions;
  readonly #watcher: ConnectionWatcher;
  readonly #waiters = new Set<SessionWaiter>();
  #session: Session | undefined;
  #wasConnected = false;
  #trouble: Error = noAnswer;
  /** How many connections in a row were lost soon after they were made. */
  #shortLived = 0;
  #isTrying = false;
  /** The endpoint to be tried next. */
  #next = 0;
  /** Ends the pause before the next attempt. */
  #endPause: (() => void) | undefined;
  /** Aborted when nothing needs a connection any more. */
  #atRest = new AbortController();
  #resting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    options: Omit<SessionOptions, "processRef" | "culprits" | "channelLimit">,
    watcher: ConnectionWatcher,
  ) {
    this.#options = {
      ...options,
      processRef: this.processRef,
      culprits: new CulpritFinder(),
      channelLimit: { channels: Infinity },
    };
    this.#watcher = watcher;
  }

  /** Tells of something that may go wrong. */
  warn(problem: string): void {
    this.#watcher.warned?.(problem);
  }

  get address(): string {
    return this.#options.uri.address;
  }

  /** The live connection. */
  get session(): Session | undefined {
    return this.#session === undefined || this.#session.isLost ? undefined : this.#session;
  }

  /** Why there is no connection; undefined where there is one. */
  get trouble(): Error | undefined {
    return this.session === undefined ? this.#trouble : undefined;
  }

  get culprits(): CulpritFinder {
    return this.#options.culprits;
  }

  /** Tells the waiter of the connection, now or when there is one. */
  connect(waiter: SessionWaiter): void {
    clearTimeout(this.#resting);
    const { session } = this;
    if (session !== undefined) return waiter.connected(session);
    this.#waiters.add(waiter);
    if (!this.#isTrying) this.#try();
  }

  /** The waiter wants none any more. */
  cancel(waiter: SessionWaiter): void {
    this.#waiters.delete(waiter);
  }

  /** An operation waits: a long pause, as between attempts for nobody, is over. */
  retryNow(): void {
    this.#endPause?.();
  }

  /** Nothing needs a connection any more; it stays a moment, for the next may be near. */
  closeSoon(): void {
    this.#waiters.clear();
    this.#atRest.abort(new Error("nothing is attached"));
    this.#atRest = new AbortController();
    clearTimeout(this.#resting);
    this.#trouble = noAnswer;
    this.#wasConnected = false;
    this.#shortLived = 0;
    this.#options.channelLimit.channels = Infinity;
    const { session } = this;
    if (session === undefined) return;
    this.#resting = setTimeout(() => {
      if (this.#session === session) this.#session = undefined;
      session.close();
    }, linger);
  }

  async #try(): Promise<void> {
    this.#isTrying = true;
    const { signal } = this.#atRest;
    // What the broker closed at once, it may close again at once.
    if (this.#shortLived > 1) await this.#sleep(this.#pause(this.#shortLived - 2), signal);
    for (let round = 0; !signal.aborted && this.#waiters.size > 0; round++) {
      const outcome = await this.#tryEach(signal);
      if (signal.aborted) {
        if (outcome instanceof Session) outcome.close();
        break;
      }
      if (outcome instanceof Session) {
        this.#begin(outcome);
        break;
      }
      this.#trouble = outcome;
      const isFutile = !outcome.transient && !this.#wasConnected;
      const pause = isFutile ? Infinity : this.#pause(round);
      this.#watcher.failed(outcome, pause);
      for (const waiter of [...this.#waiters]) {
        if (isFutile) this.#waiters.delete(waiter);
        waiter.failed(outcome, pause);
      }
      if (this.#waiters.size > 0) await this.#sleep(pause, signal);
    }
    this.#isTrying = false;
    if (this.session === undefined && this.#waiters.size > 0) this.#try(); // they came as it ended
  }

  /** A session, or why each endpoint failed. */
  async #tryEach(signal: AbortSignal): Promise<Session | ChannelConnectionError> {
    const { endpoints } = this.#options.uri;
    const timeout = endpoints.length === 1 ? attemptTimeout : attemptTimeout / 2;
    const errors: ChannelConnectionError[] = [];
    while (errors.length < endpoints.length) {
      const endpoint = endpoints[this.#next]!;
      try {
        return await Session.connect(this.#options, endpoint, timeout, signal);
      } catch (error) {
        errors.push(error as ChannelConnectionError);
        this.#next = (this.#next + 1) % endpoints.length;
        if (signal.aborted) break;
      }
    }
    if (errors.length === 1) return errors[0]!;
    return new ChannelConnectionError(errors.map(({ message }) => message).join("; "), {
      address: this.#options.uri.address,
      transient: errors.some(({ transient }) => transient),
      cause: errors.at(-1)!.cause,
    });
  }

  #begin(session: Session): void {
    const isAgain = this.#wasConnected;
    this.#session = session;
    this.#wasConnected = true;
    session.onLost(() => {
      if (this.#session !== session) return; // it was closed here
      clearTimeout(this.#resting);
      this.#trouble = session.lossError;
      this.#shortLived = session.age < shortLife ? this.#shortLived + 1 : 0;
      this.#next = (this.#next + 1) % this.#options.uri.endpoints.length;
      this.#watcher.disconnected(session.lossError);
    });
    session.onBlocked = (reason) => this.#watcher.blocked(reason);
    this.#watcher.connected(isAgain);
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.connected(session);
  }

  /** Milliseconds: shorter where an operation waits. */
  #pause(round: number): number {
    const most = this.processRef.isHeld ? longestPause : longestIdlePause;
    return backOff(round, shortestPause, most);
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const over = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", over);
        this.#endPause = undefined;
        resolve();
      };
      const timer = setTimeout(over, ms);
      if (ms > longestPause) this.#endPause = over;
      signal.addEventListener("abort", over);
      this.processRef.use(timer);
    });
  }
}

const noAnswer = new Error("there has been no answer yet");

/** Milliseconds for TCP, TLS and AMQP to open a connection; half where there are other endpoints. */
const attemptTimeout = 10_000;

/** Milliseconds within which a connection is lost that has not proved itself. */
const shortLife = 2000;

/** Milliseconds between attempts. */
const shortestPause = 50;
const longestPause = 1000;
/** The same where no operation waits. */
const longestIdlePause = 5000;

/**
 * Milliseconds for which a connection outlasts its last use, so that a program that makes one
 * short-lived channel after the other keeps it.
 */
const linger = 20;
