// Invariants: a request is received only when a handler is free for it. It is accepted when its reply
// is confirmed, or nobody wants one: until then a death of this process gives it to another.

import { Delivery } from "../handle/delivery.ts";
import { directionOf, isChannelValue } from "../handle/channel_registry.ts";
import type { Receiver } from "../handle/sender_receiver.ts";
import { readRequest, type Request, writeError, writeReply } from "./protocol.ts";
import { shortened, writeBriefly, writeFailure } from "./remote_error.ts";
import { type Handle, handleOf, isDeadLetterError } from "../handle/handle.ts";
import { errorOfAction } from "../shared/error_copies.ts";
import {
  ChannelClosedError,
  ChannelDecodeError,
  ChannelError,
  ChannelReferenceError,
  ChannelSizeError,
} from "../shared/errors.ts";
import { closeTimeout, within } from "../shared/timeouts.ts";
import { KeepAlive } from "../shared/keep_alive.ts";
import { longestTimer } from "../shared/timers.ts";
import { isAnonymous } from "../shared/names.ts";
import {
  abortSignal,
  callable,
  checkArgument,
  integer,
  milliseconds,
  none,
  oneOf,
  type Rule,
  type Rules,
  Signature,
  truth,
} from "../shared/options.ts";
import { type Draft, type Job, Outlets, type Reply } from "./reply_channels.ts";

/** What `serve` takes beside the channel and the handler. */
export interface ServeOptions<T = unknown> {
  /** How many requests are handled at a time, default 1; more wait in the channel, for any server. */
  readonly concurrency?: number;
  /** Ends the serving: no more requests are received, and what has begun has `grace` to end. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds, default 10,000, that handlers and replies may take when the serving ends, by `signal` or
   * because the channel is closed. Then the handlers' signals are aborted, and a second later at most
   * `serve` resolves: what is not answered is given back, for another server. A handler that ignores its
   * signal goes on, and what it returns is dropped.
   */
  readonly grace?: number;
  /**
   * Milliseconds, default 10,000, for which a reply is tried. A reply that waits for room in its channel
   * keeps no other request from being handled.
   */
  readonly replyTimeout?: number;
  /**
   * Where replies may go. `"same-broker"`, the default: to channels that exist, on the connection that
   * brought the request. `"any"`: also to channels of other brokers that this process has configured, and
   * to named channels that are missing, which are created. Never to `channel` itself or its dead letters.
   */
  readonly replyTo?: "same-broker" | "any";
  /** Whether errors are sent with their `stack`, which names files of this machine; default false. */
  readonly stacks?: boolean;
  /**
   * Told of each request that cannot be answered, and of each message that is no request. What it throws,
   * or rejects with, is told to the connection's logger. Absent: the logger is told of all.
   *
   * It is not told of a request whose requester has gone, nor of what the handler throws.
   *
   * @param error why: such as a ChannelTimeoutError where the reply's channel is full, a ChannelReferenceError
   * where it may not be used, a ChannelDecodeError where a message cannot be decoded
   * @param request what was asked; undefined where the message is no request
   */
  readonly onerror?: (error: unknown, request: T | undefined) => void | Promise<void>;
}

const serveSignature: Signature = new Signature(
  "serve",
  3,
  {
    concurrency: integer(1),
    signal: abortSignal,
    grace: milliseconds(),
    replyTimeout: milliseconds(),
    replyTo: oneOf("same-broker", "any"),
    stacks: truth,
    onerror: callable,
  } satisfies Rules<ServeOptions>,
  "serve(channel, handler, { concurrency: 10 })",
);

const servedChannel: Rule = {
  takes: "a Channel or a ReceiveChannel",
  allows: (value) => isChannelValue(value) && directionOf(value) !== "send",
};

/** What a handler is told beside the request's value. */
export interface RequestContext {
  /** Aborted when nobody waits for the reply any more, or when the serving ends and `grace` is over. */
  readonly signal: AbortSignal;
}

/**
 * Answers the requests that are put into a channel with {@linkcode Channel.request}, in any process:
 * with what the handler returns, or the error that it throws. Several servers share a channel's
 * requests. A request whose server dies is given to another, so that it may be handled twice; with
 * `maxAttempts` it is a dead letter after so many. What is no request, or asks for a reply to a channel that may
 * not be used, is not handled: it is dropped, or a dead letter where there are such.
 *
 * A request is settled once: it is accepted when its reply is put, when nobody waits for it any more, or when
 * the reply could not be put within `replyTimeout`. In the last case its handler has run, and is not run again
 * for a reply that nobody can take; `onerror` is told.
 *
 * Resolves when the channel is closed, for everyone or this handle, or the signal is aborted, and what
 * had begun is answered, or has had its `grace`. No message ends it.
 *
 * @param channel where requests come from; it is not closed
 * @param handler makes the reply; a channel that it is sent is its own to close
 * @throws {ChannelConfigError} for an option that cannot be used
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
  channel: Receiver<T>,
  handler: (value: T, context: RequestContext) => R | Promise<R>,
  options: ServeOptions<T> = none,
): Promise<void> {
  serveSignature.check(options, arguments.length);
  checkArgument("serve", "channel", servedChannel, channel);
  checkArgument("serve", "handler", callable, handler);
  const { concurrency = 1, signal, grace = defaultGrace } = options;
  const handle = handleOf(channel)!;
  const server = new Server(handle, handler as Handler, options as ServeOptions);
  // What ends the serving ends the waiting for a handler that may never end.
  const stop = () => server.handling.stop();
  handle.onClosed.add(stop);
  signal?.addEventListener("abort", stop);
  // A handler may wait for what keeps no process alive, such as its signal.
  const keepAlive = new KeepAlive();
  keepAlive.set(true);
  try {
    for (let delivery; (delivery = await next(channel, server, signal)) !== undefined;) {
      server.begin(delivery);
      await server.handling.below(concurrency);
    }
  } finally {
    handle.onClosed.delete(stop);
    signal?.removeEventListener("abort", stop);
    await server.end(grace);
    keepAlive.set(false);
  }
}

type Handler = (value: unknown, context: RequestContext) => unknown;

const defaultGrace = 10_000;
const defaultReplyTimeout = 10_000;

/** The next message; undefined where there will be none. */
async function next(
  channel: Receiver<unknown>,
  server: Server,
  signal: AbortSignal | undefined,
): Promise<Delivery<unknown> | undefined> {
  while (!signal?.aborted) {
    try {
      return await channel.receive(signal === undefined ? {} : { signal });
    } catch (error) {
      if (signal?.aborted || error instanceof ChannelClosedError) return undefined;
      const isOfOne = error instanceof ChannelDecodeError ||
        error instanceof ChannelReferenceError || isDeadLetterError(error);
      if (!isOfOne) throw errorOfAction("serve", error);
      server.tell(error, undefined);
    }
  }
}

/** What is under way, of which one may wait for the end; Promise.race would leave a trace in each at each call. */
class Load {
  #size = 0;
  #onLess = () => {};
  #isStopped = false;

  add(): void {
    this.#size++;
  }

  done(): void {
    this.#size--;
    this.#onLess();
  }

  /** Nobody is to wait any more. */
  stop(): void {
    this.#isStopped = true;
    this.#onLess();
  }

  async below(limit: number): Promise<void> {
    while (this.#size >= limit && !this.#isStopped) {
      await new Promise<void>((resolve) => this.#onLess = resolve);
    }
  }
}

/**
 * Invariants: a request is in `#unsettled` from its receipt until it is accepted, given back or refused. It
 * counts as handled until its reply is put or waits for room.
 */
class Server {
  /** The requests that take a place among those that are handled at a time. */
  readonly handling: Load = new Load();
  readonly #all = new Load();
  readonly #unsettled = new Map<Delivery<unknown>, Job | undefined>();
  readonly #handle: Handle;
  readonly #handler: Handler;
  readonly #options: ServeOptions;
  readonly #outlets: Outlets;

  constructor(handle: Handle, handler: Handler, options: ServeOptions) {
    const { stacks = false, replyTo, replyTimeout: timeout = defaultReplyTimeout } = options;
    this.#handle = handle;
    this.#handler = handler;
    this.#options = options;
    this.#outlets = new Outlets({ stacks, timeout, create: replyTo === "any" });
  }

  begin(delivery: Delivery<unknown>): void {
    this.handling.add();
    this.#all.add();
    this.#unsettled.set(delivery, undefined);
    this.#serve(delivery);
  }

  /** Ends what has begun, and has had its time. Bounded. */
  async end(grace: number): Promise<void> {
    const ended = this.#all.below(1);
    await (grace === Infinity ? ended : within(Math.min(grace, longestTimer), ended));
    if (this.#unsettled.size > 0) {
      const reason = new DOMException("the serving has ended", "AbortError");
      for (const [delivery, job] of this.#unsettled) {
        delivery.release();
        job?.abort(reason);
      }
      await within(closeTimeout, ended);
    }
    await this.#outlets.close();
  }

  /** Tells of what no requester is told. */
  tell(error: unknown, request: unknown): void {
    const { onerror } = this.#options;
    if (onerror !== undefined) {
      (async () => await onerror(error, request))().catch((thrown) =>
        this.#report("its onerror failed", thrown)
      );
    } else if (!isDeadLetterError(error)) this.#report("a message was not answered", error);
  }

  #report(what: string, error: unknown): void {
    const { name, message } = writeBriefly(error);
    this.#handle.report(`serve: channel ${this.#handle.title}: ${what}: ${name}: ${message}`);
  }

  #settle(delivery: Delivery<unknown>): void {
    this.#unsettled.get(delivery)?.end();
    this.#unsettled.delete(delivery);
    delivery.accept(); // unless it was refused, or given back
    this.#all.done();
  }

  async #serve(delivery: Delivery<unknown>): Promise<void> {
    let waiting: Promise<void> | undefined;
    try {
      ({ waiting } = await this.#answer(delivery));
    } catch (error) {
      this.tell(error, undefined); // of which nothing is known
    }
    this.handling.done();
    if (waiting !== undefined) await waiting;
    this.#settle(delivery);
  }

  /** Resolves when another may be handled. A reply that waits never rejects. */
  async #answer(delivery: Delivery<unknown>): Promise<Reply> {
    const request = readRequest(delivery.value);
    const refusal = this.#refusal(request);
    if (request === undefined || refusal !== undefined) {
      Delivery.refuse(delivery, refusal!.message);
      this.tell(refusal, request?.value);
      return {};
    }
    const job = this.#outlets.begin(request);
    this.#unsettled.set(delivery, job);
    const drafts = await this.#handleRequest(request, job);
    const failed = (error: unknown) => this.#onUnanswered(error, request, job);
    if (job.signal.aborted) {
      failed(job.refusal);
      return {};
    }
    try {
      const { waiting } = await job.reply(drafts);
      return waiting === undefined ? {} : { waiting: waiting.catch(failed) };
    } catch (error) {
      failed(error);
      return {};
    }
  }

  /** Why a message is not handled; undefined where it is. */
  #refusal(request: Request | undefined): ChannelError | undefined {
    const { title, name, connection } = this.#handle;
    if (request === undefined) {
      return new ChannelError(`serve: channel ${title}: a message is no request`);
    }
    const { replyTo } = request;
    const isOurs = replyTo.name === name || replyTo.name === `${name}.dead-letters`;
    if (replyTo.connection === connection && isOurs) {
      return new ChannelReferenceError(
        `serve: channel ${title}: a request names ${replyTo.name} for its reply, which would come back`,
      );
    }
    if (replyTo.connection === connection || this.#options.replyTo === "any") return undefined;
    return new ChannelReferenceError(
      `serve: channel ${title}: a request names ${replyTo.title} for its reply, on another connection; ` +
        `the option replyTo: "any" allows that`,
    );
  }

  /** The reply could not be put: whoever has gone waits for nothing. */
  #onUnanswered(error: unknown, { value, replyTo }: Request, { signal }: Job): void {
    if (error === undefined || error === signal.reason) return;
    if (error instanceof ChannelClosedError && error.reason !== "drain") {
      if (error.reason !== "missing" || isAnonymous(replyTo.name)) return;
    }
    this.tell(error, value);
  }

  /** The replies to try. */
  async #handleRequest({ id, value, replyTo }: Request, job: Job): Promise<Draft[]> {
    const { stacks = false } = this.#options;
    const options = { stacks, sizeOf: job.sizeOf };
    try {
      const result = await this.#handler(value, { signal: job.signal });
      const unfit = (cause: unknown) => {
        if (!(cause instanceof ChannelSizeError)) {
          const { message } = writeBriefly(cause);
          return new TypeError(`the handler returned what cannot travel: ${message}`);
        }
        const { size, limit } = cause;
        return new RangeError(
          `the handler returned what is too large: the reply has ${size} bytes, and ${limit} may travel`,
        );
      };
      return [
        () => writeReply(id, result, replyTo),
        (failure) => writeError(id, writeFailure(unfit(failure), options)),
      ];
    } catch (error) {
      return [
        () => writeError(id, writeFailure(error, options)),
        () => writeError(id, writeBriefly(error)),
        () => writeError(id, shortened(writeBriefly(error))),
      ];
    }
  }
}
