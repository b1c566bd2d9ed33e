import type { AMQPChannel } from "@cloudamqp/amqp-client";
import { clearTimeout, setTimeout } from "node:timers";
import type { ChannelConnectionError } from "../../../shared/errors.ts";
import { closeTimeout, within } from "../../../shared/timeouts.ts";
import { Bulletin } from "./announcement_queue.ts";
import {
  blamesConnection,
  connectFailure,
  hasTooManyChannels,
  lostConnection,
  tooFewChannels,
} from "../failure.ts";
import { type Allowance, type Lane, Lanes } from "./channel_pool.ts";
import type { Lifeline } from "./process_ref.ts";
import { Publisher } from "./publisher.ts";
import { leastChannels } from "./refusal.ts";
import type { Job, Suspects } from "./suspects.ts";
import type { AmqpUri, Endpoint } from "../uri.ts";
import { type TlsOptions, Wire } from "./client.ts";

/** What a connection is made of. */
export interface SessionOptions {
  readonly uri: AmqpUri;
  readonly tls?: TlsOptions;
  readonly lifeline: Lifeline;
  readonly suspects: Suspects;
  readonly allowance: Allowance;
  /** What begins the ids of this process's announcements. */
  readonly own: string;
}

/**
 * One live connection to a broker, from its opening to its loss; it never comes back, another session
 * does.
 */
export class Session {
  readonly address: string;
  readonly lifeline: Lifeline;
  readonly publisher: Publisher;
  readonly bulletin: Bulletin;
  readonly lanes: Lanes;
  readonly #wire: Wire;
  readonly #own: string;
  readonly #suspects: Suspects;
  /** When it was opened, in ms of `performance.now()`. */
  readonly #opened = performance.now();
  #ids = 0;
  readonly #onLost = new Set<() => void>();
  #loss: Error | undefined;
  /** Told why the broker takes no messages, or that it does again. */
  onBlocked: (reason: string | undefined) => void = () => {};

  private constructor(
    { uri, lifeline, own, suspects }: SessionOptions,
    wire: Wire,
    publisher: Publisher,
    bulletin: Bulletin,
    lanes: Lanes,
  ) {
    this.address = uri.address;
    this.lifeline = lifeline;
    this.#wire = wire;
    this.#own = own;
    this.#suspects = suspects;
    this.publisher = publisher;
    this.bulletin = bulletin;
    this.lanes = lanes;
    wire.ondisconnect = (error) => this.#lose(error ?? new Error("the broker closed it"));
    wire.onDead = () => this.#lose(new Error("the connection is closed"));
    wire.onblocked = (reason) => this.onBlocked(reason);
    wire.onunblocked = () => {
      this.onBlocked(undefined);
      publisher.resume();
    };
    publisher.onLost = bulletin.onLost = (reason) => {
      this.#lose(new Error(reason));
      wire.destroy();
    };
  }

  /**
   * Rejects with a ChannelConnectionError, after `timeout` ms at the latest, or on `signal`.
   */
  static async connect(
    options: SessionOptions,
    endpoint: Endpoint,
    timeout: number,
    signal: AbortSignal,
  ): Promise<Session> {
    const wire = new Wire(options.uri, endpoint, options.tls);
    let giveUp: (error: Error) => void;
    const givenUp = new Promise<never>((_, reject) => giveUp = reject);
    const timer = setTimeout(() => giveUp(new Error(`no answer within ${timeout} ms`)), timeout);
    timer.unref(); // the socket keeps the process alive, where somebody waits for it
    const onAbort = () => giveUp(signal.reason);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    options.lifeline.tie(wire);
    try {
      return await Promise.race([Session.#open(options, wire), givenUp]);
    } catch (error) {
      wire.destroy();
      throw connectFailure(error, options.uri, endpoint);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  static async #open(options: SessionOptions, wire: Wire): Promise<Session> {
    let lost: Error | undefined;
    wire.ondisconnect = (error) => lost = error ?? new Error("the broker closed the connection");
    await wire.connect();
    const { channelMax } = wire;
    if (channelMax > 0 && channelMax < leastChannels) {
      throw tooFewChannels(channelMax, options.uri);
    }
    wire.isCounted = options.allowance.channels < Infinity;
    const lanes = new Lanes(wire, options.allowance);
    const [publisher, bulletin] = await Promise.all([
      Publisher.open(wire),
      wire.channel().then((channel) => Bulletin.open(channel, options.own)),
      lanes.open(),
    ]);
    if (lost !== undefined) throw lost;
    return new Session(options, wire, publisher, bulletin, lanes);
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  /** Why the connection was lost. */
  get loss(): Error | undefined {
    return this.#loss;
  }

  /** Why the broker takes no messages; undefined where it does. */
  get blocked(): string | undefined {
    return this.#wire.blocked;
  }

  /** An id for an announcement of this process. */
  nextId(): string {
    return this.#own + (this.#ids++).toString(36);
  }

  /** Calls `listener` once, when the connection is lost. */
  onLost(listener: () => void): void {
    this.#onLost.add(listener);
  }

  offLost(listener: () => void): void {
    this.#onLost.delete(listener);
  }

  /** What says that the connection was lost, and why. */
  get lossError(): ChannelConnectionError {
    return lostConnection(this.address, this.#loss);
  }

  /** For how many milliseconds it has been open. */
  get age(): number {
    return performance.now() - this.#opened;
  }

  /**
   * Does the work of a job that is repeated where the connection is lost meanwhile; rejects with a RepeatedLoss where
   * that was found to be because of it.
   */
  run<T>(job: Job, work: () => Promise<T>): Promise<T> {
    return this.#suspects.run(job, this, work);
  }

  /** Runs `use` on an AMQP channel that nobody else uses. */
  administer<T>(use: (channel: AMQPChannel, lane: Lane) => Promise<T>): Promise<T> {
    return this.lanes.with(use);
  }

  /** Closes the connection, politely for a second at most. Never rejects. */
  async close(): Promise<void> {
    if (this.isLost) return;
    this.#lose(new Error("it was closed here"));
    this.#wire.ref();
    const { socket } = this.#wire;
    const closed = this.#wire.close().catch(() => {}); // pending for ever where the socket ends first
    const ended = new Promise<void>((resolve) => socket?.once("close", () => resolve()));
    await within(closeTimeout, Promise.race([closed, ended]));
    this.#wire.destroy();
  }

  #lose(error: Error): void {
    if (this.#loss !== undefined) return;
    this.#loss = error;
    // With fewer AMQP channels all can go on.
    const isError = blamesConnection(error) &&
      !(hasTooManyChannels(error) && this.lanes.refused());
    if (isError && !this.#suspects.isBusy) this.publisher.suspect(error);
    this.#suspects.lost(error, isError);
    for (const listener of [...this.#onLost]) listener();
    this.#onLost.clear();
    this.lanes.wake();
  }
}
