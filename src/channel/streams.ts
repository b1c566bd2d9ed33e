// Invariants: nothing is received before a reader waits for it. A stream that is written to closes after all of its
// puts have settled.

import type { Delivery } from "../handle/delivery.ts";
import type { Receiver, Sender } from "../handle/sender_receiver.ts";
import { Counter } from "../shared/counter.ts";
import { ChannelClosedError } from "../shared/errors.ts";

/** The options of {@linkcode Channel.readable}. */
export interface ReadableOptions {
  /** Ends the stream, with the signal's reason as its error. */
  readonly signal?: AbortSignal;
}

/** The options of {@linkcode Channel.writable}. */
export interface WritableOptions {
  /** The number of puts that are in progress at a time, 1 or more; default 16. */
  readonly highWaterMark?: number;
  /** Ends the stream, with the signal's reason as its error. */
  readonly signal?: AbortSignal;
}

/** Returns a stream of a channel's values, as {@linkcode Channel.readable} describes. */
export function readableOf<T>(
  channel: Receiver<T>,
  { signal }: ReadableOptions,
): ReadableStream<T> {
  const ended = new AbortController();
  return new ReadableStream<T>({
    start(controller) {
      onAbort(signal, ended.signal, (reason) => {
        ended.abort();
        controller.error(reason);
      });
    },
    async pull(controller) {
      let delivery: Delivery<T>;
      try {
        delivery = await channel.receive({ signal: ended.signal });
      } catch (error) {
        if (ended.signal.aborted) return;
        ended.abort();
        if (!(error instanceof ChannelClosedError)) throw error;
        return controller.close();
      }
      // The stream may have been cancelled after the value had arrived.
      if (ended.signal.aborted) return delivery.release();
      controller.enqueue(delivery.value);
      delivery.accept();
    },
    cancel() {
      ended.abort();
    },
  }, { highWaterMark: 0 });
}

/** Returns a stream that puts into a channel, as {@linkcode Channel.writable} describes. */
export function writableOf<T>(channel: Sender<T>, options: WritableOptions): WritableStream<T> {
  const { highWaterMark = 16, signal } = options;
  const sink = new ChannelSink(channel, highWaterMark, signal);
  return new ChannelWritable<T>(sink, { highWaterMark: 1 }) as WritableStream<T>;
}

/** A chunk whose writer waits for the put. */
class Chunk<T> {
  readonly value: T;
  /** The put, once it has begun. */
  put: Promise<void> | undefined;

  constructor(value: T) {
    this.value = value;
  }
}

/**
 * A stream takes the next chunk when the write of the last one has resolved, so that several puts are in progress only
 * if the sink's writes resolve before their puts. A writer's `write` resolves with the put nevertheless.
 */
class ChannelWritable<T> extends WritableStream<T | Chunk<T>> {
  override getWriter(): WritableStreamDefaultWriter<T | Chunk<T>> {
    return new ChannelWriter<T>(this);
  }
}

class ChannelWriter<T> extends WritableStreamDefaultWriter<T | Chunk<T>> {
  override async write(value: T): Promise<void> {
    const chunk = new Chunk(value);
    await super.write(chunk);
    await chunk.put;
  }
}

/** Puts the chunks that are written to a stream, several at a time. */
class ChannelSink<T> implements UnderlyingSink<T | Chunk<T>> {
  readonly #channel: Sender<T>;
  readonly #concurrency: number;
  readonly #signal: AbortSignal | undefined;
  readonly #ended = new AbortController();
  readonly #puts = new Counter();
  #controller: WritableStreamDefaultController | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(channel: Sender<T>, concurrency: number, signal: AbortSignal | undefined) {
    this.#channel = channel;
    this.#concurrency = concurrency;
    this.#signal = signal;
  }

  start(controller: WritableStreamDefaultController): void {
    this.#controller = controller;
    onAbort(this.#signal, this.#ended.signal, (reason) => controller.error(reason));
  }

  /** Resolves when the next chunk may be written. */
  async write(chunk: T | Chunk<T>): Promise<void> {
    if (chunk instanceof Chunk) chunk.put = this.#put(chunk.value);
    else this.#put(chunk);
    await this.#puts.below(this.#concurrency);
  }

  #put(value: T): Promise<void> {
    this.#puts.add();
    const put = this.#channel.put(value);
    put.then(() => this.#puts.done(), (error) => {
      this.#fail(error);
      this.#puts.done();
    });
    return put;
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#ended.abort();
    this.#controller?.error(error);
  }

  async close(): Promise<void> {
    await this.#settled();
    if (this.#failure !== undefined) throw this.#failure.error; // a stream that is closing ignores controller.error
  }

  async abort(): Promise<void> {
    await this.#settled();
  }

  /** Resolves when all puts have settled. */
  async #settled(): Promise<void> {
    await this.#puts.below(1);
    this.#ended.abort();
  }
}

/** Calls `act` with the signal's reason when the signal is aborted, unless `ended` is aborted before. */
function onAbort(
  signal: AbortSignal | undefined,
  ended: AbortSignal,
  act: (reason: unknown) => void,
): void {
  if (signal?.aborted) act(signal.reason);
  else signal?.addEventListener("abort", () => act(signal.reason), { signal: ended });
}
