/**
 * How requests and replies travel: the shapes, and what is announced on a reply channel.
 *
 * CBOR: `{ id, value, reply_to }` is answered with `{ id, value }` or `{ id, error }`. Without an id, which
 * is ChannelPy's shape and JSON's: `{ value, reply_to }` is answered with the value, or with
 * `{ "__error__": { name, message, … } }` alone. Beside a reply, `{ id, begun: true }` tells that a handler is at
 * work.
 *
 * @module
 */
import { type Failure, isRecord, readFailure } from "./remote_error.ts";
import { directionOf } from "../handle/channel_registry.ts";
import { type Handle, handleOf } from "../handle/handle.ts";

/** A request as it was received. */
export interface Request {
  /** Its requester's name for it; absent where the reply channel is for this one request. */
  readonly id: number | undefined;
  readonly value: unknown;
  readonly replyTo: Handle;
}

/** What a message says, if it is a request. It is untrusted. */
export function readRequest(message: unknown): Request | undefined {
  if (!isRecord(message) || !Object.hasOwn(message, "value")) return undefined;
  const { id, value, reply_to: channel } = message;
  if (id !== undefined && !isId(id) || !isRecord(channel)) return undefined;
  const replyTo = handleOf(channel);
  if (replyTo === undefined || directionOf(channel) === "receive") return undefined;
  return { id, value, replyTo };
}

/** What a reply says: the value, or the error that its requester is given. */
export type Outcome = { readonly value: unknown } | { readonly error: Error };

/** The reply of this id, if a message is one. It is untrusted. */
export function readReply(message: unknown): { id: number; outcome: Outcome } | undefined {
  if (!isRecord(message) || !isId(message.id)) return undefined;
  const { id } = message;
  if (Object.hasOwn(message, "error")) {
    const error = readFailure(message.error);
    return error && { id, outcome: { error } };
  }
  if (Object.hasOwn(message, "value")) return { id, outcome: { value: message.value } };
}

/** What a reply without an id says. */
export function readPlainReply(message: unknown): Outcome {
  if (
    isRecord(message) && Object.hasOwn(message, plainError) && Object.keys(message).length === 1
  ) {
    const error = readFailure(message[plainError]);
    if (error !== undefined) return { error };
  }
  return { value: message };
}

/** The only key of a reply without an id that tells of an error. */
const plainError = "__error__";

export function writeReply(id: number | undefined, value: unknown, to: Handle): unknown {
  if (id !== undefined) return { id, value };
  return value === undefined && to.encoding === "json" ? null : value; // as JSON has none
}

export function writeError(id: number | undefined, failure: Failure): unknown {
  return id === undefined ? { [plainError]: failure } : { id, error: failure };
}

/** Tells a requester that a handler is at work on its request: one that does not wait for it any more says so again. */
export function writeBegun(id: number): unknown {
  return { id, begun: true };
}

/** The request of which a message says that a handler is at work on it. It is untrusted. */
export function readBegun(message: unknown): number | undefined {
  if (!isRecord(message) || message.begun !== true || !isId(message.id)) return undefined;
  return Object.hasOwn(message, "value") || Object.hasOwn(message, "error")
    ? undefined
    : message.id;
}

/** What is announced on a reply channel, in JSON as all announcements are. */
export interface Notice {
  /** The requester waits no more for the reply of this id. */
  readonly cancel?: number;
  /** The requester waits for nothing any more: not every transport tells that a channel is deleted. */
  readonly gone?: true;
}

export function writeNotice(notice: Notice): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(notice));
}

/** What an announcement says. It is untrusted. */
export function readNotice(event: Uint8Array): Notice {
  if (event.length > 100) return {};
  try {
    const notice: unknown = JSON.parse(new TextDecoder().decode(event));
    return isRecord(notice) ? notice : {};
  } catch {
    return {};
  }
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
