import { clearTimeout, setTimeout } from "node:timers";
import { ChannelConnectionError } from "../../../shared/errors.ts";
import { isRequestBound } from "../../../shared/request_bound.ts";
import { backOff } from "../../../shared/backoff.ts";
import type { ConnectionWatcher } from "../../transport.ts";
import { ProcessRef } from "./process_ref.ts";
import { Session, type SessionOptions } from "./session.ts";
import { CulpritFinder } from "./culprit_finder.ts";

/** A link that waits for a connection. */
export interface SessionWaiter {
  /** A connection is open. */
  connected(session: Session): void;
  /**
   * An attempt to connect has failed. The next begins in `pause` ms; with `Infinity`, none follows until the waiter
   * calls `connect` again.
   */
  failed(error: ChannelConnectionError, pause: number): void;
}

/**
 * Keeps the one connection to a broker, and opens a new one after a loss while a link waits for it. It tries the
 * endpoints in turn. After each round it pauses; the pauses grow and vary, so that a thousand clients of a broker that
 * restarts do not connect at once.
 *
 * Invariants: one attempt runs at a time. During attempts and pauses at least one link waits; while a connection is
 * open, none does.
 */
export class Connector {
  readonly processRef: ProcessRef = new ProcessRef();
  readonly #options: SessionOptions;
  readonly #watcher: ConnectionWatcher;
  readonly #waiters = new Set<SessionWaiter>();
  #session: Session | undefined;
  #wasConnected = false;
  /** Why the last connection was lost, or the last attempt failed. */
  #trouble: Error = noAnswer;
  /** The number of connections in a row that were lost soon after they were opened. */
  #shortLived = 0;
  #isTrying = false;
  /** The index of the endpoint to try next. */
  #next = 0;
  /** Ends a long pause before the next attempt. */
  #endPause: (() => void) | undefined;
  /** Aborted when no link needs a connection. */
  #idle = new AbortController();
  /** Runs before an unused connection is closed. */
  #closeTimer: ReturnType<typeof setTimeout> | undefined;

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

  /** Reports something that may go wrong. */
  warn(problem: string): void {
    this.#watcher.warned?.(problem);
  }

  get address(): string {
    return this.#options.uri.address;
  }

  /** The open connection. */
  get session(): Session | undefined {
    return this.#session === undefined || this.#session.isLost ? undefined : this.#session;
  }

  /** Why no connection is open; undefined if one is. */
  get trouble(): Error | undefined {
    return this.session === undefined ? this.#trouble : undefined;
  }

  get culprits(): CulpritFinder {
    return this.#options.culprits;
  }

  /** Passes a connection to the waiter: the open one at once, or else the next one. */
  connect(waiter: SessionWaiter): void {
    clearTimeout(this.#closeTimer);
    const { session } = this;
    if (session !== undefined) return waiter.connected(session);
    this.#waiters.add(waiter);
    if (!this.#isTrying) this.#try();
  }

  /** Ends the waiter's call of `connect`. */
  cancel(waiter: SessionWaiter): void {
    this.#waiters.delete(waiter);
  }

  /** Ends a long pause, which was made while no operation was pending. */
  retryNow(): void {
    this.#endPause?.();
  }

  /** Closes the connection in a moment, unless it is used again: no link needs it. */
  closeSoon(): void {
    this.#waiters.clear();
    this.#idle.abort(new Error("no channel is attached"));
    this.#idle = new AbortController();
    clearTimeout(this.#closeTimer);
    this.#trouble = noAnswer;
    this.#wasConnected = false;
    this.#shortLived = 0;
    this.#options.channelLimit.channels = Infinity;
    const { session } = this;
    if (session === undefined) return;
    const close = () => {
      if (this.#session === session) this.#session = undefined;
      session.close();
    };
    if (isRequestBound) close(); // the next request cannot use it
    else this.#closeTimer = setTimeout(close, linger);
  }

  async #try(): Promise<void> {
    this.#isTrying = true;
    const { signal } = this.#idle;
    // A broker that has closed connections at once may do so again.
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
    if (this.session === undefined && this.#waiters.size > 0) this.#try(); // a link came in the meantime
  }

  /** Tries each endpoint. Resolves with a session, or with the reasons why all have failed. */
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
      if (this.#session !== session) return; // it was closed by this process
      clearTimeout(this.#closeTimer);
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

  /** Returns the milliseconds before the next attempt: fewer while an operation is pending. */
  #pause(round: number): number {
    const longest = this.processRef.isHeld ? maxPause : maxIdlePause;
    return backOff(round, minPause, longest);
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
      if (ms > maxPause) this.#endPause = over;
      signal.addEventListener("abort", over);
      this.processRef.use(timer);
    });
  }
}

const noAnswer = new Error("there has been no answer yet");

/** Milliseconds for TCP, TLS and AMQP to open a connection; half of it if the URI lists several endpoints. */
const attemptTimeout = 10_000;

/** Milliseconds. A connection that is lost earlier counts as lost at once. */
const shortLife = 2000;

/** Milliseconds between rounds of attempts. */
const minPause = 50;
const maxPause = 1000;
/** The maximum while no operation is pending. */
const maxIdlePause = 5000;

/**
 * Milliseconds for which a connection stays open after its last use. A program that makes one short-lived channel after
 * the other keeps its connection.
 */
const linger = 20;
