// Invariants: a requester reads its reply channel while requests wait for replies, and only then: one
// that waits for nothing keeps no process alive. A request is settled once. When the handle is closed,
// so is the reply channel, which its owner deletes.

import { renameAction, renameChannel } from "../shared/error_copies.ts";
import { ChannelDecodeError, ChannelError, ChannelReferenceError } from "../shared/errors.ts";
import { withValue } from "../shared/put_errors.ts";
import { closeTimeout, within } from "../shared/timeouts.ts";
import { type Outcome, readBegun, readPlainReply, readReply, writeNotice } from "./protocol.ts";
import { hasStack } from "./remote_error.ts";
import { type Handle, handleOf } from "../handle/handle.ts";
import type { Operation, OperationOptions } from "../handle/operation.ts";

/** A channel for replies, as its requester uses it. */
export interface ReplyChannel extends AsyncDisposable {
  readonly name: string;
  readonly closed: boolean;
  get(options: OperationOptions): Promise<unknown>;
}

/** Makes the requests of one handle. */
export class Requester {
  readonly #handle: Handle;
  readonly #open: () => ReplyChannel;
  #replies: Replies | undefined;
  /** What disposes of the channels for one reply each, and of those that are retired. */
  readonly #disposals = new Set<() => Promise<void>>();
  #last = 0;

  /** @param open makes a channel for replies */
  constructor(handle: Handle, open: () => ReplyChannel) {
    this.#handle = handle;
    this.#open = open;
    handle.onClosed.add(() => this.#close());
  }

  /** @param owner what must not be collected while the request waits */
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
      this.#requestAlone(owner, value, request, givingUp.signal);
    } else this.#requestById(owner, value, request, givingUp.signal);
    return request.promise;
  }

  #requestById(owner: object, value: unknown, request: Operation<unknown>, gaveUp: AbortSignal) {
    if (this.#replies === undefined || this.#replies.channel.closed) {
      this.#replies = this.#newReplies();
    }
    const replies = this.#replies;
    const id = ++this.#last;
    const { channel } = replies;
    const sent = { id, value, reply_to: channel };
    this.#handle.put(owner, sent, { signal: gaveUp }).catch((error) =>
      rejectByPut(request, error, sent)
    );
    replies.expect(id, request, gaveUp);
  }

  /** Apart, for what a closure shares with others: one made beside a request would hold the request and its channel. */
  #newReplies(): Replies {
    return new Replies(this.#open(), this.#handle, (replies) => this.#retire(replies));
  }

  #requestAlone(owner: object, value: unknown, request: Operation<unknown>, gaveUp: AbortSignal) {
    const reply = this.#open();
    const dispose = this.#disposing(() => dismiss(reply, gaveUp.aborted));
    const sent = { value, reply_to: reply };
    this.#handle.put(owner, sent, { signal: gaveUp }).catch((error) =>
      rejectByPut(request, error, sent)
    );
    const fail = (error: unknown) =>
      request.reject(renameChannel(reply.name, this.#handle.name, error));
    queueMicrotask(() => request.settled || readReplyAlone(reply, request, gaveUp, fail));
    request.whenSettled(() => void dispose());
  }

  /**
   * Nobody waits for what comes from these any more, and some handler may not know it: one that begins later
   * finds that the channel is missing. (A requester that reads nothing would not hear that it has begun.)
   */
  #retire(replies: Replies): void {
    if (this.#replies === replies) this.#replies = undefined;
    this.#disposing(() => dismiss(replies.channel, true))();
  }

  /** Has a channel for replies go with the handle, if it has not gone before. */
  #disposing(dispose: () => Promise<void>): () => Promise<void> {
    let disposed: Promise<void> | undefined;
    const once = () => disposed ??= dispose().finally(() => this.#disposals.delete(once));
    this.#disposals.add(once);
    return once;
  }

  async #close(): Promise<void> {
    await Promise.all([
      this.#replies && dismiss(this.#replies.channel, this.#replies.isAwaited),
      ...[...this.#disposals].map((dispose) => dispose()),
    ]);
  }
}

/** The channel that the replies to a requester's requests share. */
class Replies {
  readonly channel: ReplyChannel;
  /** Whether a handler may be at work for a handle that is closed now. */
  isAwaited = false;
  readonly #requesting: Handle;
  readonly #handle: Handle;
  readonly #waiting = new Map<number, Operation<unknown>>();
  /** Requests that were given up, and may be handled all the same: the latest. */
  readonly #givenUp = new Set<number>();
  readonly #retire: (replies: Replies) => void;
  #reading: AbortController | undefined;

  /**
   * @param requesting the handle that makes the requests
   * @param retire called when nothing is waited for, and some handler may not know it
   */
  constructor(channel: ReplyChannel, requesting: Handle, retire: (replies: Replies) => void) {
    this.channel = channel;
    this.#requesting = requesting;
    this.#handle = handleOf(channel)!;
    this.#retire = retire;
  }

  expect(id: number, request: Operation<unknown>, gaveUp: AbortSignal): void {
    this.#waiting.set(id, request);
    gaveUp.addEventListener("abort", () => {
      this.#waiting.delete(id);
      if (this.#requesting.closed) this.isAwaited = true; // told as the channel is dismissed
      else this.#noteGivenUp(id);
      this.#rest();
    });
    request.whenSettled((failure) => failure && this.#forget(id)); // its put has failed, for one
    // Nothing is opened for what cannot be put, which is known by then.
    queueMicrotask(() => {
      if (request.settled || this.#reading !== undefined) return;
      this.#reading = new AbortController();
      this.#read(this.#reading.signal);
    });
  }

  #forget(id: number): void {
    this.#waiting.delete(id);
    this.#rest();
  }

  #noteGivenUp(id: number): void {
    this.#givenUp.add(id);
    if (this.#givenUp.size > mostGivenUp) {
      for (const oldest of this.#givenUp) {
        this.#givenUp.delete(oldest);
        break;
      }
    }
    if (this.#waiting.size > 0) this.#cancel(id); // else all are told, as the channel is retired
  }

  /** Reads no more where nothing is waited for. */
  #rest(): void {
    if (this.#waiting.size > 0) return;
    this.#stop();
    if (this.#givenUp.size === 0 || this.#requesting.closed) return;
    this.#givenUp.clear(); // all are told now
    this.#retire(this);
  }

  #stop(): void {
    this.#reading?.abort(idle);
    this.#reading = undefined;
  }

  /** Tells whoever is at work on it, if anyone is. */
  #cancel(id: number): void {
    if (!this.#handle.isAttached) return;
    this.#handle.announce(this.channel, writeNotice({ cancel: id })).catch((error) =>
      this.#handle.report(
        `request: a handler could not be told that nobody waits: ${error.message}`,
      )
    );
  }

  async #read(stopped: AbortSignal): Promise<void> {
    try {
      while (!stopped.aborted) this.#arrived(await readable(this.channel, stopped));
    } catch (error) {
      if (stopped.aborted) return; // by the signal, or the replies of others are being read anew
      this.#reading = undefined;
      const waiting = [...this.#waiting.values()];
      this.#waiting.clear();
      for (const request of waiting) request.reject(this.#failure(error));
    }
  }

  /** The channel for replies is nothing that a requester knows. */
  #failure(error: unknown): unknown {
    return renameChannel(this.#handle.name, this.#requesting.name, error);
  }

  /** What nobody waits for is dropped: it is late, came twice, or is no reply. */
  #arrived(message: unknown): void {
    const begun = readBegun(message);
    // Answered once for each that was given up here: who floods this channel is not to have us announce.
    if (begun !== undefined && this.#givenUp.delete(begun)) return this.#cancel(begun);
    const reply = readReply(message);
    const request = reply && this.#waiting.get(reply.id);
    if (reply !== undefined) this.#givenUp.delete(reply.id);
    if (request === undefined) return;
    this.#forget(reply!.id);
    settle(request, reply!.outcome);
  }
}

/** How many requests are remembered that were given up. */
const mostGivenUp = 1000;

/** A reason that needs no stack: one is made for each request that is made alone. */
const idle = "no request waits for a reply";

/** Deletes a channel for replies. Never rejects. */
async function dismiss(channel: ReplyChannel, isAwaited: boolean): Promise<void> {
  const handle = handleOf(channel)!;
  if (isAwaited && handle.isAttached) {
    const telling = handle.announce(channel, writeNotice({ gone: true })).catch((error) =>
      handle.report(`request: handlers could not be told that nobody waits: ${error.message}`)
    );
    await within(closeTimeout / 2, telling);
  }
  await channel[Symbol.asyncDispose]();
}

/** The next value that can be read: what cannot is nobody's reply. */
async function readable(channel: ReplyChannel, signal: AbortSignal): Promise<unknown> {
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

function readReplyAlone(
  reply: ReplyChannel,
  request: Operation<unknown>,
  gaveUp: AbortSignal,
  fail: (error: unknown) => void,
): void {
  readable(reply, gaveUp).then((answer) => settle(request, readPlainReply(answer)), fail);
}

function settle(request: Operation<unknown>, outcome: Outcome): void {
  if ("value" in outcome) request.resolve(outcome.value);
  else if (hasStack(outcome.error)) request.reject(outcome.error);
  else request.rejectAtCaller(outcome.error);
}

/** A put's error carries the value that was put: here the caller's, without what is around it. */
function rejectByPut(
  request: Operation<unknown>,
  error: unknown,
  sent: { readonly value: unknown },
): void {
  const isOurs = (error as { value?: unknown } | null | undefined)?.value === sent;
  if (!isOurs) return request.reject(error, false);
  const named = withValue(renameAction("request", error), sent.value);
  if (named instanceof ChannelError) request.rejectAtCaller(named);
  else request.reject(named, false);
}
