// The errors of operations whose broker or home cannot be reached.

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
  if (error instanceof ChannelClosedError) {
    const { message, reason, cause } = error;
    error = new ChannelClosedError(message + unknownOutcomeText, { reason, cause });
    if (id !== undefined) withMessageId(error, id);
    return error;
  }
  if (!(error instanceof ChannelConnectionError)) return error;
  const { message, address, transient, reason, cause } = error;
  const unknown = new ChannelConnectionError(message + unknownOutcomeText, {
    address,
    transient,
    cause,
    ...reason === undefined ? {} : { reason },
  });
  if (id !== undefined) withMessageId(unknown, id);
  return unknown;
}

/** Returns the error for an operation that waited as its link was closed. */
export function closedMeanwhile(action: string, address: string, cause: Error): ChannelError {
  const message = `${action}: gave up waiting for ${address}: ${cause.message}`;
  return new ChannelConnectionError(message, { address, transient: true, cause });
}
