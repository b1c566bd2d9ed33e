import type { SharedConnection } from "../connection/shared_connection.ts";
import { copyOfError, errorOfValue } from "../shared/error_copies.ts";
import { ChannelClosedError, ChannelDecodeError, ChannelReferenceError } from "../shared/errors.ts";
import { withValue } from "../shared/put_errors.ts";
import { KeepAlive } from "../shared/keep_alive.ts";
import { Fifo } from "../shared/fifo.ts";
import type { AnnouncementListener, Handle } from "../handle/handle.ts";
import { type EncodedValue, encodeValue } from "../handle/encoded_value.ts";
import { isAbort, type OperationOptions } from "../handle/operation.ts";
import type { Message } from "../transports/transport.ts";

/** How {@linkcode Channel.broadcasts} listens. */
export interface BroadcastsOptions {
  /** Ends the listening; what waits then, or comes next, rejects once with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * How many broadcasts wait for a slow listener, 1 or more; default 1,000. One more, and the oldest is
   * dropped: broadcasts never slow their sender down.
   */
  readonly buffer?: number;
}

/** What {@linkcode Channel.broadcasts} returns: the broadcasts, from the call on. */
export interface Broadcasts<T = unknown> extends AsyncIterableIterator<T> {
  /**
   * Resolves when it listens: every broadcast that is sent afterwards is heard. Rejects where that
   * fails, as the next `next` does; it may be left alone.
   */
  readonly ready: Promise<void>;
  /**
   * How many broadcasts were dropped, because the listener was slow, its process was stopped (on `sqlite:`), or
   * they could not be decoded.
   */
  readonly missed: number;
  /** Stops listening. */
  return(): Promise<IteratorResult<T>>;
}

/** @param owner what must not be collected meanwhile */
export async function broadcast(
  handle: Handle,
  owner: object,
  value: unknown,
  options: OperationOptions,
): Promise<void> {
  let encoded: EncodedValue | Promise<EncodedValue>;
  try {
    handle.check("broadcast", options);
    encoded = encodeValue(value, handle);
  } catch (error) {
    throw isAbort(error, options) ? error : withValue(errorOfValue("broadcast", error), value);
  }
  if (encoded instanceof Promise) encoded.catch(() => {}); // awaited below, unless attaching fails
  await handle.control("broadcast", owner, options, async (attachment, control) => {
    const { message, carried } = encoded instanceof Promise ? await encoded : encoded;
    for (const each of carried) await each.makeKnown(control);
    const event = eventOf(message);
    await attachment.link.announce(event);
    attachment.announced(event); // the link tells others only
  });
}

/** @param unpack makes the value of a message, whose bytes stay what they are */
export function listen<T>(
  handle: Handle,
  unpack: (message: Message) => T,
  { signal, buffer = 1000 }: BroadcastsOptions,
): { readonly listener: Listener<T>; ready(): Promise<void> } {
  const options = signal === undefined ? {} : { signal };
  // Lasts as long as the listener does: ended by what ends a get.
  const life = handle.begin<void>("broadcasts", {}, options);
  const listener = new Listener<T>({
    unpack,
    buffer,
    outside: () => (handle.connection as SharedConnection).reach !== "isolate",
    left: () => {
      handle.listeners.delete(listener);
      life.resolve();
    },
  });
  const listening = handle.begin<void>("broadcasts", {});
  life.whenSettled((failure) => {
    if (failure === undefined) return listening.resolve();
    listening.reject(failure.reason);
    if (failure.reason instanceof ChannelClosedError) listener.end();
    else listener.fail(failure.reason);
  });
  const closure = handle.closure("broadcasts");
  if (closure !== undefined) life.reject(closure);
  if (!life.settled) {
    handle.listeners.add(listener);
    handle.attachFor(life).then(
      () => listening.resolve(),
      (error) => life.reject(copyOfError(error)),
    );
  }
  // Made for whoever asks, so that nothing is rejected to whoever does not: the next `next` is.
  return { listener, ready: () => listening.promise };
}

interface Waiting<T> {
  /** What must not be collected meanwhile. */
  readonly owner: object;
  readonly resolve: (result: IteratorResult<T>) => void;
  readonly reject: (reason: unknown) => void;
}

/** What a listener needs of its handle. */
interface ListenerOptions<T> {
  /** Makes the value of a message, whose bytes stay what they are. */
  unpack(message: Message): T;
  /** Whether broadcasts come from outside of this process, which is kept alive for them. */
  outside(): boolean;
  /** The listener listens no more. */
  left(): void;
  /** How many broadcasts it keeps. */
  readonly buffer: number;
}

/**
 * One who listens to a channel's broadcasts.
 *
 * Invariants: broadcasts or calls of `next` wait, never both; no call waits once it is over. What
 * waits is bounded. The process is held alive while a call waits, where it could be served from outside.
 */
class Listener<T> implements AnnouncementListener {
  missed = 0;
  readonly #options: ListenerOptions<T>;
  /** Decoded when they are wanted, as most of what a slow listener drops never is. */
  readonly #events = new Fifo<Uint8Array>();
  readonly #waiting = new Fifo<Waiting<T>>();
  #failure: { readonly reason: unknown } | undefined;
  #isOver = false;
  readonly #keepAlive = new KeepAlive();

  constructor(options: ListenerOptions<T>) {
    this.#options = options;
  }

  heard(event: Uint8Array): void {
    if (this.#isOver) return;
    const next = this.#waiting.peek();
    if (next === undefined) {
      this.#events.push(event);
      if (this.#events.size <= this.#options.buffer) return;
      this.#events.shift();
      this.missed++;
      return;
    }
    const found = this.#read(event);
    if (found === undefined) return;
    this.#waiting.shift();
    this.#hold();
    next.resolve(found);
  }

  lost(count: number): void {
    this.missed += count;
  }

  next(owner: object): Promise<IteratorResult<T>> {
    for (let event; (event = this.#events.shift()) !== undefined;) {
      const found = this.#read(event);
      if (found !== undefined) return Promise.resolve(found);
    }
    if (this.#failure !== undefined) {
      const { reason } = this.#failure;
      this.#failure = undefined;
      return Promise.reject(reason);
    }
    if (this.#isOver) return Promise.resolve(over);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ owner, resolve, reject });
      this.#hold();
    });
  }

  /** No more will come; what is here stays. */
  end(): void {
    this.#end();
  }

  /** Ends with an error, for who waits or asks next. */
  fail(reason: unknown): void {
    if (this.#isOver) return;
    this.#events.takeAll();
    this.#failure = { reason };
    this.#end();
  }

  /** Nobody wants what is here. */
  leave(): void {
    this.#events.takeAll();
    this.#failure = undefined;
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.left();
    for (const { resolve, reject } of this.#waiting.takeAll()) {
      if (this.#failure === undefined) resolve(over);
      else reject(this.#failure.reason);
      this.#failure = undefined; // told once, as an iteration's error is
    }
    this.#hold();
  }

  /** Anyone may announce anything: what cannot be decoded is nothing that a loop could deal with. */
  #read(event: Uint8Array): IteratorResult<T> | undefined {
    try {
      return { value: this.#options.unpack(messageOf(event)), done: false };
    } catch (error) {
      if (!(error instanceof ChannelDecodeError || error instanceof ChannelReferenceError)) {
        throw error;
      }
      this.missed++;
      return undefined;
    }
  }

  #hold(): void {
    this.#keepAlive.set(this.#waiting.size > 0 && this.#options.outside());
  }
}

const over: IteratorReturnResult<undefined> = { value: undefined, done: true };

/**
 * A broadcast as it is announced, without a content type: CBOR behind the tag "self-described CBOR"
 * (RFC 8949, section 3.4.6), which no text begins with; JSON behind a space, which no other
 * announcement begins with, such as the `"close"` of closeAll.
 */
function eventOf({ body, contentType }: Message): Uint8Array {
  const mark = contentType === cborType ? selfDescribed : space;
  const event = new Uint8Array(mark.length + body.length);
  event.set(mark);
  event.set(body, mark.length);
  return event;
}

/** The message of an announcement; what is not CBOR is JSON, as ChannelPy announces. */
function messageOf(event: Uint8Array): Message {
  return selfDescribed.every((byte, i) => byte === event[i])
    ? { body: event.subarray(selfDescribed.length), contentType: cborType }
    : { body: event, contentType: "" };
}

const cborType = "application/cbor";
const selfDescribed = Uint8Array.of(0xd9, 0xd9, 0xf7);
const space = Uint8Array.of(0x20);
