// What the values of a peer's requests may be. The core checks the options of a program in the same way; a peer may be any
// program, and what it sends must not harm the engine, or a peer that receives it.

import { ChannelConfigError } from "../shared/errors.ts";
import { longestTerm, longestTimer } from "../shared/timers.ts";
import type { LinkOptions, Message, PutTerm } from "../transports/transport.ts";

/** The most values in a channel, and the most attempts of a message. */
const mostCount = 2 ** 31 - 1;

/** The most bytes of a message's id and of its content type, as in AMQP. */
const mostText = 255;

/** The most characters of the reason of a dead letter. */
const mostReason = 1000;

const encoder = new TextEncoder();

/**
 * Checks a message that a peer puts.
 *
 * @param terms the terms that the engine supports
 * @throws {ChannelConfigError} if the message cannot be put
 */
export function checkPut(message: Message, terms: readonly PutTerm[]): void {
  const { id = "", contentType, attempts = 0, reason = "", copy = 0 } = message;
  const { delay, expires, priority } = message;
  for (const [name, text] of [["id", id], ["contentType", contentType]] as const) {
    if (isLonger(text, mostText)) throw wrong("put", name, `at most ${mostText} bytes`);
  }
  if (reason.length > mostReason) throw wrong("put", "reason", `at most ${mostReason} characters`);
  if (attempts > mostCount) throw wrong("put", "attempts", `at most ${mostCount}`);
  if (copy > mostCount) throw wrong("put", "copy", `at most ${mostCount}`);
  const given = { delay, expires, priority };
  for (const term of ["delay", "expires", "priority"] as const) {
    if (given[term] === undefined || terms.includes(term)) continue;
    const offered = terms.length === 0 ? "none" : `${terms.join(" and ")} only`;
    throw new ChannelConfigError(
      `put: "${term}" is not for channels of this home: of such options they take ${offered}`,
    );
  }
  if (delay !== undefined && !isWithin(delay, 0)) {
    throw wrong("put", "delay", `an integer from 0 to ${longestTerm}`);
  }
  if (expires !== undefined && !isWithin(expires, Math.max(1, (delay ?? 0) + 1))) {
    throw wrong("put", "expires", `an integer from 1 to ${longestTerm} and more than "delay"`);
  }
  if (priority !== undefined && !Number.isSafeInteger(priority)) {
    throw wrong("put", "priority", "a safe integer");
  }
}

/** Checks the options with which a peer opens a channel. @throws {ChannelConfigError} if one cannot be used */
export function checkOpen({ lease, capacity = 0 }: Pick<LinkOptions, "lease" | "capacity">): void {
  if (lease !== undefined && !(Number.isSafeInteger(lease) && lease > 0 && lease <= longestTimer)) {
    throw wrong("attach", "lease", `an integer from 1 to ${longestTimer}`);
  }
  if (capacity > mostCount) throw wrong("attach", "capacity", `at most ${mostCount}`);
}

/** Returns the properties of a message as a peer is sent them: another program may have written any into the engine. */
export function lentMessage(message: Message): Message {
  const { attempts = 0, reason = "" } = message;
  if (attempts <= mostCount && reason.length <= mostReason) return message;
  return {
    ...message,
    ...attempts === 0 ? {} : { attempts: lentAttempts(attempts) },
    ...reason === "" ? {} : { reason: reason.slice(0, mostReason) },
  };
}

/** Returns the number of attempts as a peer is sent it. */
export function lentAttempts(attempts: number): number {
  return Math.min(attempts, mostCount);
}

function isWithin(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= longestTerm;
}

function isLonger(text: string, bytes: number): boolean {
  return text.length > bytes || 3 * text.length > bytes && encoder.encode(text).length > bytes;
}

function wrong(action: string, member: string, takes: string): ChannelConfigError {
  return new ChannelConfigError(
    `${action}: the member "${member}" takes ${takes}; correct the peer`,
  );
}
