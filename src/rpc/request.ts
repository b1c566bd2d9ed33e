// Invariants: a requester reads its reply channel only while requests wait for replies, so that an idle one keeps no
// process alive. A request is settled once. Closing the handle closes the reply channel, which is deleted.

import { type Handle, handleOf } from "../handle/handle.ts";
import type { Operation, OperationOptions } from "../handle/operation.ts";
import { renameAction, renameChannel } from "../shared/error_copies.ts";
import { ChannelDecodeError, ChannelError, ChannelReferenceError } from "../shared/errors.ts";
import { withValue } from "../shared/put_errors.ts";
import { closeTimeout, within } from "../shared/timeouts.ts";
import {
  type Outcome,
  readBegun,
  readPlainReply,
  readReply,
  writeRequesterEvent,
} from "./protocol.ts";
import { hasStack } from "./remote_error.ts";

/** An anonymous channel for replies, as the requester that made it uses it. */
export interface RequesterChannel extends AsyncDisposable {
  readonly name: string;
  readonly closed: boolean;
  get(options: OperationOptions): Promise<unknown>;
}

/** Makes the requests of one handle. */
export class Requester {
  readonly #handle: Handle;
  readonly #open: () => RequesterChannel;
  #replies: Replies | undefined;
  /** Functions that dismiss the channels for one reply each, and the retired reply channels. */
  readonly #dismissals = new Set<() => Promise<void>>();
  #lastId = 0;

  /** @param open makes a reply channel */
  constructor(handle: Handle, open: () => RequesterChannel) {
    this.#handle = handle;
    this.#open = open;
    handle.onClosed.add(() => this.#close());
  }

  /** @param owner an object that must not be garbage collected while the request waits */
  request(owner: object, value: unknown, options: OperationOptions): Promise<unknown> {
    let request: Operation<unknown>;
    try {
      this.#handle.check("request", options);
      request = this.#handle.begin("request", owner, options);
    } catch (error) {
      return Promise.reject(error);
    }
    const givingUp = new AbortController();
    request.onGiveUp = () => givingUp.abort();
    if (this.#handle.encoding === "json") {
      this.#requestPlainly(owner, value, request, givingUp.signal);
    } else this.#requestById(owner, value, request, givingUp.signal);
    return request.promise;
  }

  /** Makes a request with an id; the reply comes by the reply channel that all requests share. */
  #requestById(owner: object, value: unknown, request: Operation<unknown>, gaveUp: AbortSignal) {
    if (this.#replies === undefined || this.#replies.channel.closed) {
      this.#replies = this.#newReplies();
    }
    const replies = this.#replies;
    const id = ++this.#lastId;
    const { channel } = replies;
    const message = { id, value, reply_to: channel };
    this.#handle.puts.put(owner, message, { signal: gaveUp }).catch((error) =>
      rejectByPut(request, error, message)
    );
    replies.expect(id, request, gaveUp);
  }

  /** A function of its own: a closure that is made beside a request would keep the request and its channel alive. */
  #newReplies(): Replies {
    return new Replies(this.#open(), this.#handle, (replies) => this.#retire(replies));
  }

  /** Makes a request without an id, as ChannelPy does; the reply has a channel of its own. */
  #requestPlainly(owner: object, value: unknown, request: Operation<unknown>, gaveUp: AbortSignal) {
    const channel = this.#open();
    const dismiss = this.#dismissing(() => dismissChannel(channel, gaveUp.aborted));
    const message = { value, reply_to: channel };
    this.#handle.puts.put(owner, message, { signal: gaveUp }).catch((error) =>
      rejectByPut(request, error, message)
    );
    const fail = (error: unknown) =>
      request.reject(renameChannel(channel.name, this.#handle.name, error));
    queueMicrotask(() => request.settled || readPlainReplyFrom(channel, request, gaveUp, fail));
    request.whenSettled(() => void dismiss());
  }

  /**
   * Deletes a reply channel whose requests have all been given up. A handler that begins one of them later finds the
   * channel missing: a requester that reads no replies does not receive the question whether it waits.
   */
  #retire(replies: Replies): void {
    if (this.#replies === replies) this.#replies = undefined;
    this.#dismissing(() => dismissChannel(replies.channel, true))();
  }

  /** Returns a function that dismisses a channel once; closing the handle calls it at the latest. */
  #dismissing(dismiss: () => Promise<void>): () => Promise<void> {
    let dismissed: Promise<void> | undefined;
    const once = () => dismissed ??= dismiss().finally(() => this.#dismissals.delete(once));
    this.#dismissals.add(once);
    return once;
  }

  async #close(): Promise<void> {
    await Promise.all([
      this.#replies && dismissChannel(this.#replies.channel, this.#replies.mayBeHandled),
      ...[...this.#dismissals].map((dismiss) => dismiss()),
    ]);
  }
}

/** The replies that come by the channel that the requests of a requester share. */
class Replies {
  readonly channel: RequesterChannel;
  /** Whether a handler may still work on a request of the handle, which is closed. */
  mayBeHandled = false;
  readonly #requester: Handle;
  readonly #handle: Handle;
  readonly #waiting = new Map<number, Operation<unknown>>();
  /** The ids of the latest requests that were given up, and that a handler may still work on. */
  readonly #givenUp = new Set<number>();
  readonly #retire: (replies: Replies) => void;
  #reading: AbortController | undefined;

  /**
   * @param requester the handle that makes the requests
   * @param retire called when no request waits, and a handler may work on one that was given up
   */
  constructor(channel: RequesterChannel, requester: Handle, retire: (replies: Replies) => void) {
    this.channel = channel;
    this.#requester = requester;
    this.#handle = handleOf(channel)!;
    this.#retire = retire;
  }

  expect(id: number, request: Operation<unknown>, gaveUp: AbortSignal): void {
    this.#waiting.set(id, request);
    gaveUp.addEventListener("abort", () => {
      this.#waiting.delete(id);
      if (this.#requester.closed) this.mayBeHandled = true; // dismissing the channel tells the handler
      else this.#noteGivenUp(id);
      this.#stopIfIdle();
    });
    request.whenSettled((failure) => failure && this.#forget(id)); // for example, its put has failed
    // In the next microtask: a request that cannot be put has settled by then, and opens no reply channel.
    queueMicrotask(() => {
      if (request.settled || this.#reading !== undefined) return;
      this.#reading = new AbortController();
      this.#read(this.#reading.signal);
    });
  }

  #forget(id: number): void {
    this.#waiting.delete(id);
    this.#stopIfIdle();
  }

  #noteGivenUp(id: number): void {
    this.#givenUp.add(id);
    if (this.#givenUp.size > mostGivenUp) {
      for (const oldest of this.#givenUp) {
        this.#givenUp.delete(oldest);
        break;
      }
    }
    // With no request waiting, the channel is retired, which cancels all.
    if (this.#waiting.size > 0) this.#cancel(id);
  }

  /** Stops reading when no request waits. */
  #stopIfIdle(): void {
    if (this.#waiting.size > 0) return;
    this.#reading?.abort(idle);
    this.#reading = undefined;
    if (this.#givenUp.size === 0 || this.#requester.closed) return;
    this.#givenUp.clear(); // retiring the channel cancels all
    this.#retire(this);
  }

  /** Announces to the handler of a request, if there is one, that the requester no longer waits. */
  #cancel(id: number): void {
    if (!this.#handle.isAttached) return;
    this.#handle.announce(this.channel, writeRequesterEvent({ cancel: id })).catch((error) =>
      this.#handle.report(`request: a handler could not be cancelled: ${error.message}`)
    );
  }

  async #read(stopped: AbortSignal): Promise<void> {
    try {
      while (!stopped.aborted) this.#arrived(await nextReadable(this.channel, stopped));
    } catch (error) {
      if (stopped.aborted) return; // by the signal; or reading has begun anew, for other requests
      this.#reading = undefined;
      const waiting = [...this.#waiting.values()];
      this.#waiting.clear();
      for (const request of waiting) request.reject(this.#failure(error));
    }
  }

  /** Returns the error for a requester, which knows its own channel and not the reply channel. */
  #failure(error: unknown): unknown {
    return renameChannel(this.#handle.name, this.#requester.name, error);
  }

  /** A message that no request waits for is dropped: it is late, a duplicate, or no reply. */
  #arrived(message: unknown): void {
    const begun = readBegun(message);
    // Answered once for each request that was given up, so that a flood of questions causes no announcements.
    if (begun !== undefined && this.#givenUp.delete(begun)) return this.#cancel(begun);
    const reply = readReply(message);
    if (reply === undefined) return;
    this.#givenUp.delete(reply.id);
    const request = this.#waiting.get(reply.id);
    if (request === undefined) return;
    this.#forget(reply.id);
    settle(request, reply.outcome);
  }
}

/** The number of ids of given-up requests that are kept. */
const mostGivenUp = 1000;

/** A reason without a stack, because one is used for each request that is made alone. */
const idle = "no request waits for a reply";

/** Deletes a reply channel. Never rejects. @param mayBeHandled whether a handler may still work on a request */
async function dismissChannel(channel: RequesterChannel, mayBeHandled: boolean): Promise<void> {
  const handle = handleOf(channel)!;
  if (mayBeHandled && handle.isAttached) {
    const announcing = handle.announce(channel, writeRequesterEvent({ gone: true })).catch(
      (error) => handle.report(`request: the handlers could not be cancelled: ${error.message}`),
    );
    await within(closeTimeout / 2, announcing);
  }
  await channel[Symbol.asyncDispose]();
}

/** Gets the next value that can be decoded; others are no replies. */
async function nextReadable(channel: RequesterChannel, signal: AbortSignal): Promise<unknown> {
  for (;;) {
    try {
      return await channel.get({ signal });
    } catch (error) {
      const isUnreadable = error instanceof ChannelDecodeError ||
        error instanceof ChannelReferenceError;
      if (!isUnreadable) throw error;
    }
  }
}

function readPlainReplyFrom(
  channel: RequesterChannel,
  request: Operation<unknown>,
  gaveUp: AbortSignal,
  fail: (error: unknown) => void,
): void {
  nextReadable(channel, gaveUp).then((reply) => settle(request, readPlainReply(reply)), fail);
}

function settle(request: Operation<unknown>, outcome: Outcome): void {
  if ("value" in outcome) request.resolve(outcome.value);
  else if (hasStack(outcome.error)) request.reject(outcome.error);
  else request.rejectAtCaller(outcome.error);
}

/** Rejects a request whose put has failed. The error carries the caller's value, not the message around it. */
function rejectByPut(
  request: Operation<unknown>,
  error: unknown,
  message: { readonly value: unknown },
): void {
  const isOurs = (error as { value?: unknown } | null | undefined)?.value === message;
  if (!isOurs) return request.reject(error, false);
  const named = withValue(renameAction("request", error), message.value);
  if (named instanceof ChannelError) request.rejectAtCaller(named);
  else request.reject(named, false);
}
