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
  #trouble: Error | undefined;
  /** Aborted when nothing needs a connection any more. */
  #atRest = new AbortController();

  /** @throws {ChannelConfigError} for a URI that is none */
  constructor(uri: string) {
    this.#uri = parseAmqpUri(uri);
    this.address = this.#uri.address;
  }

  get trouble(): Error | undefined {
    return this.#trouble;
  }

  open(name: string, options: LinkOptions): Promise<Link> {
    return AmqpLink.open(name, options, () => this.#connect(options.retryTimeout));
  }

  async rest(): Promise<void> {
    this.#atRest.abort(new Error("nothing is attached"));
    this.#atRest = new AbortController();
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }

  /** The live connection, made anew as often as it takes within `retryTimeout` ms. */
  async #connect(retryTimeout: number): Promise<Session> {
    const deadline = performance.now() + retryTimeout;
    const { signal } = this.#atRest;
    for (let attempt = 0;; attempt++) {
      if (this.#session !== undefined && !this.#session.isLost) return this.#session;
      try {
        return await this.#before(deadline, this.#connecting ??= this.#connectOnce(signal));
      } catch (error) {
        const wait = Math.min(50 * 2 ** attempt, 1000) * (0.5 + Math.random() / 2);
        const isOver = performance.now() + wait > deadline || signal.aborted;
        if (isOver || !(error as ChannelConnectionError).transient) throw error;
        await pause(wait);
      }
    }
  }

  async #connectOnce(signal: AbortSignal): Promise<Session> {
    try {
      this.#session = await Session.connect(this.#uri, signal);
      this.#trouble = undefined;
      return this.#session;
    } catch (error) {
      this.#trouble = error as Error;
      throw error;
    } finally {
      this.#connecting = undefined;
    }
  }

  /** An attempt may outlast a caller's patience; others may share it. */
  async #before(deadline: number, attempt: Promise<Session>): Promise<Session> {
    const stop = new AbortController();
    const wait = Math.min(Math.max(deadline - performance.now(), leastAttempt), 2 ** 31 - 1);
    const over = pause(wait, undefined, { signal: stop.signal }).then(() => {
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

/** Milliseconds that an attempt is given even where `retryTimeout` is 0, as for a get that does not wait. */
const leastAttempt = 1000;
