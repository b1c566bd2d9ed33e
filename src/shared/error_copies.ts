import { ChannelError, ChannelReferenceError } from "./errors.ts";
import { withMessageId } from "./put_errors.ts";

/**
 * Returns an error like `error`, for one of several callers that wait for the same thing. Each caller needs its own,
 * since the error of a put carries the put's value.
 */
export function copyOfError(error: unknown): unknown {
  return error instanceof ChannelError ? withMessage(error.message, error, error) : error;
}

/**
 * Returns `error` with a message that begins with `action`, the operation that the caller called. The error may come
 * from another operation that did the work, such as attaching.
 */
export function errorOfAction(action: string, error: unknown): unknown {
  const renamed = renameAction(action, error);
  if (!(renamed instanceof ChannelError) || renamed !== error) return renamed;
  const { message } = renamed;
  const isNamed = message.startsWith(`${action}: `) || message.startsWith(`${action} on channel `);
  return isNamed ? renamed : withMessage(`${action}: ${message}`, renamed);
}

/** Returns `error` with `action` in place of an inner operation that its message begins with, if there is one. */
export function renameAction(action: string, error: unknown): unknown {
  if (!(error instanceof ChannelError)) return error;
  const { message } = error;
  const inner = innerAction.exec(message)?.[0];
  if (inner === undefined || inner === action) return error;
  return withMessage(action + message.slice(inner.length), error);
}

/** The operations that the library performs on behalf of others. */
const innerAction =
  /^(?:attach|connect|announce|depth|get|put|receive|select|stats)(?=: | on channel )/;

/** Returns `error` with the channel name `to` in place of `from`, which the caller does not know. */
export function renameChannel(from: string, to: string, error: unknown): unknown {
  if (!(error instanceof ChannelError)) return error;
  return withMessage(error.message.replaceAll(from, to), error);
}

/** Returns the error of a value that cannot be put. An error that a getter of the value has thrown stays unchanged. */
export function errorOfValue(action: string, error: unknown): unknown {
  return error instanceof ChannelReferenceError ? errorOfAction(action, error) : error;
}

/** @param cause the cause of the new error if `error` has none */
function withMessage(message: string, error: ChannelError, cause?: ChannelError): ChannelError {
  const Same = error.constructor as new (message: string, options: object) => ChannelError;
  const inherited = error.cause ?? cause;
  const options = { ...error, ...inherited === undefined ? {} : { cause: inherited } };
  const copy = new Same(message, options);
  if (error.messageId !== undefined) withMessageId(copy, error.messageId);
  return copy;
}
