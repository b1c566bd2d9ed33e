import { backOff } from "../../shared/backoff.ts";
import { ChannelConnectionError } from "../../shared/errors.ts";
import { isRequestBound } from "../../shared/request_bound.ts";
import type { ConnectionWatcher } from "../transport.ts";
import { ProcessRef } from "./process_ref.ts";
import type { RemoteSession } from "./remote_session.ts";
import { RuntimeTimer } from "./runtime_timer.ts";
import type { SessionSource, SessionWaiter } from "./session_source.ts";

/** How a connector connects. */
export interface ConnectorOptions<S extends RemoteSession> {
  /** The address without credentials. */
  readonly address: string;
  /** The number of endpoints that are tried in turn. */
  readonly endpoints: number;
  /** What several connectors share that serve the same operations. Absent: the connector has its own. */
  readonly processRef?: ProcessRef;
  /**
   * Connects to an endpoint. Rejects with a ChannelConnectionError, after `timeout` ms at the latest, or when `signal`
   * is aborted.
   */
  open(endpoint: number, timeout: number, signal: AbortSignal): Promise<S>;
}

/**
 * Keeps the one connection to a broker or a home, and opens a new one after a loss while a link waits for it. It tries the
 * endpoints in turn. After each round it pauses; the pauses grow and vary, so that a thousand clients of a broker that
 * restarts do not connect at once.
 *
 * Invariants: one attempt runs at a time. During attempts and pauses at least one link waits; while a connection is
 * open, none does.
 */
export class Connector<S extends RemoteSession> implements SessionSource<S> {
  readonly processRef: ProcessRef;
  readonly #options: ConnectorOptions<S>;
  readonly #watcher: ConnectionWatcher;
  readonly #waiters = new Set<SessionWaiter<S>>();
  #session: S | undefined;
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
  #closeTimer: RuntimeTimer | undefined;

  constructor(options: ConnectorOptions<S>, watcher: ConnectionWatcher) {
    this.processRef = options.processRef ?? new ProcessRef();
    this.#options = options;
    this.#watcher = watcher;
  }

  /** Reports something that may go wrong. */
  warn(problem: string): void {
    this.#watcher.warned?.(problem);
  }

  /** Reports something that explains what is seen elsewhere. */
  note(event: string): void {
    this.#watcher.noted?.(event);
  }

  get address(): string {
    return this.#options.address;
  }

  /** The open connection. */
  get session(): S | undefined {
    return this.#session === undefined || this.#session.isLost ? undefined : this.#session;
  }

  /** Why no connection is open; undefined if one is. */
  get trouble(): Error | undefined {
    return this.session === undefined ? this.#trouble : undefined;
  }

  /** Passes a connection to the waiter: the open one at once, or else the next one. */
  connect(waiter: SessionWaiter<S>): void {
    this.#closeTimer?.stop();
    const { session } = this;
    if (session !== undefined) return waiter.connected(session);
    this.#waiters.add(waiter);
    if (!this.#isTrying) this.#try();
  }

  /** Ends the waiter's call of `connect`. */
  cancel(waiter: SessionWaiter<S>): void {
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
    this.#closeTimer?.stop();
    this.#trouble = noAnswer;
    this.#wasConnected = false;
    this.#shortLived = 0;
    const { session } = this;
    if (session === undefined) return;
    const close = () => {
      if (this.#session === session) this.#session = undefined;
      session.close();
    };
    if (isRequestBound) close(); // the next request cannot use it
    else this.#closeTimer = new RuntimeTimer(close, linger);
  }

  async #try(): Promise<void> {
    this.#isTrying = true;
    const { signal } = this.#idle;
    // A broker that has closed connections at once may do so again.
    if (this.#shortLived > 1) await this.#sleep(this.#pause(this.#shortLived - 2), signal);
    for (let round = 0; !signal.aborted && this.#waiters.size > 0; round++) {
      let outcome = await this.#tryEach(signal);
      if (signal.aborted) {
        if (!(outcome instanceof ChannelConnectionError)) outcome.close();
        break;
      }
      // What is lost at once tells nobody of its loss any more.
      if (!(outcome instanceof ChannelConnectionError) && outcome.isLost) {
        outcome = outcome.lossError;
      }
      if (!(outcome instanceof ChannelConnectionError)) {
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
  async #tryEach(signal: AbortSignal): Promise<S | ChannelConnectionError> {
    const { address, endpoints } = this.#options;
    const timeout = endpoints === 1 ? attemptTimeout : attemptTimeout / 2;
    const errors: ChannelConnectionError[] = [];
    while (errors.length < endpoints) {
      try {
        return await this.#options.open(this.#next, timeout, signal);
      } catch (error) {
        errors.push(error as ChannelConnectionError);
        this.#next = (this.#next + 1) % endpoints;
        if (signal.aborted) break;
      }
    }
    if (errors.length === 1) return errors[0]!;
    return new ChannelConnectionError(errors.map(({ message }) => message).join("; "), {
      address,
      transient: errors.some(({ transient }) => transient),
      cause: errors.at(-1)!.cause,
    });
  }

  #begin(session: S): void {
    const isAgain = this.#wasConnected;
    this.#session = session;
    this.#wasConnected = true;
    session.onLost(() => {
      if (this.#session !== session) return; // it was closed by this process
      this.#closeTimer?.stop();
      this.#trouble = session.lossError;
      this.#shortLived = session.age < shortLife ? this.#shortLived + 1 : 0;
      this.#next = (this.#next + 1) % this.#options.endpoints;
      this.#watcher.disconnected(session.lossError);
    });
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
        timer.stop();
        signal.removeEventListener("abort", over);
        this.#endPause = undefined;
        resolve();
      };
      const timer = new RuntimeTimer(over, ms);
      if (ms > maxPause) this.#endPause = over;
      signal.addEventListener("abort", over);
      this.processRef.use(timer);
    });
  }
}

const noAnswer = new Error("there has been no answer yet");

/** Milliseconds for all protocols to open a connection; half of it if the URI lists several endpoints. */
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
