// The errors of all transports for a channel that is closed, deleted or missing. The core adds the name of the
// operation.

import { ChannelClosedError, ChannelConfigError } from "./errors.ts";

/** What a message says of a deleted channel, after its name. */
export const deletedText = "was deleted; make a new handle to create it anew";

/** What a message says of a channel that was closed for all handles, after its name. */
export const closedForAllText = "was closed for all handles; make a new handle to reopen it";

/** What a message says of a channel that is missing, after its name. */
export const missingText = "does not exist";

/** What a message says of a drained channel, after its name. */
export const drainedText =
  "was closed by closeAll({ drain: true }), and stays closed until it is deleted";

export function deletedError(name: string): ChannelClosedError {
  return new ChannelClosedError(`channel ${name} ${deletedText}`, { reason: "delete" });
}

export function missingError(name: string): ChannelClosedError {
  return new ChannelClosedError(`channel ${name} ${missingText}`, { reason: "missing" });
}

/** Returns the error of an operation on a drained channel: of any put, and of a get once no value is left. */
export function drainedError(name: string): ChannelClosedError {
  return new ChannelClosedError(`channel ${name} ${drainedText}`, { reason: "drain" });
}

/** Returns the error of a put with a delay into a channel of capacity 0. */
export function undelayableError(name: string): ChannelConfigError {
  return new ChannelConfigError(
    `channel ${name} has capacity 0 and holds no values; leave out the option "delay"`,
  );
}
