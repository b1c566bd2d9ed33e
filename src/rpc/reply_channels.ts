import { readNotice, type Request, writeBegun } from "./protocol.ts";
import { Handle } from "../handle/handle.ts";
import { type EncodedValue, encodeValue } from "../handle/encoded_value.ts";
import type { OperationOptions } from "../handle/operation.ts";
import {
  ChannelClosedError,
  ChannelConnectionError,
  ChannelSizeError,
  ChannelTimeoutError,
} from "../shared/errors.ts";
import { longestTimer, unref } from "../shared/timers.ts";
import { backOff } from "../shared/backoff.ts";
import { pause } from "../shared/pauses.ts";
import type { TryPut, TryPutOutcome } from "../handle/put.ts";

/** Makes a reply, which may fail; told why the one before could not travel. */
export type Draft = (failure: unknown) => unknown;

/** A reply that is put, or waits for room. */
export interface Reply {
  /** Settles when it is put; absent where it is put. */
  readonly waiting?: Promise<void>;
}

/** A request that is being handled. */
export interface Job {
  /** Aborted when nobody waits for the reply any more. */
  readonly signal: AbortSignal;
  /** Why the reply channel cannot be used; undefined where that is not known. */
  readonly refusal: unknown;
  /** The bytes that a value takes in a reply; undefined where it cannot travel. */
  sizeOf(value: unknown): number | undefined;
  /**
   * Puts the first of these replies that can travel, and is not too large, within the time limit. Resolves when it is put, or waits
   * for room, for which nobody else is to wait.
   *
   * @throws what keeps it from being put
   */
  reply(drafts: readonly Draft[]): Promise<Reply>;
  /** Aborts the signal, and the reply. */
  abort(reason: unknown): void;
  /** Nobody is to tell it anything any more. */
  end(): void;
}

/** Where the replies to one requester go: a handle on its reply channel. */
class Outlet {
  readonly #handle: Handle;
  /** Milliseconds that a reply may take. */
  readonly #timeout: number;
  readonly #jobs = new Map<AbortController, number | undefined>();
  readonly #attached: Promise<void>;
  #refusal: unknown;
  /** Replies that are being put. */
  readonly #sending = new Map<
    TryPut,
    { readonly deadline: number; readonly signal: AbortSignal }
  >();
  #watching: ReturnType<typeof setTimeout> | undefined;
  /** How many replies wait for room. */
  #waiting = 0;
  lastUsed = 0;

  constructor(handle: Handle, timeout: number) {
    this.#handle = handle;
    this.#timeout = timeout;
    handle.onClosed.add(() => this.#cancel(() => true));
    handle.listeners.add({
      heard: (event) => {
        const { cancel, gone } = readNotice(event);
        if (gone) return void handle.close();
        if (cancel !== undefined) this.#cancel((id) => id === cancel);
      },
    });
    this.#attached = handle.attach(this);
    this.#attached.catch((error) => {
      if (!(error instanceof ChannelClosedError)) return; // the reply's put meets it again, and is told
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

  begin(id: number | undefined, ended: () => void): Job {
    const controller = new AbortController();
    const { signal } = controller;
    const refusal = () => this.#refusal;
    this.#jobs.set(controller, id);
    let isWorking = true;
    const asking = setTimeout(() => void this.#ask(id, () => isWorking), patience);
    const worked = () => {
      isWorking = false;
      clearTimeout(asking);
    };
    return {
      signal,
      get refusal() {
        return refusal();
      },
      sizeOf: (value) => this.#sizeOf(value),
      reply: (drafts) => {
        worked();
        return this.#reply(drafts, signal);
      },
      abort: (reason) => this.#abort(controller, reason),
      end: () => {
        worked();
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
    const { encoded, others } = await this.#pack(drafts, failure);
    const again = (error: unknown) => {
      if (!(error instanceof ChannelSizeError) || others.length === 0) throw error;
      return this.#reply(others, signal, deadline, error);
    };
    const trying = () => this.#send(encoded, deadline, signal);
    let outcome: TryPutOutcome;
    try {
      outcome = await trying().catch((error) => this.#persist(trying, deadline, signal, error));
    } catch (error) {
      return await again(error);
    }
    if (outcome === "ok") return {};
    if (this.#waiting === mostWaiting) {
      throw new ChannelTimeoutError(
        `put: channel ${this.#handle.title} is full, and ${mostWaiting} replies wait for room already`,
      );
    }
    this.#waiting++;
    const waiting = this.#wait(encoded, deadline, signal).finally(() => this.#waiting--);
    return { waiting: waiting.catch(async (error) => (await again(error)).waiting) };
  }

  /** Puts unless that would wait for room. A timer and a listener for each would cost as much as the put. */
  async #send(
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

  /** Gives up, by and by, what takes too long. */
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

  async #wait(encoded: EncodedValue, deadline: number, signal: AbortSignal): Promise<void> {
    const put = (options: OperationOptions) => this.#handle.puts.putEncoded(this, encoded, options);
    try {
      await put({ timeout: Math.max(deadline - performance.now(), 0), signal });
    } catch (error) {
      await this.#persist(put, deadline, signal, error);
    }
  }

  /**
   * The first reply that can be made and travel. What its values do as they are read, and what becomes of the
   * channels in it, is the handler's failure, and not the reply channel's.
   */
  async #pack(
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
      return await this.#pack(others, error);
    }
  }

  /** Puts again, after growing pauses, what could not be put, where waiting may help. */
  async #persist<R>(
    put: (options: OperationOptions) => Promise<R>,
    deadline: number,
    signal: AbortSignal,
    failure: unknown,
  ): Promise<R> {
    for (let failures = 0;; failures++) {
      const mayHelp = failure instanceof ChannelConnectionError && failure.transient;
      const wait = backOff(failures, 50, 2000);
      if (!mayHelp || performance.now() + wait >= deadline) throw failure;
      await pause(wait);
      try {
        return await put({ timeout: Math.max(deadline - performance.now(), 0), signal });
      } catch (error) {
        failure = error;
      }
    }
  }

  #sizeOf(value: unknown): number | undefined {
    try {
      const encoded = encodeValue(value, this.#handle);
      if (!(encoded instanceof Promise)) return encoded.message.body.length;
      encoded.catch(() => {}); // it is not put
    } catch {
      // it cannot travel
    }
  }

  /** That a reply is not waited for may have been announced before this was attached. */
  async #ask(id: number | undefined, isWorking: () => boolean): Promise<void> {
    try {
      await this.#attached;
      if (!isWorking()) return;
      if (id === undefined) await this.#handle.depth(this, {});
      else await this.#handle.puts.tryPut(this, writeBegun(id), { timeout: this.#timeout });
    } catch (error) {
      // Whatever else keeps it from being asked keeps the reply from being put, too, which is told.
      if (error instanceof ChannelClosedError) await this.#handle.close();
    }
  }

  #cancel(isMeant: (id: number | undefined) => boolean): void {
    for (const [controller, id] of this.#jobs) {
      if (isMeant(id)) this.#abort(controller, new DOMException(cancelled, "AbortError"));
    }
  }
}

export type { Outlet };

const cancelled = "nobody waits for the reply any more";

/** Milliseconds after which a handler is long at work, and worth the question whether it is for nothing. */
const patience = 20;

/** How many replies wait for room in one channel. */
const mostWaiting = 64;

/** How replies are put. */
export interface OutletsOptions {
  /** Whether errors are sent with their stack. */
  readonly stacks: boolean;
  /** Milliseconds that a reply may take. */
  readonly timeout: number;
  /** Whether a reply channel that is missing is created. */
  readonly create: boolean;
}

/**
 * Where replies go. A requester's reply channel stays attached between its requests, for attaching
 * costs more than a request; not for long, because that keeps alive what a dead requester has left.
 */
export class Outlets {
  readonly #options: OutletsOptions;
  readonly #outlets = new Map<string, Outlet>();
  #sweeping: ReturnType<typeof setInterval> | undefined;

  constructor(options: OutletsOptions) {
    this.#options = options;
  }

  begin({ id, replyTo }: Request): Job {
    const { name, title, encoding } = replyTo;
    const key = `${encoding} ${title}`;
    let outlet = this.#outlets.get(key);
    if (outlet === undefined || outlet.closed) {
      this.#outlets.delete(key);
      if (this.#outlets.size >= most) this.#sweep(0);
      outlet = this.#open(name, replyTo);
      this.#outlets.set(key, outlet);
    }
    this.#sweeping ??= startSweeping(() => this.#sweep(restAfter));
    // A channel for one reply is needed no more.
    return outlet.begin(id, () => id === undefined && this.#drop(key, outlet));
  }

  #open(name: string, { options }: Handle): Outlet {
    const { stacks, timeout, create } = this.#options;
    const handle = new Handle({ ...options, name, stacks, create: create && options.create });
    return new Outlet(handle, timeout);
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    await Promise.all([...this.#outlets.values()].map((outlet) => outlet.close()));
  }

  #drop(key: string, outlet: Outlet): void {
    if (!outlet.isIdle) return;
    if (this.#outlets.get(key) === outlet) this.#outlets.delete(key);
    outlet.close();
  }

  /** @param rest milliseconds without use after which an outlet goes */
  #sweep(rest: number): void {
    const last = performance.now() - rest;
    for (const [key, outlet] of this.#outlets) {
      if (outlet.closed || outlet.lastUsed <= last) this.#drop(key, outlet);
    }
  }
}

function startSweeping(sweep: () => void): ReturnType<typeof setInterval> {
  const timer = setInterval(sweep, restAfter);
  unref(timer);
  return timer;
}

const restAfter = 30_000;

/** How many stay attached while they are idle. */
const most = 256;
