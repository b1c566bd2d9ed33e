// The errors of operations that time out, or whose handle is closed.
import {
  closedForAllText,
  deletedText,
  drainedText,
  missingText,
} from "../shared/closed_errors.ts";
import {
  ChannelClosedError,
  ChannelConnectionError,
  type ChannelError,
  ChannelTimeoutError,
  type CloseReason,
} from "../shared/errors.ts";
import { unknownOutcomeText } from "../shared/put_errors.ts";

import { PendingConnection } from "../connection/configured.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";

/** A channel, as errors name it. */
export interface NamedChannel {
  readonly name: string;
  readonly connection: SharedConnection | PendingConnection;
}

/** Returns the channel's name and address, for people. */
export function titleOf({ name, connection }: NamedChannel): string {
  return connection instanceof PendingConnection ? name : `${name} on ${connection.address}`;
}

/** @param isOutcomeUnknown whether a value that was put may have arrived */
export function closedError(
  channel: NamedChannel,
  action: string,
  reason: CloseReason,
  isOutcomeUnknown: boolean,
): ChannelClosedError {
  const outcome = `${closedBecause[reason]}${isOutcomeUnknown ? unknownOutcomeText : ""}`;
  return new ChannelClosedError(`${action}: channel ${titleOf(channel)} ${outcome}`, { reason });
}

const closedBecause: Readonly<Record<CloseReason, string>> = {
  close: "is closed in this process; make a new handle to continue",
  closeAll: closedForAllText,
  drain: drainedText,
  delete: deletedText,
  missing: missingText,
};

/**
 * Returns the error for a timeout. If the broker is unreachable, the error says so, and not that the channel is empty.
 *
 * @param wasRecalled whether the value of a put surely does not arrive
 */
export function timeoutError(
  channel: NamedChannel,
  action: string,
  timeout: number | undefined,
  wasRecalled: boolean,
): ChannelError {
  const { connection } = channel;
  const outcomeText = wasRecalled ? "" : unknownOutcomeText;
  if (connection instanceof PendingConnection || connection.trouble !== undefined) {
    return unansweredError(channel, action, timeout, outcomeText);
  }
  let advice = outcomeText;
  if (action === "put" && connection.blocked !== undefined) {
    advice = `; the broker accepts no messages now: ${connection.blocked}${outcomeText}`;
  } else if (action === "put" && wasRecalled) advice = "; the channel may be full";
  const problem = timedOutBecause[action] ?? "no answer came";
  return new ChannelTimeoutError(
    `${action}: channel ${titleOf(channel)}: ${problem} within ${timeout} ms${advice}`,
  );
}

/** Returns the error for a broker that has not answered in time. */
export function unansweredError(
  channel: NamedChannel,
  action: string,
  timeout: number | undefined,
  outcomeText = "",
): ChannelConnectionError {
  const { connection } = channel;
  const broker = connection instanceof PendingConnection ? undefined : connection;
  const trouble = broker?.trouble;
  const why = trouble === undefined ? "" : `: ${trouble.message}`;
  const title = why.includes(broker?.address ?? why) ? channel.name : titleOf(channel);
  return new ChannelConnectionError(
    `${action}: channel ${title} could not be reached within ${timeout} ms${why}${outcomeText}`,
    { address: broker?.address ?? "", cause: trouble },
  );
}

const timedOutBecause: Readonly<Record<string, string>> = {
  get: "nothing arrived",
  tryGet: "nothing arrived",
  receive: "nothing arrived",
  request: "no reply came",
  whenEmpty: "the channel was not empty",
  put: "the value was not taken",
  tryPut: "no answer came",
};
