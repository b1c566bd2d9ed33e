import { ChannelError } from "./errors.ts";

/** How the message of a put's error ends if the put was sent and not confirmed. */
export const unknownOutcomeText = "; unknown outcome: the value may have arrived";

/** Marks the error of a put whose outcome is unknown. */
export function withMessageId(error: unknown, messageId: string): unknown {
  if (error instanceof ChannelError) {
    Reflect.defineProperty(error, "messageId", { value: messageId, configurable: true });
  }
  return error;
}

/**
 * Attaches the value that was not sent to a put's error; logs do not show it. The reason of an abort signal belongs to
 * the caller and stays unchanged, and so does a frozen error that a getter of the value has thrown.
 */
export function withValue(error: unknown, value: unknown): unknown {
  if (error instanceof ChannelError || isCloneError(error)) {
    Reflect.defineProperty(error, "value", { value, configurable: true, writable: true });
  }
  return error;
}

/** Reports whether an error is what `structuredClone` and `put` report for a value that cannot be cloned. */
export function isCloneError(error: unknown): error is DOMException {
  return error instanceof DOMException && error.name === "DataCloneError";
}
