/**
 * How requests and replies travel: the shapes, and what is announced on a reply channel.
 *
 * CBOR: `{ id, value, reply_to }` is answered with `{ id, value }` or `{ id, error }`. Without an id, which
 * is ChannelPy's shape and JSON's: `{ value, reply_to }` is answered with the value, or with
 * `{ "__error__": { name, message } }` alone.
 *
 * @module
 */
import type { Handle } from "./handle.ts";
import { directionOf, handleOf } from "./registry.ts";

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

/** How a handler's error travels. */
interface Failure {
  readonly name: string;
  readonly message: string;
  /** What was thrown, where it can travel. */
  readonly original?: unknown;
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

/** @param isWhole whether to send what was thrown along, which not every value can */
export function writeFailure(id: number | undefined, thrown: unknown, isWhole: boolean): unknown {
  const { name, message } = describe(thrown);
  const failure: Failure = isWhole && id !== undefined
    ? { name, message, original: thrown }
    : { name, message };
  return id === undefined ? { [plainError]: failure } : { id, error: failure };
}

/** Nothing of an object that was thrown is to be trusted, not even that it can be turned to text. */
function describe(thrown: unknown): Failure {
  try {
    if (thrown instanceof Error) {
      return { name: String(thrown.name), message: String(thrown.message) };
    }
    return { name: "Error", message: typeof thrown === "object" ? "an object" : String(thrown) };
  } catch {
    return { name: "Error", message: "an error that cannot be described" };
  }
}

function readFailure(failure: unknown): Error | undefined {
  if (!isRecord(failure)) return undefined;
  const { name, message } = failure;
  if (typeof name !== "string" || typeof message !== "string") return undefined;
  const cause = Object.hasOwn(failure, "original") ? failure.original : { name, message };
  const error = new Error(message, { cause });
  // Names are for who cannot use instanceof: what befell the handler has not befallen this channel.
  if (!ownNames.test(name)) {
    Object.defineProperty(error, "name", { value: name, configurable: true, writable: true });
  }
  return error;
}

const ownNames = /^Channel[A-Za-z]*Error$/;

/** What is announced on a reply channel, in JSON as all announcements are. */
export interface Notice {
  /** The requester waits no more for the reply of this id. */
  readonly cancel?: number;
  /** A handler is at work on the request of this id: a requester that does not wait for it says so again. */
  readonly begun?: number;
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

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
