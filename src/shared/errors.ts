/** Options of every error class. */
export interface ChannelErrorOptions {
  /** The error that caused this one. It never holds a credential. */
  readonly cause?: unknown;
}

/**
 * The base class of the errors of this library. Catch it to tell them from the errors of your own code.
 *
 * An aborted operation rejects with the reason of its signal, and a value that cannot be cloned with a `DOMException`
 * named `DataCloneError`: neither extends this class.
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
  /** The name of the class, for programs that cannot use `instanceof`. */
  override readonly name: string = "ChannelError";

  /** The value of a rejected `put`, which the caller can send again. Not enumerable, so that logs do not print it. */
  declare readonly value?: unknown;

  /**
   * The id of the message of a rejected `put` whose outcome is unknown: the value may have arrived, under this id.
   * Absent if the value has certainly not arrived.
   */
  declare readonly messageId?: string;

  /**
   * Creates an error. Transports use it, too.
   *
   * @param message the operation, what happened, and what to do
   * @param options the properties of the error
   */
  constructor(message: string, options: ChannelErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
  }
}

/**
 * An operation did not complete within its `timeout`, although the broker was reachable: the channel stayed empty, or
 * full. No value is lost: a `get` that timed out has taken none, and the error of a `put` carries its `value`.
 *
 * Try again, or use a longer timeout. If `messageId` is set, the value of a `put` may have arrived all the same.
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
  /** The name of the class, for programs that cannot use `instanceof`. */
  override readonly name = "ChannelTimeoutError";
}

/**
 * What closed a channel:
 *
 * - `close`: this handle's `close`;
 * - `closeAll`: a `closeAll` in any process;
 * - `drain`: `closeAll({ drain: true })` in any process; nothing can be put, and nothing is left to get;
 * - `delete`: a `delete` in any process;
 * - `missing`: the channel of a reference no longer exists.
 */
export type CloseReason = "close" | "closeAll" | "drain" | "delete" | "missing";

/**
 * The channel is closed or deleted: for this handle, or for everyone. `reason` tells which. Operations that are pending
 * at that moment reject with this error, and so do later ones; loops over the channel end normally.
 *
 * Unless the reason is `drain`, a new handle of the same name works: create one to continue.
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
  /** The name of the class, for programs that cannot use `instanceof`. */
  override readonly name = "ChannelClosedError";
  /** What closed the channel. The default is `close`. */
  readonly reason: CloseReason;

  /**
   * Creates an error. Transports use it, too.
   *
   * @param message the operation, what happened, and what to do
   * @param options the properties of the error
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
 * Why a broker refused an operation:
 *
 * - `login`: the broker does not accept the user name and password, or the certificate;
 * - `permission`: the user lacks a permission;
 * - `limit`: a limit of queues, connections or AMQP channels is reached;
 * - `conflict`: a queue or exchange of the channel's name exists that cannot serve as the channel;
 * - `missing`: something that the operation needs, such as a vhost, does not exist;
 * - `unavailable`: the broker cannot do it now, for example because a queue's node is down;
 * - `internal`: the broker failed.
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
 * The broker refused an operation, or could not be reached for longer than `retryTimeout`, in which the library retries
 * by itself.
 *
 * If `transient` is true, try again later. Otherwise correct what the message names, such as a password. If `messageId`
 * is set, the value of a `put` may have arrived all the same.
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
  /** The name of the class, for programs that cannot use `instanceof`. */
  override readonly name = "ChannelConnectionError";
  /** The broker's address, without credentials. */
  readonly address: string;
  /** Whether waiting may help: false for a wrong password, a missing vhost, or a server that is no broker. */
  readonly transient: boolean;
  /** Why the broker refused. Absent if it did not refuse, or gave no reason that is known. */
  readonly reason?: RefusalReason;

  /**
   * Creates an error. Transports use it, too.
   *
   * @param message the operation, what happened, and what to do
   * @param options the properties of the error
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
 * A mistake in the program or its configuration: a configuration file, a URI, a channel name or an option cannot be
 * used. The message names it, and what is expected. Trying again does not help.
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
  /** The name of the class, for programs that cannot use `instanceof`. */
  override readonly name = "ChannelConfigError";
}

/**
 * A received message cannot be decoded: another program sent it, or it is damaged or hostile. A `get` has taken it out
 * of the channel, and the error carries its bytes, so that nothing is lost. Later gets are not affected.
 *
 * @example
 * ```ts
 * import { Channel, ChannelDecodeError } from "@channelts/channel";
 *
 * await using ch = new Channel<string>();
 * await ch.put("foo");
 * const value = await ch.get().catch((error) => {
 *   if (!(error instanceof ChannelDecodeError)) throw error;
 *   return error.bytes; // sent by another program
 * });
 * ```
 */
export class ChannelDecodeError extends ChannelError {
  /** The name of the class, for programs that cannot use `instanceof`. */
  override readonly name = "ChannelDecodeError";
  /** The bytes of the message. */
  readonly bytes: Uint8Array;
  /** The MIME content type of the message; empty if it had none. */
  readonly contentType: string;

  /**
   * Creates an error. Transports use it, too.
   *
   * @param message the operation, what happened, and what to do
   * @param options the properties of the error
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
 * A channel inside a value cannot be sent or received.
 *
 * A `put` rejects with this error if the carrying channel reaches further than the channel inside the value: a
 * `memory:` channel cannot travel to another process. Use channels of one broker for both.
 *
 * A `get` rejects with it if the reference names a broker that the receiving process has not configured. The message
 * has left the channel, and the error carries its bytes. Open a `Connection` to that broker to receive the reference.
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
  /** The name of the class, for programs that cannot use `instanceof`. */
  override readonly name = "ChannelReferenceError";
  /** The bytes of the received message. Absent if the error is one of a `put`. */
  readonly bytes?: Uint8Array;

  /**
   * Creates an error. Transports use it, too.
   *
   * @param message the operation, what happened, and what to do
   * @param options the properties of the error
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
 * A value, a request, a reply or a broadcast has more bytes than the broker accepts. It has not arrived, and trying
 * again does not help: send it in parts.
 *
 * By default, RabbitMQ 4 accepts 16 MiB and earlier versions accept 128 MiB (`max_message_size`). SQLite accepts
 * 999,000,000 bytes. Memory has no limit.
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
  /** The name of the class, for programs that cannot use `instanceof`. */
  override readonly name = "ChannelSizeError";
  /** The size of the encoded value in bytes. */
  readonly size: number;
  /** The largest size that the broker accepts, in bytes. */
  readonly limit: number;

  /**
   * Creates an error. Transports use it, too.
   *
   * @param message the operation, what happened, and what to do
   * @param options the properties of the error
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
