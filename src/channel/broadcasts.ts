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

/** The options of {@linkcode Channel.broadcasts}. */
export interface BroadcastsOptions {
  /** Ends the listening; the pending or next `next` rejects once with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * The number of broadcasts that are kept for a slow listener, 1 or more; default 1,000. Beyond it the oldest is
   * dropped: broadcasts do not wait for a listener.
   */
  readonly buffer?: number;
}

/** An iterator over the broadcasts of a channel, from {@linkcode Channel.broadcasts}. */
export interface Broadcasts<T = unknown> extends AsyncIterableIterator<T> {
  /**
   * Resolves when the listening has begun: no later broadcast is missed. Rejects if listening fails, with the error of
   * the next `next`; a program that does not read `ready` causes no unhandled rejection.
   */
  readonly ready: Promise<void>;
  /**
   * The number of broadcasts that were dropped because the listener was slow, because its process was stopped (on
   * `sqlite:`), or because they could not be decoded.
   */
  readonly missed: number;
  /** Ends the listening. */
  return(): Promise<IteratorResult<T>>;
}

/** Broadcasts a value. @param owner an object that must not be garbage collected before the promise settles */
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
    for (const each of carried) await each.makeKnown(control, handle.connection);
    const event = eventOf(message);
    await attachment.link.announce(event);
    attachment.announced(event); // the link announces to other links only
  });
}

/**
 * Listens to the broadcasts of a channel.
 *
 * @param owner an object that must not be garbage collected while a `next` is pending
 * @param decode returns the value of a message, without sharing its bytes
 */
export function listen<T>(
  handle: Handle,
  owner: object,
  decode: (message: Message) => T,
  { signal, buffer = 1000 }: BroadcastsOptions,
): Broadcasts<T> {
  const options = signal === undefined ? {} : { signal };
  /** An operation that lasts as long as the listening, so that what ends a get ends the listening. */
  const lifetime = handle.begin<void>("broadcasts", {}, options);
  const listener = new Listener<T>({
    decode,
    buffer,
    isServedFromOutside: () => (handle.connection as SharedConnection).reach !== "isolate",
    onEnd: () => {
      handle.listeners.delete(listener);
      lifetime.resolve();
    },
  });
  const listening = handle.begin<void>("broadcasts", {});
  lifetime.whenSettled((failure) => {
    if (failure === undefined) return listening.resolve();
    listening.reject(failure.reason);
    if (failure.reason instanceof ChannelClosedError) listener.end();
    else listener.fail(failure.reason);
  });
  const closure = handle.closure("broadcasts");
  if (closure !== undefined) lifetime.reject(closure);
  if (!lifetime.settled) {
    handle.listeners.add(listener);
    handle.attachFor(lifetime).then(
      () => listening.resolve(),
      (error) => lifetime.reject(copyOfError(error)),
    );
  }
  const iterator: Broadcasts<T> = {
    // The promise of an operation exists once it is read, so that one that is not read is not an unhandled rejection.
    get ready() {
      return listening.promise;
    },
    get missed() {
      return listener.missed;
    },
    next: () => listener.next(owner),
    return: () => {
      listener.leave();
      return Promise.resolve(end);
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}

interface PendingNext<T> {
  /** An object that must not be garbage collected before the call of `next` has settled. */
  readonly owner: object;
  readonly resolve: (result: IteratorResult<T>) => void;
  readonly reject: (reason: unknown) => void;
}

/** The options of {@linkcode Listener}. */
interface ListenerOptions<T> {
  /** Returns the value of a message, without sharing its bytes. */
  decode(message: Message): T;
  /** Whether broadcasts may come from outside this process, which is then kept alive for them. */
  isServedFromOutside(): boolean;
  /** Called when the listening ends. */
  onEnd(): void;
  /** The number of broadcasts that are kept. */
  readonly buffer: number;
}

/**
 * A listener of a channel's broadcasts.
 *
 * Invariants: broadcasts wait or calls of `next` wait, never both. No call waits after the end. At most `buffer`
 * broadcasts wait. The process is kept alive while a call waits and a broadcast may come from outside.
 */
class Listener<T> implements AnnouncementListener {
  missed = 0;
  readonly #options: ListenerOptions<T>;
  /** The broadcasts that wait. They are decoded when they are read, because a slow listener drops most of them. */
  readonly #events = new Fifo<Uint8Array>();
  readonly #pending = new Fifo<PendingNext<T>>();
  #failure: { readonly reason: unknown } | undefined;
  #isEnded = false;
  readonly #keepAlive = new KeepAlive();

  constructor(options: ListenerOptions<T>) {
    this.#options = options;
  }

  heard(event: Uint8Array): void {
    if (this.#isEnded) return;
    const next = this.#pending.peek();
    if (next === undefined) {
      this.#events.push(event);
      if (this.#events.size <= this.#options.buffer) return;
      this.#events.shift();
      this.missed++;
      return;
    }
    const result = this.#read(event);
    if (result === undefined) return;
    this.#pending.shift();
    this.#setKeepAlive();
    next.resolve(result);
  }

  lost(count: number): void {
    this.missed += count;
  }

  next(owner: object): Promise<IteratorResult<T>> {
    for (let event; (event = this.#events.shift()) !== undefined;) {
      const result = this.#read(event);
      if (result !== undefined) return Promise.resolve(result);
    }
    if (this.#failure !== undefined) {
      const { reason } = this.#failure;
      this.#failure = undefined;
      return Promise.reject(reason);
    }
    if (this.#isEnded) return Promise.resolve(end);
    return new Promise((resolve, reject) => {
      this.#pending.push({ owner, resolve, reject });
      this.#setKeepAlive();
    });
  }

  /** Ends the listening normally. Broadcasts that wait can still be read. */
  end(): void {
    this.#end();
  }

  /** Ends the listening with an error, for the pending or next `next`. */
  fail(reason: unknown): void {
    if (this.#isEnded) return;
    this.#events.takeAll();
    this.#failure = { reason };
    this.#end();
  }

  /** Ends the listening and drops the broadcasts that wait. */
  leave(): void {
    this.#events.takeAll();
    this.#failure = undefined;
    this.#end();
  }

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#options.onEnd();
    for (const { resolve, reject } of this.#pending.takeAll()) {
      if (this.#failure === undefined) resolve(end);
      else reject(this.#failure.reason);
      this.#failure = undefined; // an iteration rejects once
    }
    this.#setKeepAlive();
  }

  /**
   * Returns undefined for an event that cannot be decoded: any program may announce anything, and a loop cannot act on
   * it.
   */
  #read(event: Uint8Array): IteratorResult<T> | undefined {
    try {
      return { value: this.#options.decode(messageOf(event)), done: false };
    } catch (error) {
      if (!(error instanceof ChannelDecodeError || error instanceof ChannelReferenceError)) {
        throw error;
      }
      this.missed++;
      return undefined;
    }
  }

  #setKeepAlive(): void {
    this.#keepAlive.set(this.#pending.size > 0 && this.#options.isServedFromOutside());
  }
}

const end: IteratorReturnResult<undefined> = { value: undefined, done: true };

/**
 * Returns the event that announces a broadcast. An event has no content type. CBOR follows the tag "self-described
 * CBOR" (RFC 8949, section 3.4.6), with which no text begins. JSON follows a space, with which no other announcement
 * begins: closeAll announces `"close"`.
 */
function eventOf({ body, contentType }: Message): Uint8Array {
  const prefix = contentType === cborType ? selfDescribed : space;
  const event = new Uint8Array(prefix.length + body.length);
  event.set(prefix);
  event.set(body, prefix.length);
  return event;
}

/** Returns the message of an event. An event that is not CBOR is JSON, which ChannelPy announces. */
function messageOf(event: Uint8Array): Message {
  return selfDescribed.every((byte, i) => byte === event[i])
    ? { body: event.subarray(selfDescribed.length), contentType: cborType }
    : { body: event, contentType: "" };
}

const cborType = "application/cbor";
const selfDescribed = Uint8Array.of(0xd9, 0xd9, 0xf7);
const space = Uint8Array.of(0x20);
