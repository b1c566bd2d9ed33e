/**
 * The protocol of requests and replies: the shapes of the messages, and of the events that are announced on a reply
 * channel.
 *
 * In CBOR, a request is `{ id, value, reply_to }` and its reply `{ id, value }` or `{ id, error }`. Without an id, which is
 * ChannelPy's shape and that of JSON, a request is `{ value, reply_to }`, and its reply is the value itself, or
 * `{ "__error__": { name, message, … } }`. While a handler works it may put `{ id, begun: true }` into the reply channel, to ask
 * whether the requester still waits.
 *
 * @module
 */
import { directionOf } from "../handle/channel_registry.ts";
import { type Handle, handleOf } from "../handle/handle.ts";
import { type ErrorData, errorFromData, isRecord } from "./remote_error.ts";

/** A request that was received. */
export interface Request {
  /** The requester's identifier; absent if the reply channel is for this request alone. */
  readonly id: number | undefined;
  readonly value: unknown;
  readonly replyTo: Handle;
}

/** Reads a request; returns undefined if the message is none. The message is untrusted; so below. */
export function readRequest(message: unknown): Request | undefined {
  if (!isRecord(message) || !Object.hasOwn(message, "value")) return undefined;
  const { id, value, reply_to: channel } = message;
  if (id !== undefined && !isId(id) || !isRecord(channel)) return undefined;
  const replyTo = handleOf(channel);
  if (replyTo === undefined || directionOf(channel) === "receive") return undefined;
  return { id, value, replyTo };
}

/** What a reply holds: the value, or the error for the requester. */
export type Outcome = { readonly value: unknown } | { readonly error: Error };

/** Reads a reply with an id; returns undefined if the message is none. */
export function readReply(message: unknown): { id: number; outcome: Outcome } | undefined {
  if (!isRecord(message) || !isId(message.id)) return undefined;
  const { id } = message;
  if (Object.hasOwn(message, "error")) {
    const error = errorFromData(message.error);
    return error && { id, outcome: { error } };
  }
  if (Object.hasOwn(message, "value")) return { id, outcome: { value: message.value } };
}

/** Reads a reply without an id. */
export function readPlainReply(message: unknown): Outcome {
  if (
    isRecord(message) && Object.hasOwn(message, plainError) && Object.keys(message).length === 1
  ) {
    const error = errorFromData(message[plainError]);
    if (error !== undefined) return { error };
  }
  return { value: message };
}

/** The only key of a reply without an id that holds an error. */
const plainError = "__error__";

export function writeReply(id: number | undefined, value: unknown, to: Handle): unknown {
  if (id !== undefined) return { id, value };
  return value === undefined && to.encoding === "json" ? null : value; // JSON has no undefined
}

export function writeError(id: number | undefined, error: ErrorData): unknown {
  return id === undefined ? { [plainError]: error } : { id, error };
}

/** Returns the message that a handler works on a request. A requester that no longer waits answers with a cancellation. */
export function writeBegun(id: number): unknown {
  return { id, begun: true };
}

/** Reads the id of the request that a handler works on; returns undefined if the message is something else. */
export function readBegun(message: unknown): number | undefined {
  if (!isRecord(message) || message.begun !== true || !isId(message.id)) return undefined;
  return Object.hasOwn(message, "value") || Object.hasOwn(message, "error")
    ? undefined
    : message.id;
}

/** An event that a requester announces on its reply channel, in JSON as all events are. */
export interface RequesterEvent {
  /** The id of a request whose reply the requester no longer waits for. */
  readonly cancel?: number;
  /** The requester waits for no reply any more. Not every transport reports that a channel was deleted. */
  readonly gone?: true;
}

export function writeRequesterEvent(event: RequesterEvent): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(event));
}

/** Reads an event; an unknown one is empty. */
export function readRequesterEvent(bytes: Uint8Array): RequesterEvent {
  if (bytes.length > 100) return {};
  try {
    const event: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return isRecord(event) ? event : {};
  } catch {
    return {};
  }
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
