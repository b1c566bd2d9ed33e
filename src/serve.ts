// Invariants: a request is received only when a handler is free for it. It is accepted when its reply
// is confirmed, or nobody wants one: until then a death of this process gives it to another.

import type { Channel } from "./channel.ts";
import type { Delivery } from "./delivery.ts";
import type { ReceiveChannel } from "./directions.ts";
import { ChannelClosedError, ChannelDecodeError, ChannelReferenceError } from "./errors.ts";
import { readRequest, type Request, writeFailure, writeReply } from "./exchange.ts";
import { callable, checkArgument, none } from "./options.ts";
import { Outlets } from "./outlets.ts";
import { handleOf } from "./registry.ts";
import * as signatures from "./signatures.ts";

/** What `serve` takes beside the channel and the handler. */
export interface ServeOptions {
  /** How many requests are handled at a time, default 1; more wait in the channel, for any server. */
  readonly concurrency?: number;
  /** Ends the serving, after what has begun. */
  readonly signal?: AbortSignal;
}

/** What a handler is told beside the request's value. */
export interface RequestContext {
  /** Aborted when nobody waits for the reply any more. */
  readonly signal: AbortSignal;
}

/**
 * Answers the requests that are put into a channel with {@linkcode Channel.request}, in any process:
 * with what the handler returns, or the error that it throws. Several servers share a channel's
 * requests. A request whose server dies is given to another, so that it may be handled twice; with
 * `maxAttempts` it is a dead letter after so many. What is no request is dropped, or a dead letter.
 *
 * Resolves when the channel is closed, for everyone or this handle, or the signal is aborted, and what
 * had begun is answered.
 *
 * @param channel where requests come from; it is not closed
 * @param handler makes the reply; a channel that it is sent is its own to close
 * @throws {ChannelConnectionError} if the broker cannot be reached within the channel's `retryTimeout`
 *
 * @example
 * ```ts
 * import { Channel, serve } from "@channelts/channel";
 * import { equal, rejects } from "node:assert/strict";
 *
 * await using ch = new Channel<string>();
 * const stop = new AbortController();
 * const serving = serve(ch, async (url, { signal }) => {
 *   signal.throwIfAborted(); // pass it on to whatever takes long, such as fetch
 *   if (!url.startsWith("https:")) throw new RangeError(`not to be fetched: ${url}`);
 *   return `the page ${url}`;
 * }, { concurrency: 10, signal: stop.signal });
 *
 * equal(await ch.request("https://example.org"), "the page https://example.org");
 * await rejects(ch.request("file:///etc/passwd"), { name: "RangeError" });
 * stop.abort();
 * await serving;
 * ```
 */
export async function serve<T, R>(
  channel: Channel<T> | ReceiveChannel<T>,
  handler: (value: T, context: RequestContext) => R | Promise<R>,
  options: ServeOptions = none,
): Promise<void> {
  signatures.serve.check(options, arguments.length);
  checkArgument("serve", "channel", signatures.servedChannel, channel);
  checkArgument("serve", "handler", callable, handler);
  const { concurrency = 1, signal } = options;
  const server = new Server(channel, handler as Handler);
  const begun = new Load();
  // A handler may wait for what keeps no process alive, such as its signal.
  const alive = setInterval(() => {}, 2 ** 30);
  try {
    for (let delivery; (delivery = await next(channel, signal)) !== undefined;) {
      begun.add(server.serve(delivery));
      await begun.below(concurrency);
    }
  } finally {
    await begun.below(1);
    await server.close();
    clearInterval(alive);
  }
}

type Handler = (value: unknown, context: RequestContext) => unknown;

/** The next message; undefined where there will be none. */
async function next(
  channel: Channel<unknown> | ReceiveChannel<unknown>,
  signal: AbortSignal | undefined,
): Promise<Delivery<unknown> | undefined> {
  while (!signal?.aborted) {
    try {
      return await channel.receive(signal === undefined ? {} : { signal });
    } catch (error) {
      if (signal?.aborted || error instanceof ChannelClosedError) return undefined;
      const isUnreadable = error instanceof ChannelDecodeError ||
        error instanceof ChannelReferenceError;
      if (!isUnreadable) throw error;
    }
  }
}

/** What is under way, of which one may wait for the end; Promise.race would leave a trace in each at each call. */
class Load {
  #size = 0;
  #onLess = () => {};

  /** @param work never rejects */
  add(work: Promise<unknown>): void {
    this.#size++;
    work.then(() => {
      this.#size--;
      this.#onLess();
    });
  }

  async below(limit: number): Promise<void> {
    while (this.#size >= limit) await new Promise<void>((resolve) => this.#onLess = resolve);
  }
}

class Server {
  readonly #handler: Handler;
  readonly #outlets: Outlets;
  readonly #isCounting: boolean;

  constructor(channel: object, handler: Handler) {
    const { options } = handleOf(channel)!;
    this.#handler = handler;
    this.#isCounting = options.maxAttempts !== undefined;
    this.#outlets = new Outlets(options.stacks);
  }

  close(): Promise<void> {
    return this.#outlets.close();
  }

  /** Never rejects. */
  async serve(delivery: Delivery<unknown>): Promise<void> {
    const request = readRequest(delivery.value);
    if (request === undefined) {
      // It goes where nothing is lost, if there is such a place.
      return this.#isCounting ? delivery.release() : delivery.accept();
    }
    const job = this.#outlets.begin(request);
    const replies = await this.#handle(request, job.signal);
    try {
      if (!job.signal.aborted) await job.outlet.put(replies);
      delivery.accept();
    } catch (error) {
      // Where the channel for the reply is gone, so is who asked.
      if (error instanceof ChannelClosedError) delivery.accept();
      else delivery.release();
    } finally {
      job.end();
    }
  }

  /** The replies to try: the first that can travel is sent. */
  async #handle({ id, value, replyTo }: Request, signal: AbortSignal): Promise<unknown[]> {
    try {
      return [
        writeReply(id, await this.#handler(value, { signal }), replyTo),
        writeFailure(id, new TypeError("the handler returned what cannot travel"), false),
      ];
    } catch (error) {
      return [writeFailure(id, error, true), writeFailure(id, error, false)];
    }
  }
}
