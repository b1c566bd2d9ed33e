import type { AMQPChannel } from "@cloudamqp/amqp-client";
import { accessRefused } from "../connection/refusal.ts";
import { replyCode, wordsOf } from "../failure.ts";
import { type InspectingClient, inTime } from "./inspecting_client.ts";

/** A permission of a user: one of the three patterns must match the name. */
export type Verb = "configure" | "write" | "read";

/** Whether the user has a permission, or why that is not known. */
export type Answer = "granted" | "denied" | { readonly unknown: string };

/**
 * Asks a broker questions that change nothing. RabbitMQ checks permissions first, so each question is a request that
 * the broker refuses for another reason, or that has no effect, if the user has the permission.
 */
export class Probes {
  readonly #client: InspectingClient;
  readonly #timeout: number;
  readonly #signal: AbortSignal;
  readonly #isBlocked: boolean;
  /** The exclusive queue of this connection, which ends with it. */
  ownQueue: string | undefined;

  /** @param isBlocked whether the broker accepts no messages, so that a connection that publishes gets no answers */
  constructor(
    client: InspectingClient,
    timeout: number,
    signal: AbortSignal,
    isBlocked: boolean = false,
  ) {
    this.#isBlocked = isBlocked;
    this.#client = client;
    this.#timeout = timeout;
    this.#signal = signal;
  }

  /** Runs `use` on an AMQP channel of its own, which a refusal closes. */
  async with<T>(use: (channel: AMQPChannel) => Promise<T>): Promise<T> {
    const run = async () => {
      const channel = await this.#client.channel();
      channel.onerror = () => {}; // the request rejects, too
      channel.onReturn = () => {};
      try {
        return await use(channel);
      } finally {
        if (!channel.closed) await channel.close();
      }
    };
    return await inTime(this.#timeout, this.#signal, this.#client, run());
  }

  /** Asks whether the user may configure a queue or an exchange: declares a queue with an argument that none has. */
  configure(name: string): Promise<Answer> {
    return this.#ask("queue", (channel) => channel.queueDeclare(name, { durable: true }, guard));
  }

  /** Asks whether the user may write to a queue: removes a binding that there is not. */
  write(name: string): Promise<Answer> {
    return this.#ask("queue", (channel) => channel.queueUnbind(name, "amq.direct", absent));
  }

  /** Asks whether the user may read an exchange or a queue: removes a binding that there is not. */
  async read(name: string): Promise<Answer> {
    const { ownQueue } = this;
    if (ownQueue === undefined) return { unknown: "this connection has no queue to ask with" };
    return await this.#ask("exchange", (channel) => channel.queueUnbind(ownQueue, name, absent));
  }

  /** Asks whether the user may write to an exchange: publishes a message that goes to no queue. */
  async publish(exchange: string): Promise<Answer> {
    if (this.#isBlocked) return { unknown: "the broker accepts no messages now" };
    return await this.#ask("exchange", async (channel) => {
      await channel.confirmSelect();
      await channel.basicPublish(exchange, absent, "", {}, true);
    });
  }

  /** @param kind what the broker names if it denies the request */
  async #ask(
    kind: "queue" | "exchange",
    request: (channel: AMQPChannel) => Promise<unknown>,
  ): Promise<Answer> {
    try {
      await this.with(request);
      return "granted";
    } catch (error) {
      this.#signal.throwIfAborted();
      const code = replyCode(error);
      if (this.#client.closed || code === undefined) throw error;
      const words = wordsOf(error);
      if (code === accessRefused) {
        return words.includes(`access to ${kind} '`) ? "denied" : { unknown: words };
      }
      // RabbitMQ refuses a limit with the code of a wrong argument, after the permission.
      return code < 500 ? "granted" : { unknown: words };
    }
  }
}

/** A valid name of a binding or queue that nobody has. */
const absent = "channelts.doctor.absent";

/**
 * An argument that no queue can be declared with: a declaration with it creates nothing. RabbitMQ compares the arguments
 * of an existing queue first, and this one only for streams.
 */
export const guard: Readonly<Record<string, string>> = { "x-max-age": "none" };
