import { setTimeout as pause } from "node:timers/promises";
import type { ChannelConnectionError } from "../../errors.ts";
import type { Features, Link, LinkOptions, Reach, Transport } from "../../transport.ts";
import { connectFailure } from "./failure.ts";
import { AmqpLink } from "./link.ts";
import { Session } from "./session.ts";
import { type AmqpUri, parseAmqpUri } from "./uri.ts";

/**
 * Channels on RabbitMQ, or any AMQP 0-9-1 broker with its extensions (confirms, basic.nack, consumer
 * cancel notification). All channels of a process share its one connection.
 */
export class AmqpTransport implements Transport {
  readonly address: string;
  readonly reach: Reach = "network";
  readonly features: Features = { shared: true };
  readonly #uri: AmqpUri;
  #session: Session | undefined;
  #connecting: Promise<Session> | undefined;
  #trouble: Error = noAnswer;
  /** Aborted when nothing needs a connection any more. */
  #atRest = new AbortController();
  #resting: ReturnType<typeof setTimeout> | undefined;

  /** @throws {ChannelConfigError} for a URI that is none */
  constructor(uri: string) {
    this.#uri = parseAmqpUri(uri);
    this.address = this.#uri.address;
  }

  get trouble(): Error | undefined {
    return this.#isConnected ? undefined : this.#trouble;
  }

  get #isConnected(): boolean {
    return this.#session !== undefined && !this.#session.isLost;
  }

  open(name: string, options: LinkOptions): Promise<Link> {
    clearTimeout(this.#resting);
    return AmqpLink.open(name, options, (signal) => this.#connect(options.retryTimeout, signal));
  }

  rest(): void {
    this.#atRest.abort(new Error("nothing is attached"));
    this.#atRest = new AbortController();
    clearTimeout(this.#resting);
    this.#trouble = noAnswer;
    const session = this.#session;
    if (session === undefined || session.isLost) return;
    this.#resting = setTimeout(() => {
      if (this.#session === session) this.#session = undefined;
      session.close();
    }, linger);
  }

  /** The live connection, made anew as often as it takes within `retryTimeout` ms. */
  async #connect(retryTimeout: number, signal: AbortSignal): Promise<Session> {
    signal.throwIfAborted();
    const deadline = performance.now() + retryTimeout;
    for (let attempt = 0;; attempt++) {
      if (this.#isConnected) return this.#session!;
      try {
        return await this.#before(deadline, signal, this.#connecting ??= this.#connectOnce());
      } catch (error) {
        const wait = Math.min(50 * 2 ** attempt, 1000) * (0.5 + Math.random() / 2);
        const isOver = performance.now() + wait > deadline || signal.aborted;
        if (isOver || !(error as ChannelConnectionError).transient) throw error;
        await pause(wait, undefined, { signal });
      }
    }
  }

  async #connectOnce(): Promise<Session> {
    try {
      this.#session = await Session.connect(this.#uri, this.#atRest.signal);
      this.#trouble = new Error("the connection was lost");
      return this.#session;
    } catch (error) {
      this.#trouble = error as Error;
      throw error;
    } finally {
      this.#connecting = undefined;
    }
  }

  /** The attempt's end, which others may share, or this caller's. */
  async #before(
    deadline: number,
    signal: AbortSignal,
    attempt: Promise<Session>,
  ): Promise<Session> {
    const stop = new AbortController();
    const wait = Math.min(Math.max(deadline - performance.now(), leastAttempt), 2 ** 31 - 1);
    const over = pause(wait, undefined, { signal: AbortSignal.any([signal, stop.signal]) })
      .then(() => {
        throw connectFailure(new Error(`no answer within ${Math.round(wait)} ms`), this.#uri);
      });
    try {
      return await Promise.race([attempt, over]);
    } finally {
      over.catch(() => {});
      stop.abort();
    }
  }
}

const noAnswer = new Error("there has been no answer yet");

/** Milliseconds that an attempt is given at least. */
const leastAttempt = 1000;

/**
 * Milliseconds for which a connection outlasts its last use, so that a program that makes one
 * short-lived channel after the other keeps it.
 */
const linger = 20;
