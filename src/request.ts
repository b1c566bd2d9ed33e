// Invariants: a requester reads its reply channel while requests wait for replies, and only then: one
// that waits for nothing keeps no process alive. A request is settled once. When the handle is closed,
// so is the reply channel, which its owner deletes.

import type { Channel } from "./channel.ts";
import { ChannelDecodeError, ChannelReferenceError, errorAnew, withValue } from "./errors.ts";
import { type Outcome, readNotice, readPlainReply, readReply, writeNotice } from "./exchange.ts";
import type { Handle } from "./handle.ts";
import type { Operation, OperationOptions } from "./operation.ts";
import { handleOf } from "./registry.ts";
import { closeTimeout, within } from "./within.ts";

/** Makes the requests of one handle. */
export class Requester {
  readonly #handle: Handle;
  readonly #open: () => Channel;
  #replies: Replies | undefined;
  /** The channels for one reply each, by what disposes of them. */
  readonly #single = new Set<() => Promise<void>>();
  #last = 0;

  /** @param open makes a channel for replies */
  constructor(handle: Handle, open: () => Channel) {
    this.#handle = handle;
    this.#open = open;
    handle.onClosed.add(() => this.#close());
  }

  /** @param owner what must not be collected while the request waits */
  request(owner: object, value: unknown, options: OperationOptions): Promise<unknown> {
    let request: Operation<unknown>;
    try {
      this.#handle.check("request", options);
      request = this.#handle.interest("request", owner, options);
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
      this.#replies = new Replies(this.#open(), this.#handle);
    }
    const replies = this.#replies;
    const id = ++this.#last;
    const { channel } = replies;
    const sent = { id, value, reply_to: channel };
    this.#handle.put(owner, sent, { signal: gaveUp }).catch((error) =>
      request.reject(errorOfPut(error, sent))
    );
    replies.expect(id, request, gaveUp);
  }

  #requestAlone(owner: object, value: unknown, request: Operation<unknown>, gaveUp: AbortSignal) {
    const reply = this.#open();
    let dismissed: Promise<void> | undefined;
    const dispose = () => dismissed ??= dismiss(reply, gaveUp.aborted);
    this.#single.add(dispose);
    const sent = { value, reply_to: reply };
    this.#handle.put(owner, sent, { signal: gaveUp }).catch((error) =>
      request.reject(errorOfPut(error, sent))
    );
    queueMicrotask(() => request.settled || readReplyAlone(reply, request, gaveUp));
    const done = () => void dispose().finally(() => this.#single.delete(dispose));
    request.whenSettled(done);
  }

  async #close(): Promise<void> {
    await Promise.all([
      this.#replies && dismiss(this.#replies.channel, this.#replies.isAwaited),
      ...[...this.#single].map((dispose) => dispose()),
    ]);
  }
}

/** The channel that the replies to a requester's requests share. */
class Replies {
  readonly channel: Channel;
  /** Whether a handler may be at work for a handle that is closed now. */
  isAwaited = false;
  readonly #requesting: Handle;
  readonly #handle: Handle;
  readonly #waiting = new Map<number, Operation<unknown>>();
  #reading: AbortController | undefined;

  /** @param requesting the handle that makes the requests */
  constructor(channel: Channel, requesting: Handle) {
    this.channel = channel;
    this.#requesting = requesting;
    this.#handle = handleOf(channel)!;
    this.#handle.listeners.add({
      hear: (event) => {
        const { begun } = readNotice(event);
        if (begun !== undefined && !this.#waiting.has(begun)) this.#cancel(begun);
      },
    });
  }

  expect(id: number, request: Operation<unknown>, gaveUp: AbortSignal): void {
    this.#waiting.set(id, request);
    gaveUp.addEventListener("abort", () => {
      this.#forget(id);
      if (this.#requesting.closed) this.isAwaited = true; // told as the channel is dismissed
      else this.#cancel(id);
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
    if (this.#waiting.size === 0) this.#stop();
  }

  #stop(): void {
    this.#reading?.abort(idle);
    this.#reading = undefined;
  }

  /** Tells whoever is at work on it, if anyone is. */
  #cancel(id: number): void {
    if (!Number.isSafeInteger(id) || !this.#handle.isAttached) return;
    this.#handle.announce(this.channel, writeNotice({ cancel: id })).catch(() => {});
  }

  async #read(stopped: AbortSignal): Promise<void> {
    try {
      while (!stopped.aborted) this.#arrived(await readable(this.channel, stopped));
    } catch (error) {
      if (stopped.aborted) return; // by the signal, or the replies of others are being read anew
      this.#reading = undefined;
      const waiting = [...this.#waiting.values()];
      this.#waiting.clear();
      for (const request of waiting) request.reject(errorAnew(error));
    }
  }

  /** What nobody waits for is dropped: it is late, came twice, or is no reply. */
  #arrived(message: unknown): void {
    const reply = readReply(message);
    const request = reply && this.#waiting.get(reply.id);
    if (request === undefined) return;
    this.#forget(reply!.id);
    settle(request, reply!.outcome);
  }
}

/** A reason that needs no stack: one is made for each request that is made alone. */
const idle = "no request waits for a reply";

/** Deletes a channel for replies. Never rejects. */
async function dismiss(channel: Channel, isAwaited: boolean): Promise<void> {
  const handle = handleOf(channel)!;
  if (isAwaited && handle.isAttached) {
    const telling = handle.announce(channel, writeNotice({ gone: true }));
    await within(closeTimeout / 2, telling.catch(() => {}));
  }
  await channel[Symbol.asyncDispose]();
}

/** The next value that can be read: what cannot is nobody's reply. */
async function readable(channel: Channel, signal: AbortSignal): Promise<unknown> {
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

function readReplyAlone(reply: Channel, request: Operation<unknown>, gaveUp: AbortSignal): void {
  readable(reply, gaveUp).then(
    (answer) => settle(request, readPlainReply(answer)),
    (error) => request.reject(error),
  );
}

function settle(request: Operation<unknown>, outcome: Outcome): void {
  if ("error" in outcome) request.reject(outcome.error);
  else request.resolve(outcome.value);
}

/** A put's error carries the value that was put: here the caller's, without what is around it. */
function errorOfPut(error: unknown, sent: { readonly value: unknown }): unknown {
  const isOurs = (error as { value?: unknown } | null | undefined)?.value === sent;
  return isOurs ? withValue(error, sent.value) : error;
}
