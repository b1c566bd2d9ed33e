/** What every error class takes beside its message. */
export interface ChannelErrorOptions {
  /** The error that led to this one. It never holds a credential. */
  readonly cause?: unknown;
}

/**
 * The class that every error of this library extends.
 *
 * @example
 * ```ts
 * import { Channel, ChannelError } from "@channelts/channel";
 *
 * await using ch = new Channel<string>();
 * try {
 *   await ch.get({ timeout: 0 });
 * } catch (error) {
 *   if (!(error instanceof ChannelError)) throw error;
 *   error.name; // "ChannelTimeoutError"
 * }
 * ```
 */
export class ChannelError extends Error {
  /** Its class, for who cannot use `instanceof`. */
  override readonly name: string = "ChannelError";

  /** The value of a rejected `put`, so that the caller can send it again. Not enumerable, so that logs do not print it. */
  declare readonly value?: unknown;

  /**
   * The id of the message of a rejected `put` whose outcome is unknown: it may have arrived, under
   * this id. Absent where the value has surely not arrived.
   */
  declare readonly messageId?: string;

  /**
   * Makes an error; transports do, too.
   *
   * @param message what was tried, and what happened
   * @param options what the error carries beside
   */
  constructor(message: string, options: ChannelErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
  }
}

/**
 * An operation took longer than its `timeout`, and the broker was reachable all the while.
 *
 * @example
 * ```ts
 * import { Channel, ChannelTimeoutError } from "@channelts/channel";
 * import { rejects } from "node:assert/strict";
 *
 * await using ch = new Channel();
 * await rejects(ch.get({ timeout: 10 }), ChannelTimeoutError);
 * ```
 */
export class ChannelTimeoutError extends ChannelError {
  /** Its class, for who cannot use `instanceof`. */
  override readonly name = "ChannelTimeoutError";
}

/**
 * What closed a channel: this handle's `close`, a `closeAll` or `delete` anywhere, `drain`:
 * `closeAll({ drain: true })`, after which nothing is put, and nothing is left to be got; or `missing`: a
 * reference arrived to a channel that is no longer there.
 */
export type CloseReason = "close" | "closeAll" | "drain" | "delete" | "missing";

/**
 * The handle, or the channel for everyone, is closed or deleted.
 *
 * @example
 * ```ts
 * import { Channel, ChannelClosedError } from "@channelts/channel";
 * import { rejects } from "node:assert/strict";
 *
 * await using ch = new Channel();
 * const waiting = rejects(ch.get(), ChannelClosedError);
 * await ch.closeAll();
 * await waiting;
 * ```
 */
export class ChannelClosedError extends ChannelError {
  /** Its class, for who cannot use `instanceof`. */
  override readonly name = "ChannelClosedError";
  /** What closed the channel. */
  readonly reason: CloseReason;

  /**
   * Makes an error; transports do, too.
   *
   * @param message what was tried, and what happened
   * @param options what the error carries beside
   */
  constructor(
    message: string,
    options: ChannelErrorOptions & { readonly reason?: CloseReason } = {},
  ) {
    super(message, options);
    this.reason = options.reason ?? "close";
  }
}

/**
 * Why a broker refused, where it can be told:
 *
 * - `login`: user name and password, or a certificate, are not the broker's;
 * - `permission`: the user may not do it;
 * - `limit`: there are as many queues, connections or AMQP channels as there may be;
 * - `conflict`: what has the channel's name at the broker cannot be used as the channel;
 * - `missing`: something that is needed, such as a vhost, does not exist;
 * - `unavailable`: the broker cannot do it now, as where a queue's node is down;
 * - `internal`: the broker has failed at it.
 */
export type RefusalReason =
  | "login"
  | "permission"
  | "limit"
  | "conflict"
  | "missing"
  | "unavailable"
  | "internal";

/**
 * The broker could not be reached, or refused, or the connection was lost in mid-operation.
 *
 * @example
 * ```ts
 * import { Channel, ChannelConnectionError } from "@channelts/channel";
 * import { rejects } from "node:assert/strict";
 *
 * const ch = new Channel({ connection: "amqp://localhost:1", retryTimeout: 0 });
 * await rejects(ch.put("a value"), ChannelConnectionError);
 * ```
 */
export class ChannelConnectionError extends ChannelError {
  /** Its class, for who cannot use `instanceof`. */
  override readonly name = "ChannelConnectionError";
  /** The broker's address, without credentials. */
  readonly address: string;
  /** Whether waiting may help: false for a wrong password, a missing vhost, or something that is no broker. */
  readonly transient: boolean;
  /** Why the broker refused. Absent where it did not, or nothing is known. */
  readonly reason?: RefusalReason;

  /**
   * Makes an error; transports do, too.
   *
   * @param message what was tried, and what happened
   * @param options what the error carries beside
   */
  constructor(
    message: string,
    options: ChannelErrorOptions & {
      readonly address: string;
      readonly transient?: boolean;
      readonly reason?: RefusalReason;
    },
  ) {
    super(message, options);
    this.address = options.address;
    this.transient = options.transient ?? true;
    if (options.reason !== undefined) this.reason = options.reason;
  }
}

/**
 * The configuration, a URI, a channel name or an option cannot be used.
 *
 * @example
 * ```ts
 * import { Channel, ChannelConfigError } from "@channelts/channel";
 * import { throws } from "node:assert/strict";
 *
 * throws(() => new Channel({ connection: "carrier-pigeon://roof" }), ChannelConfigError);
 * ```
 */
export class ChannelConfigError extends ChannelError {
  /** Its class, for who cannot use `instanceof`. */
  override readonly name = "ChannelConfigError";
}

/**
 * A message that was received cannot be decoded. It carries the bytes, so that nothing is lost.
 *
 * @example
 * ```ts
 * import { Channel, ChannelDecodeError } from "@channelts/channel";
 *
 * await using ch = new Channel<string>();
 * await ch.put("foo");
 * const value = await ch.get().catch((error) => {
 *   if (!(error instanceof ChannelDecodeError)) throw error;
 *   return error.bytes; // what some other program has sent
 * });
 * ```
 */
export class ChannelDecodeError extends ChannelError {
  /** Its class, for who cannot use `instanceof`. */
  override readonly name = "ChannelDecodeError";
  /** The message as it was received. */
  readonly bytes: Uint8Array;
  /** The message's MIME content type; empty if it had none. */
  readonly contentType: string;

  /**
   * Makes an error; transports do, too.
   *
   * @param message what was tried, and what happened
   * @param options what the error carries beside
   */
  constructor(
    message: string,
    options: ChannelErrorOptions & { readonly bytes: Uint8Array; readonly contentType: string },
  ) {
    super(message, options);
    this.bytes = options.bytes;
    this.contentType = options.contentType;
  }
}

/**
 * A channel inside a value cannot travel this way: it would reach less far than the channel that
 * carries it, or it names a broker that the receiving process has not configured.
 *
 * @example
 * ```ts
 * import { Channel, ChannelReferenceError } from "@channelts/channel";
 * import { rejects } from "node:assert/strict";
 *
 * const here = new Channel({ connection: "memory:" });
 * const everywhere = new Channel({ connection: "amqp://localhost:1" });
 * await rejects(everywhere.put(here), ChannelReferenceError);
 * ```
 */
export class ChannelReferenceError extends ChannelError {
  /** Its class, for who cannot use `instanceof`. */
  override readonly name = "ChannelReferenceError";
  /** The received message, where the error is a receiver's. */
  readonly bytes?: Uint8Array;

  /**
   * Makes an error; transports do, too.
   *
   * @param message what was tried, and what happened
   * @param options what the error carries beside
   */
  constructor(
    message: string,
    options: ChannelErrorOptions & { readonly bytes?: Uint8Array } = {},
  ) {
    super(message, options);
    if (options.bytes !== undefined) this.bytes = options.bytes;
  }
}

/**
 * A value, a request, a reply or a broadcast has more bytes than the broker takes. It has not arrived, and
 * trying again does not help.
 *
 * RabbitMQ 4 takes 16 MiB, earlier versions 128 MiB, unless `max_message_size` says otherwise; a file of SQLite
 * takes 999,000,000 bytes; memory has no limit.
 *
 * @example
 * ```ts
 * import { Channel, ChannelSizeError } from "@channelts/channel";
 *
 * await using ch = new Channel<Uint8Array>();
 * const pages = new Uint8Array(100_000);
 * try {
 *   await ch.put(pages);
 * } catch (error) {
 *   if (!(error instanceof ChannelSizeError)) throw error;
 *   for (let at = 0; at < pages.length; at += 10_000) await ch.put(pages.subarray(at, at + 10_000));
 * }
 * ```
 */
export class ChannelSizeError extends ChannelError {
  /** Its class, for who cannot use `instanceof`. */
  override readonly name = "ChannelSizeError";
  /** How many bytes the encoded value has. */
  readonly size: number;
  /** How many are taken at most. */
  readonly limit: number;

  /**
   * Makes an error; transports do, too.
   *
   * @param message what was tried, and what happened
   * @param options what the error carries beside
   */
  constructor(
    message: string,
    options: ChannelErrorOptions & { readonly size: number; readonly limit: number },
  ) {
    super(message, options);
    this.size = options.size;
    this.limit = options.limit;
  }
}
