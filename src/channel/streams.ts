// Invariants: nothing is read before a reader waits for it. What a stream has received is accepted when it is
// handed to a reader, or given back. What a writer has begun to put is settled before its stream is.
import { ChannelClosedError } from "../shared/errors.ts";

import type { Receiver, Sender } from "../handle/sender_receiver.ts";
import type { Delivery } from "../handle/delivery.ts";

/** What `readable` takes. */
export interface ReadableOptions {
  /** Ends the stream, with the signal's reason as its error. */
  readonly signal?: AbortSignal;
}

/** What `writable` takes. */
export interface WritableOptions {
  /** How many puts may be on their way, 1 or more; default 16. */
  readonly highWaterMark?: number;
  /** Ends the stream, with the signal's reason as its error. */
  readonly signal?: AbortSignal;
}

/** The stream of a channel's values; {@linkcode Channel.readable} says the rest. */
export function readableOf<T>(
  channel: Receiver<T>,
  { signal }: ReadableOptions,
): ReadableStream<T> {
  const ended = new AbortController();
  /** Handed to the stream when no reader waited any more: it is in the stream's queue. */
  let queued: Delivery<T> | undefined;
  let isQueued = false;
  let fail: (reason: unknown) => void;
  const stream = new ReadableStream<T>({
    start(controller) {
      fail = (reason) => {
        ended.abort();
        queued?.release();
        controller.error(reason);
      };
      follow(signal, fail, ended.signal);
    },
    async pull(controller) {
      queued?.accept(); // it has been read since
      queued = undefined;
      let delivery: Delivery<T>;
      try {
        delivery = await channel.receive({ signal: ended.signal });
      } catch (error) {
        if (ended.signal.aborted) return;
        ended.abort();
        if (!(error instanceof ChannelClosedError)) throw error;
        return controller.close();
      }
      if (ended.signal.aborted) return delivery.release();
      isQueued = false;
      controller.enqueue(delivery.value);
      if (isQueued) queued = delivery;
      else delivery.accept();
    },
    cancel() {
      ended.abort();
      queued?.release();
    },
  }, {
    highWaterMark: 0,
    size() {
      isQueued = true; // it is asked only where no reader waits
      return 1;
    },
  });
  // A pipe between channels is more than one between streams: it accepts what the other has taken.
  const pipeTo = stream.pipeTo;
  Object.defineProperty(stream, "pipeTo", {
    value: (destination: WritableStream<T>, options: StreamPipeOptions = {}) => {
      const to = sinks.get(destination) as ChannelSink<T> | undefined;
      const isFree = !stream.locked && !destination.locked && queued === undefined;
      if (to === undefined || !isFree) return pipeTo.call(stream, destination, options);
      return pipe({ channel, stream, fail }, to, destination, options);
    },
    configurable: true,
    writable: true,
  });
  return stream;
}

/** What writes to channels, by its stream. */
const sinks = new WeakMap<object, ChannelSink<unknown>>();

/** A value whose writer waits for its own put. */
class Parcel<T> {
  readonly value: T;
  put: Promise<void> | undefined;

  constructor(value: T) {
    this.value = value;
  }
}

/** Puts values, several at a time. */
class ChannelSink<T> implements UnderlyingSink<T | Parcel<T>> {
  readonly #channel: Sender<T>;
  readonly #most: number;
  readonly #signal: AbortSignal | undefined;
  readonly #ended = new AbortController();
  readonly #puts = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #controller: WritableStreamDefaultController | undefined;

  constructor(channel: Sender<T>, most: number, signal: AbortSignal | undefined) {
    this.#channel = channel;
    this.#most = most;
    this.#signal = signal;
  }

  start(controller: WritableStreamDefaultController): void {
    this.#controller = controller;
    follow(this.#signal, (reason) => controller.error(reason), this.#ended.signal);
  }

  /** Resolves when the next may be written, which is before this one's put has resolved. */
  async write(chunk: T | Parcel<T>): Promise<void> {
    const put = this.put(chunk instanceof Parcel ? chunk.value : chunk);
    if (chunk instanceof Parcel) chunk.put = put;
    await this.ready();
  }

  put(value: T): Promise<void> {
    const put = this.#channel.put(value);
    const settled = put.then(() => {}, (error) => {
      this.#failure ??= { error };
      this.#controller?.error(error);
    }).then(() => void this.#puts.delete(settled));
    this.#puts.add(settled);
    return put;
  }

  async ready(): Promise<void> {
    while (this.#puts.size >= this.#most) await Promise.race(this.#puts);
  }

  async close(): Promise<void> {
    await this.#settled();
    if (this.#failure !== undefined) throw this.#failure.error; // a stream that closes takes no other
  }

  async abort(): Promise<void> {
    await this.#settled();
  }

  /** Resolves when every put that was begun has been answered. */
  async #settled(): Promise<void> {
    await Promise.all(this.#puts);
    this.#ended.abort();
  }
}

/** The stream that puts into a channel; {@linkcode Channel.writable} says the rest. */
export function writableOf<T>(channel: Sender<T>, options: WritableOptions): WritableStream<T> {
  const { highWaterMark = 16, signal } = options;
  const sink = new ChannelSink(channel, highWaterMark, signal);
  const stream = new WritableStream<T | Parcel<T>>(sink, { highWaterMark: 1 });
  sinks.set(stream, sink as ChannelSink<unknown>);
  const getWriter = stream.getWriter;
  Object.defineProperty(stream, "getWriter", {
    value: () => withOwnPuts(getWriter.call(stream)),
    configurable: true,
    writable: true,
  });
  return stream as WritableStream<T>;
}

/** A stream takes a chunk when the last one's write has resolved; the writer's resolves with its own put. */
function withOwnPuts<T>(
  writer: WritableStreamDefaultWriter<T | Parcel<T>>,
): WritableStreamDefaultWriter<T | Parcel<T>> {
  const write = writer.write;
  Object.defineProperty(writer, "write", {
    value: async (value: T) => {
      const parcel = new Parcel(value);
      await write.call(writer, parcel);
      await parcel.put;
    },
    configurable: true,
    writable: true,
  });
  return writer;
}

/** Moves values from channel to channel: each is on loan until the other channel has it. */
async function pipe<T>(
  { channel, stream, fail }: Origin<T>,
  sink: ChannelSink<T>,
  destination: WritableStream<T>,
  options: StreamPipeOptions,
): Promise<void> {
  const { preventAbort, preventCancel, preventClose, signal } = options;
  const reader = stream.getReader();
  const writer = destination.getWriter();
  const stopped = new AbortController();
  let failure: { readonly of: "source" | "sink" | "signal"; readonly error: unknown } | undefined;
  const stop = (of: "source" | "sink" | "signal", error: unknown) => {
    failure ??= { of, error };
    stopped.abort();
  };
  reader.closed.catch((error) => stop("source", error));
  writer.closed.then(
    () => stop("sink", new TypeError("the stream that is piped to is closed")),
    (error) => stop("sink", error),
  );
  follow(signal, (reason) => stop("signal", reason), stopped.signal);
  const moves = new Set<Promise<void>>();
  try {
    await Promise.resolve(); // for a destination that is closed
    while (!stopped.signal.aborted) {
      await sink.ready();
      const delivery = await channel.receive({ signal: stopped.signal });
      const move = sink.put(delivery.value).then(() => delivery.accept(), (error) => {
        delivery.release();
        stop("sink", error);
      }).then(() => void moves.delete(move));
      moves.add(move);
    }
  } catch (error) {
    if (!stopped.signal.aborted && !(error instanceof ChannelClosedError)) stop("source", error);
  }
  await Promise.all(moves);
  const end = failure as typeof failure; // which the compiler does not see being set
  try {
    if (end === undefined) {
      await reader.cancel();
      if (!preventClose) await writer.close();
      return;
    }
    await Promise.all([
      end.of !== "sink" && !preventAbort && writer.abort(end.error),
      end.of === "source" ? fail(end.error) : !preventCancel && reader.cancel(end.error),
    ]);
    throw end.error;
  } finally {
    stopped.abort();
    reader.releaseLock();
    writer.releaseLock();
  }
}

/** Where a pipe begins. */
interface Origin<T> {
  readonly channel: Receiver<T>;
  readonly stream: ReadableStream<T>;
  /** Ends the stream with an error. */
  readonly fail: (error: unknown) => void;
}

/** Calls `then` with the signal's reason when it is aborted, until `ended` is. */
function follow(
  signal: AbortSignal | undefined,
  then: (reason: unknown) => void,
  ended: AbortSignal,
): void {
  if (signal?.aborted) then(signal.reason);
  else signal?.addEventListener("abort", () => then(signal.reason), { signal: ended });
}
