// The errors of operations whose broker or home cannot be reached, or does not have the channel.

import { deletedText, missingText } from "../../shared/closed_errors.ts";
import {
  ChannelClosedError,
  ChannelConnectionError,
  type ChannelError,
} from "../../shared/errors.ts";
import { unknownOutcomeText, withMessageId } from "../../shared/put_errors.ts";

/** Returns the error for an operation that has waited too long for a connection. */
export function outage(
  action: string,
  { address, trouble }: { readonly address: string; readonly trouble: Error | undefined },
): ChannelConnectionError {
  const reason = trouble === undefined
    ? `the channel is not available on ${address} at the moment`
    : trouble instanceof ChannelConnectionError
    ? trouble.message
    : `cannot connect to ${address}: ${trouble.message}`;
  const known = trouble instanceof ChannelConnectionError ? trouble.reason : undefined;
  return new ChannelConnectionError(`${action}: ${reason}`, {
    address,
    cause: trouble,
    ...known === undefined ? {} : { reason: known },
  });
}

/** Returns the error for a put that was sent and is not confirmed: its outcome is unknown. */
export function unknownOutcome(error: ChannelError, id: string | undefined): ChannelError {
  // The text of a home may say so already.
  const message = error.message.replace(unknownOutcomeText, "") + unknownOutcomeText;
  if (error instanceof ChannelClosedError) {
    const { reason, cause } = error;
    error = new ChannelClosedError(message, { reason, cause });
    if (id !== undefined) withMessageId(error, id);
    return error;
  }
  if (!(error instanceof ChannelConnectionError)) return error;
  const { address, transient, reason, cause } = error;
  const unknown = new ChannelConnectionError(message, {
    address,
    transient,
    cause,
    ...reason === undefined ? {} : { reason },
  });
  if (id !== undefined) withMessageId(unknown, id);
  return unknown;
}

/** Returns the error of a put: if it was sent, its outcome is unknown. */
export function putError(
  error: ChannelError,
  wasSent: boolean,
  id: string | undefined,
): ChannelError {
  return wasSent ? unknownOutcome(error, id) : error;
}

/** Returns the error of an operation on a channel that was deleted, or has never been. */
export function goneError(
  action: string,
  name: string,
  reason: "delete" | "missing",
): ChannelClosedError {
  const outcome = reason === "delete" ? deletedText : missingText;
  return new ChannelClosedError(`${action}: channel ${name} ${outcome}`, { reason });
}

/** Returns the error for an operation that waited as its link was closed. */
export function closedMeanwhile(action: string, address: string, cause: Error): ChannelError {
  const message = `${action}: gave up waiting for ${address}: ${cause.message}`;
  return new ChannelConnectionError(message, { address, transient: true, cause });
}
