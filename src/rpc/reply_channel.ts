import { type EncodedValue, encodeValue } from "../handle/encoded_value.ts";
import type { Handle } from "../handle/handle.ts";
import type { OperationOptions } from "../handle/operation.ts";
import type { TryPut, TryPutOutcome } from "../handle/put.ts";
import { backOff } from "../shared/backoff.ts";
import {
  ChannelClosedError,
  ChannelConnectionError,
  ChannelSizeError,
  ChannelTimeoutError,
} from "../shared/errors.ts";
import { pause } from "../shared/pauses.ts";
import { longestTimer, unref } from "../shared/timers.ts";
import { readRequesterEvent, writeBegun } from "./protocol.ts";

/**
 * Makes a reply. It may throw, and the reply may prove impossible to encode.
 *
 * @param failure why the draft before this one could not be put
 */
export type Draft = (failure: unknown) => unknown;

/** A reply that is put, or waits for room in its channel. */
export interface Reply {
  /** Settles when the reply is put; absent if it is put already. */
  readonly waiting?: Promise<void>;
}

/** A request that is being handled. */
export interface Job {
  /** Aborted when the requester no longer waits for the reply. */
  readonly signal: AbortSignal;
  /** The reason why the reply channel cannot be used; undefined if none is known. */
  readonly refusal: unknown;
  /** Returns the encoded size of a value in bytes; undefined if it cannot be encoded for the reply channel. */
  sizeOf(value: unknown): number | undefined;
  /**
   * Puts the first draft that can be encoded and is not too large, within the reply timeout. Resolves when the reply is
   * put, or waits for room; other requests need not wait for that.
   *
   * @throws the reason why no draft could be put
   */
  reply(drafts: readonly Draft[]): Promise<Reply>;
  /** Aborts the signal, and the reply. */
  abort(reason: unknown): void;
  /** The request is settled. */
  end(): void;
}

/** A handle on the reply channel of one requester. */
export class ReplyChannel {
  readonly #handle: Handle;
  /** Milliseconds for which a reply is tried. */
  readonly #timeout: number;
  /** The requests that are being handled: the ids by the controllers of the handlers' signals. */
  readonly #jobs = new Map<AbortController, number | undefined>();
  readonly #attached: Promise<void>;
  #refusal: unknown;
  /** The replies that are being put. */
  readonly #sending = new Map<
    TryPut,
    { readonly deadline: number; readonly signal: AbortSignal }
  >();
  #watching: ReturnType<typeof setTimeout> | undefined;
  /** The number of replies that wait for room. */
  #waiting = 0;
  /** When a request was settled last, as `performance.now()` counts. */
  lastUsed = 0;

  constructor(handle: Handle, timeout: number) {
    this.#handle = handle;
    this.#timeout = timeout;
    handle.onClosed.add(() => this.#cancel(() => true));
    handle.listeners.add({
      heard: (event) => {
        const { cancel, gone } = readRequesterEvent(event);
        if (gone) return void handle.close();
        if (cancel !== undefined) this.#cancel((id) => id === cancel);
      },
    });
    this.#attached = handle.attach(this);
    this.#attached.catch((error) => {
      // The put of the reply meets any other error again, and reports it.
      if (!(error instanceof ChannelClosedError)) return;
      this.#refusal = error;
      return handle.close();
    });
  }

  get closed(): boolean {
    return this.#handle.closed;
  }

  get isIdle(): boolean {
    return this.#jobs.size === 0;
  }

  /** @param ended called when the request is settled */
  begin(id: number | undefined, ended: () => void): Job {
    const controller = new AbortController();
    const { signal } = controller;
    const refusal = () => this.#refusal;
    this.#jobs.set(controller, id);
    let isHandling = true;
    const asking = setTimeout(() => void this.#ask(id, () => isHandling), askAfter);
    const handled = () => {
      isHandling = false;
      clearTimeout(asking);
    };
    return {
      signal,
      get refusal() {
        return refusal();
      },
      sizeOf: (value) => this.#sizeOf(value),
      reply: (drafts) => {
        handled();
        return this.#reply(drafts, signal);
      },
      abort: (reason) => this.#abort(controller, reason),
      end: () => {
        handled();
        this.#jobs.delete(controller);
        this.lastUsed = performance.now();
        ended();
      },
    };
  }

  close(): Promise<void> {
    clearTimeout(this.#watching);
    return this.#handle.close();
  }

  async #reply(
    drafts: readonly Draft[],
    signal: AbortSignal,
    deadline: number = performance.now() + this.#timeout,
    failure?: unknown,
  ): Promise<Reply> {
    const { encoded, others } = await this.#encode(drafts, failure);
    const tryNext = (error: unknown) => {
      if (!(error instanceof ChannelSizeError) || others.length === 0) throw error;
      return this.#reply(others, signal, deadline, error);
    };
    const send = () => this.#trySend(encoded, deadline, signal);
    let outcome: TryPutOutcome;
    try {
      outcome = await send().catch((error) => this.#retry(send, deadline, signal, error));
    } catch (error) {
      return await tryNext(error);
    }
    if (outcome === "ok") return {};
    if (this.#waiting === mostWaiting) {
      throw new ChannelTimeoutError(
        `put: channel ${this.#handle.title} is full, and ${mostWaiting} replies wait for room already`,
      );
    }
    this.#waiting++;
    const waiting = this.#send(encoded, deadline, signal).finally(() => this.#waiting--);
    return { waiting: waiting.catch(async (error) => (await tryNext(error)).waiting) };
  }

  /**
   * Encodes the first draft that can be encoded, and creates the channels inside it. An error of a draft, or of a
   * channel inside it, is the handler's, and not the reply channel's.
   */
  async #encode(
    drafts: readonly Draft[],
    failure: unknown,
  ): Promise<{ readonly encoded: EncodedValue; readonly others: readonly Draft[] }> {
    const [draft, ...others] = drafts;
    if (draft === undefined) throw failure;
    try {
      const encoded = await encodeValue(draft(failure), this.#handle);
      await this.#handle.puts.makeKnown(this, encoded, { timeout: this.#timeout });
      return { encoded, others };
    } catch (error) {
      return await this.#encode(others, error);
    }
  }

  /** Puts a reply unless that would wait for room. A timer and an abort listener for each would cost as much as the put. */
  async #trySend(
    encoded: EncodedValue,
    deadline: number,
    signal: AbortSignal,
  ): Promise<TryPutOutcome> {
    signal.throwIfAborted();
    const put = this.#handle.puts.tryPutEncoded(this, encoded);
    this.#sending.set(put, { deadline, signal });
    this.#watching ??= this.#watch();
    try {
      return await put.promise;
    } finally {
      this.#sending.delete(put);
    }
  }

  /** Puts a reply, waiting for room. */
  async #send(encoded: EncodedValue, deadline: number, signal: AbortSignal): Promise<void> {
    const put = (options: OperationOptions) => this.#handle.puts.putEncoded(this, encoded, options);
    try {
      await put({ timeout: Math.max(deadline - performance.now(), 0), signal });
    } catch (error) {
      await this.#retry(put, deadline, signal, error);
    }
  }

  /** Retries a put with growing pauses while the failure is transient and the deadline has not passed. */
  async #retry<R>(
    put: (options: OperationOptions) => Promise<R>,
    deadline: number,
    signal: AbortSignal,
    failure: unknown,
  ): Promise<R> {
    for (let failures = 0;; failures++) {
      const isTransient = failure instanceof ChannelConnectionError && failure.transient;
      const wait = backOff(failures, 50, 2000);
      if (!isTransient || performance.now() + wait >= deadline) throw failure;
      await pause(wait);
      try {
        return await put({ timeout: Math.max(deadline - performance.now(), 0), signal });
      } catch (error) {
        failure = error;
      }
    }
  }

  /** Checks the deadlines of all replies that are being put, by one timer. */
  #watch(): ReturnType<typeof setTimeout> | undefined {
    if (this.#timeout === Infinity) return undefined;
    const wait = Math.min(Math.max(this.#timeout / 2, 10), longestTimer);
    const timer = setTimeout(() => {
      this.#watching = undefined;
      const now = performance.now();
      for (const [put, { deadline }] of [...this.#sending]) {
        if (deadline > now) continue;
        put.giveUp(this.#handle.timeoutError("put", { timeout: this.#timeout }, put.recall()));
      }
      if (this.#sending.size > 0) this.#watching ??= this.#watch();
    }, wait);
    unref(timer); // serving keeps the process alive
    return timer;
  }

  #abort(controller: AbortController, reason: unknown): void {
    controller.abort(reason);
    for (const [put, { signal }] of [...this.#sending]) {
      if (signal === controller.signal) put.giveUp(reason);
    }
  }

  #sizeOf(value: unknown): number | undefined {
    try {
      const encoded = encodeValue(value, this.#handle);
      if (!(encoded instanceof Promise)) return encoded.message.body.length;
      encoded.catch(() => {}); // the value is not put
    } catch {
      // the value cannot be encoded
    }
  }

  /**
   * Asks whether the requester still waits: it may have cancelled the request before this handle was attached, and so
   * received the event.
   */
  async #ask(id: number | undefined, isHandling: () => boolean): Promise<void> {
    try {
      await this.#attached;
      if (!isHandling()) return;
      if (id === undefined) await this.#handle.depth(this, {});
      else await this.#handle.puts.tryPut(this, writeBegun(id), { timeout: this.#timeout });
    } catch (error) {
      // Any other error prevents the reply, too, and is reported then.
      if (error instanceof ChannelClosedError) await this.#handle.close();
    }
  }

  #cancel(isCancelled: (id: number | undefined) => boolean): void {
    for (const [controller, id] of this.#jobs) {
      if (isCancelled(id)) this.#abort(controller, new DOMException(cancelled, "AbortError"));
    }
  }
}

const cancelled = "the requester no longer waits for the reply";

/** Milliseconds after which a handler asks whether the requester still waits. */
const askAfter = 20;

/** The number of replies that wait for room in one channel. */
const mostWaiting = 64;
