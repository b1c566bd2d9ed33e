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

/** Says that a put's outcome is unknown. */
export function withMessageId(error: unknown, messageId: string): unknown {
  if (error instanceof ChannelError) {
    Reflect.defineProperty(error, "messageId", { value: messageId, configurable: true });
  }
  return error;
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

/** What has become of a channel that was deleted. */
export const deletedText = "was deleted; make a new handle to create it anew";

/** What has become of a drained channel. */
export const drainedText =
  "was closed by closeAll({ drain: true }), and stays closed until it is deleted";

/** What is rejected where a channel takes no more values, or has no more to give, by `closeAll({ drain: true })`. */
export function drainedError(action: string, name: string): ChannelClosedError {
  return new ChannelClosedError(
    `${action}: channel ${name} ${drainedText}`,
    { reason: "drain" },
  );
}

/** The error of a put with a delay into a channel that holds nothing. */
export function undelayableError(name: string): ChannelConfigError {
  return new ChannelConfigError(
    `put: channel ${name} has capacity 0 and holds nothing: the option delay cannot be used`,
  );
}

/**
 * An error like `error` for one more caller: several may wait for the same thing, and each gets an
 * error of its own, as a put's carries its value.
 */
export function errorAnew(error: unknown): unknown {
  return error instanceof ChannelError ? withMessage(error.message, error, error) : error;
}

/** The error of an operation whose work another one did, such as attaching, named as its caller called it. */
export function errorOf(action: string, error: unknown): unknown {
  const named = renamed(action, error);
  if (!(named instanceof ChannelError) || named !== error) return named;
  const { message } = named;
  const isNamed = message.startsWith(`${action}: `) || message.startsWith(`${action} on channel `);
  return isNamed ? named : withMessage(`${action}: ${message}`, named);
}

/** The same, where the error names the other one. */
export function renamed(action: string, error: unknown): unknown {
  if (!(error instanceof ChannelError)) return error;
  const { message } = error;
  const named = inner.exec(message)?.[0];
  if (named === undefined || named === action) return error;
  return withMessage(action + message.slice(named.length), error);
}

/** The same, where the error names a channel that its caller does not know. */
export function renamedChannel(from: string, to: string, error: unknown): unknown {
  if (!(error instanceof ChannelError)) return error;
  return withMessage(error.message.replaceAll(from, to), error);
}

/** The error of a value that cannot be put: one of its own getters' stays what it is. */
export function errorOfValue(action: string, error: unknown): unknown {
  return error instanceof ChannelReferenceError ? errorOf(action, error) : error;
}

/** What an error begins with that is not named as its caller called it. */
const inner = /^(?:attach|connect|announce|depth|get|put|receive|select)(?=: | on channel )/;

function withMessage(message: string, error: ChannelError, origin?: ChannelError): ChannelError {
  const Same = error.constructor as new (message: string, options: object) => ChannelError;
  const cause = error.cause ?? origin;
  const same = new Same(message, { ...error, ...(cause === undefined ? {} : { cause }) });
  if (error.messageId !== undefined) withMessageId(same, error.messageId);
  return same;
}

/** What the error of a put says that was sent and is not confirmed. */
export const unknownOutcomeText = "; unknown outcome: the value may have arrived";

/**
 * Lets a put's error carry the value that was not sent, without showing it in logs. Never for the reason of a
 * signal, which is the caller's. An error that a getter of the value has thrown may be frozen: it stays as it is.
 */
export function withValue(error: unknown, value: unknown): unknown {
  if (error instanceof ChannelError || isCloneError(error)) {
    Reflect.defineProperty(error, "value", { value, configurable: true, writable: true });
  }
  return error;
}

/** Has the stack of an error begin at whoever called `callee`, where the engine can: the caller's line is in it then. */
export function stackFrom(error: Error, callee: unknown): void {
  const { captureStackTrace } = Error as {
    captureStackTrace?(error: object, callee: unknown): void;
  };
  if (captureStackTrace === undefined || !Object.isExtensible(error)) return;
  captureStackTrace(error, callee);
  const { name, message, stack = "" } = error;
  if (stack.startsWith(name)) return;
  const value = `${name}: ${message}${stack.slice(stack.search(/\n|$/))}`; // Bun does not say what happened
  Object.defineProperty(error, "stack", { value, configurable: true, writable: true });
}

/**
 * Gives an error the stack of the asynchronous function that runs, and of those that await it. JavaScriptCore finds
 * no one who awaits a promise of another kind, so that an error keeps the stack that it was made with there.
 */
export function captureStack(error: Error): void {
  const { captureStackTrace } = Error as {
    captureStackTrace?(error: object, callee: unknown): void;
  };
  const cannot = "Bun" in globalThis || captureStackTrace === undefined;
  if (cannot || !Object.isExtensible(error)) return;
  captureStackTrace(error, captureStack);
}

/** What `structuredClone`, and so a put, rejects with for a value that cannot be copied. */
export function isCloneError(error: unknown): error is DOMException {
  return error instanceof DOMException && error.name === "DataCloneError";
}
