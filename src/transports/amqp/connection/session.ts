import type { AMQPChannel } from "@cloudamqp/amqp-client";
import { clearTimeout, setTimeout } from "node:timers";
import type { ChannelConnectionError } from "../../../shared/errors.ts";
import { nextMessageId } from "../../../shared/message_id.ts";
import { closeTimeout, within } from "../../../shared/timeouts.ts";
import { AnnouncementQueue } from "./announcement_queue.ts";
import {
  blamesConnection,
  connectFailure,
  hasTooManyChannels,
  lostConnection,
  tooFewChannels,
} from "../failure.ts";
import { type ChannelLimit, ChannelPool } from "./channel_pool.ts";
import type { PooledChannel } from "./pooled_channel.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";
import { Publisher } from "./publisher.ts";
import type { BrokerOperation, CulpritFinder } from "./culprit_finder.ts";
import type { Endpoint } from "../../remote/uri_text.ts";
import { type AmqpUri, leastChannels } from "../uri.ts";
import { Client, type TlsOptions } from "./client.ts";

/** The parts that all sessions of a connector share. */
export interface SessionOptions {
  readonly uri: AmqpUri;
  readonly tls?: TlsOptions;
  readonly processRef: ProcessRef;
  readonly culprits: CulpritFinder;
  readonly channelLimit: ChannelLimit;
  /** The prefix of the ids of this process's announcements. */
  readonly idPrefix: string;
}

/** One connection to a broker, from its opening to its loss. After a loss the connector opens another session. */
export class Session {
  readonly address: string;
  readonly processRef: ProcessRef;
  readonly publisher: Publisher;
  readonly announcements: AnnouncementQueue;
  readonly pool: ChannelPool;
  readonly #client: Client;
  readonly #idPrefix: string;
  readonly #culprits: CulpritFinder;
  /** When it was opened, in ms of `performance.now()`. */
  readonly #openedAt = performance.now();
  readonly #onLost = new Set<() => void>();
  #loss: Error | undefined;
  /** Called with the reason when the broker takes no messages, and with undefined when it takes them again. */
  onBlocked: (reason: string | undefined) => void = () => {};

  private constructor(
    { uri, processRef, idPrefix, culprits }: SessionOptions,
    client: Client,
    publisher: Publisher,
    announcements: AnnouncementQueue,
    pool: ChannelPool,
  ) {
    this.address = uri.address;
    this.processRef = processRef;
    this.#client = client;
    this.#idPrefix = idPrefix;
    this.#culprits = culprits;
    this.publisher = publisher;
    this.announcements = announcements;
    this.pool = pool;
    client.ondisconnect = (error) => this.#lose(error ?? new Error("the broker closed it"));
    client.onDead = () => this.#lose(new Error("the connection is closed"));
    client.onblocked = (reason) => this.onBlocked(reason);
    client.onunblocked = () => {
      this.onBlocked(undefined);
      publisher.resume();
    };
    publisher.onLost = announcements.onLost = (reason) => {
      this.#lose(new Error(reason));
      client.destroy();
    };
  }

  /**
   * Connects to an endpoint. Rejects with a ChannelConnectionError, after `timeout` ms at the latest, or when `signal`
   * is aborted.
   */
  static async connect(
    options: SessionOptions,
    endpoint: Endpoint,
    timeout: number,
    signal: AbortSignal,
  ): Promise<Session> {
    const client = new Client(options.uri, endpoint, options.tls);
    let cancel: (error: Error) => void;
    const cancelled = new Promise<never>((_, reject) => cancel = reject);
    const timer = setTimeout(() => cancel(new Error(`no answer within ${timeout} ms`)), timeout);
    timer.unref(); // while an operation waits, the socket keeps the process alive
    const onAbort = () => cancel(signal.reason);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    options.processRef.use(client);
    try {
      return await Promise.race([Session.#open(options, client), cancelled]);
    } catch (error) {
      client.destroy();
      throw connectFailure(error, options.uri, endpoint);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  static async #open(options: SessionOptions, client: Client): Promise<Session> {
    let lost: Error | undefined;
    client.ondisconnect = (error) => lost = error ?? new Error("the broker closed the connection");
    await client.connect();
    const { channelMax } = client;
    if (channelMax > 0 && channelMax < leastChannels) {
      throw tooFewChannels(channelMax, options.uri);
    }
    client.isCounted = options.channelLimit.channels < Infinity;
    const pool = new ChannelPool(client, options.channelLimit);
    const [publisher, announcements] = await Promise.all([
      Publisher.open(client),
      client.channel().then((channel) => AnnouncementQueue.open(channel, options.idPrefix)),
      pool.open(),
    ]);
    if (lost !== undefined) throw lost;
    return new Session(options, client, publisher, announcements, pool);
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  /** Why the connection was lost. */
  get loss(): Error | undefined {
    return this.#loss;
  }

  /** Why the broker takes no messages; undefined if it takes them. */
  get blocked(): string | undefined {
    return this.#client.blocked;
  }

  /** Returns a new id for an announcement of this process. */
  nextId(): string {
    return this.#idPrefix + nextMessageId();
  }

  /** Calls `listener` once, when the connection is lost. */
  onLost(listener: () => void): void {
    this.#onLost.add(listener);
  }

  offLost(listener: () => void): void {
    this.#onLost.delete(listener);
  }

  /** The error that says that the connection was lost, and why. */
  get lossError(): ChannelConnectionError {
    return lostConnection(this.address, this.#loss);
  }

  /** Milliseconds since it was opened. */
  get age(): number {
    return performance.now() - this.#openedAt;
  }

  /**
   * Does the work of an operation that the caller repeats if the connection is lost meanwhile. Rejects with a
   * RepeatedLossError if the operation was found to be the cause of the losses.
   */
  run<T>(operation: BrokerOperation, work: () => Promise<T>): Promise<T> {
    return this.#culprits.run(operation, this, work);
  }

  /** Runs `use` on an AMQP channel that has no other user. */
  administer<T>(use: (channel: AMQPChannel, pooled: PooledChannel) => Promise<T>): Promise<T> {
    return this.pool.with(use);
  }

  /** Closes the connection: tells the broker, and waits a second at most for its answer. Never rejects. */
  async close(): Promise<void> {
    if (this.isLost) return;
    this.#lose(new Error("it was closed here"));
    this.#client.ref();
    const { socket } = this.#client;
    const closed = this.#client.close().catch(() => {}); // never settles if the socket ends first
    const ended = new Promise<void>((resolve) => socket?.once("close", () => resolve()));
    await within(closeTimeout, Promise.race([closed, ended]));
    this.#client.destroy();
  }

  #lose(error: Error): void {
    if (this.#loss !== undefined) return;
    this.#loss = error;
    // If the broker allows fewer AMQP channels, no operation is the cause: the next session opens fewer.
    const isError = blamesConnection(error) &&
      !(hasTooManyChannels(error) && this.pool.refused());
    if (isError && !this.#culprits.isBusy) this.publisher.suspectUnconfirmed(error);
    this.#culprits.lost(error, isError);
    for (const listener of [...this.#onLost]) listener();
    this.#onLost.clear();
    this.pool.wake();
  }
}
