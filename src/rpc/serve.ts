// Invariants: a request is received only when a handler is free for it. It is accepted when its reply is put, or when the
// requester no longer waits. If this process dies before, another server receives the request.

import type { Delivery } from "../handle/delivery.ts";
import { isDeadLetterError } from "../handle/dead_letters.ts";
import { handleOf } from "../handle/handle.ts";
import { type Receiver, receiverRule } from "../handle/sender_receiver.ts";
import { errorOfAction } from "../shared/error_copies.ts";
import { ChannelClosedError, ChannelDecodeError, ChannelReferenceError } from "../shared/errors.ts";
import { KeepAlive } from "../shared/keep_alive.ts";
import {
  abortSignal,
  callable,
  checkArgument,
  integer,
  milliseconds,
  none,
  oneOf,
  type Rules,
  Signature,
  truth,
} from "../shared/options.ts";
import { type Handler, Server, type ServerOptions } from "./server.ts";

/** The options of {@linkcode serve}. */
export interface ServeOptions<T = unknown> {
  /** The number of requests that are handled at a time; default 1. Other requests wait in the channel, for any server. */
  readonly concurrency?: number;
  /** Ends the serving: no more requests are received, and `grace` begins. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds, default 10,000, that handlers and replies have to finish when the serving ends, by `signal` or because
   * the channel is closed. Afterwards the handlers' signals are aborted, and `serve` resolves within a second; requests
   * without a reply are released, for another server. If a handler ignores its signal, its result is dropped.
   */
  readonly grace?: number;
  /**
   * Milliseconds, default 10,000, for which the put of a reply is tried. While a reply waits for room in its channel,
   * other requests are handled.
   */
  readonly replyTimeout?: number;
  /**
   * The channels that may be used for replies. `"same-broker"`, the default, allows channels that exist, on the connection
   * of the request. `"any"` also allows channels of other brokers that this process has configured, and named channels
   * that do not exist, which are created. `channel` itself and its dead-letter queue are never allowed.
   */
  readonly replyTo?: "same-broker" | "any";
  /** Whether errors are sent with their `stack`, which names files of this machine; default false. */
  readonly stacks?: boolean;
  /**
   * Called for each request that cannot be answered, and for each message that is not a request; not for a request whose
   * requester no longer waits, nor for an error that the handler throws. If it throws or rejects, the connection's
   * logger is called. Without this option, the logger is called instead of it.
   *
   * @param error the reason: for example a ChannelTimeoutError if the reply channel is full, a ChannelReferenceError
   * if it may not be used, a ChannelDecodeError for a message that cannot be decoded
   * @param request the value of the request; undefined if the message is not a request
   */
  readonly onerror?: (error: unknown, request: T | undefined) => void | Promise<void>;
}

const serveSignature: Signature = /* @__PURE__ */ new Signature(
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

/** The second argument of a handler. */
export interface RequestContext {
  /** Aborted when the requester no longer waits for the reply, or when the serving has ended and `grace` is over. */
  readonly signal: AbortSignal;
}

/**
 * Answers the requests that {@linkcode Channel.request} puts into a channel, in any process. The reply is the value that
 * the handler returns, or the error that it throws. Several servers share the requests of a channel.
 *
 * A request is handled at least once: if a server dies, another one receives its requests; with `maxAttempts`, a
 * request becomes a dead letter after as many deliveries. A message that is not a request, and a request
 * whose reply channel may not be used, is not handled: it becomes a dead letter with `maxAttempts`, and is dropped without.
 *
 * A request is accepted when its reply is put, when the requester no longer waits, or when the reply could not be put
 * within `replyTimeout`. In the last case `onerror` is called, and the handler is not run again for the request.
 *
 * The promise resolves when the channel or its handle is closed, or the signal is aborted, and the open requests are
 * answered or have had their `grace`. No message can end the serving.
 *
 * @param channel the channel of the requests, a Channel or a ReceiveChannel; it is not closed
 * @param handler returns the reply; it closes the channels that it receives inside a request
 * @throws {ChannelConfigError} for an invalid option
 * @throws {ChannelConnectionError} if the broker is unreachable for the `retryTimeout` of the channel
 *
 * @example
 * ```ts
 * import { Channel, serve } from "@channelts/channel";
 * import { equal, rejects } from "node:assert/strict";
 *
 * await using ch = new Channel<string>();
 * const stop = new AbortController();
 * const serving = serve(ch, async (url, { signal }) => {
 *   signal.throwIfAborted(); // pass the signal to slow calls, such as fetch
 *   if (!url.startsWith("https:")) throw new RangeError(`not an https URL: ${url}`);
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
  checkArgument("serve", "channel", receiverRule, channel);
  checkArgument("serve", "handler", callable, handler);
  const { concurrency = 1, signal, grace = defaultGrace } = options;
  const handle = handleOf(channel)!;
  const server = new Server(handle, handler as Handler, options as ServerOptions);
  // The end of the serving ends the wait for a handler, which may never return.
  const stop = () => server.handling.stop();
  handle.onClosed.add(stop);
  signal?.addEventListener("abort", stop);
  // A handler may wait for something that keeps no process alive, such as its signal.
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

/** Milliseconds. */
const defaultGrace = 10_000;

/** Receives the next message; returns undefined when the serving ends. */
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
      const concernsOneMessage = error instanceof ChannelDecodeError ||
        error instanceof ChannelReferenceError || isDeadLetterError(error);
      if (!concernsOneMessage) throw errorOfAction("serve", error);
      server.tell(error, undefined);
    }
  }
}
