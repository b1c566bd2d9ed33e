import type { Message } from "../../transport.ts";
import { isOwnId } from "../../../shared/message_id.ts";

/**
 * The frames of a publication (AMQP 0-9-1, section 4.2): method, header, body. AMQPClient's `basicPublish` makes a
 * promise and a buffer for each message; the functions here write into a shared buffer.
 */

/** The destination of messages: the method frame of `basic.publish` to a queue, mandatory, encoded once. */
export class Route {
  readonly queue: string;
  #channel = -1;
  #method: Uint8Array = new Uint8Array();

  constructor(queue: string) {
    this.queue = queue;
  }

  /** Returns the frame for the AMQP channel of this number. */
  method(channel: number): Uint8Array {
    if (channel !== this.#channel) {
      this.#method = publishMethod(channel, this.queue);
      this.#channel = channel;
    }
    return this.#method;
  }
}

function publishMethod(channel: number, queue: string): Uint8Array {
  const key = encoder.encode(queue);
  const size = 9 + key.length;
  const bytes = new Uint8Array(size + frameOverhead);
  let at = frameStart(bytes, 0, METHOD, channel, size);
  bytes.set([0, BASIC, 0, PUBLISH, 0, 0, 0, key.length], at); // the default exchange has an empty name
  at += 8;
  bytes.set(key, at);
  at += key.length;
  bytes[at++] = MANDATORY;
  bytes[at] = FRAME_END;
  return bytes;
}

/** The encoded properties of a message, limited to the ones that this library sends. */
class Properties {
  readonly contentType: Uint8Array;
  readonly id: string | Uint8Array;
  readonly headers: Uint8Array | undefined;
  readonly expiration: Uint8Array | undefined;
  readonly correlationId: Uint8Array | undefined;
  readonly size: number;

  constructor(
    { contentType, id = "", attempts, reason, expires, headers }: Message,
    copy: number,
    token: number | undefined,
  ) {
    this.contentType = shortString(contentType);
    this.id = isOwnId(id) ? id : encoder.encode(id).subarray(0, 255); // an own id is ASCII only
    const isPlain = attempts === undefined && reason === undefined && copy === 0 &&
      headers === undefined;
    this.headers = isPlain ? undefined : table({
      ...headers,
      [header.attempts]: attempts,
      [header.reason]: reason?.slice(0, maxReason),
      [header.copy]: copy || undefined,
    });
    this.expiration = expires === undefined ? undefined : newShortString(String(expires));
    this.correlationId = token === undefined ? undefined : newShortString(String(token));
    this.size = 3 + (this.expiration?.length ?? 0) + (this.correlationId?.length ?? 0) +
      (this.contentType.length > 1 ? this.contentType.length : 0) +
      (this.id.length > 0 ? 1 + this.id.length : 0) + (this.headers?.length ?? 0);
  }

  write(bytes: Uint8Array, at: number): number {
    const { contentType, id, headers, expiration, correlationId } = this;
    bytes[at++] = (contentType.length > 1 ? 0x80 : 0) | (headers === undefined ? 0 : 0x20) | 0x10 |
      (expiration === undefined ? 0 : 0x01) | (correlationId === undefined ? 0 : 0x04);
    bytes[at++] = id.length > 0 ? 0x80 : 0;
    if (contentType.length > 1) {
      bytes.set(contentType, at);
      at += contentType.length;
    }
    if (headers !== undefined) {
      bytes.set(headers, at);
      at += headers.length;
    }
    bytes[at++] = PERSISTENT;
    if (correlationId !== undefined) {
      bytes.set(correlationId, at);
      at += correlationId.length;
    }
    if (expiration !== undefined) {
      bytes.set(expiration, at);
      at += expiration.length;
    }
    if (id.length > 0) {
      bytes[at++] = id.length;
      if (typeof id === "string") {
        for (let i = 0; i < id.length; i++) bytes[at++] = id.charCodeAt(i);
      } else {
        bytes.set(id, at);
        at += id.length;
      }
    }
    return at;
  }
}

/** The names of the message headers (AMQP field table) that this library uses. */
export const header = {
  /** How often the message was tried before it was put here: an integer. */
  attempts: "channelts-attempts",
  /** Why the message is a dead letter: a string. */
  reason: "channelts-reason",
  /** How often the message was sent before under the same id, on earlier connections: an integer; absent for never. */
  copy: "channelts-copy",
} as const;

/** A buffer whose bytes leave in one write. */
export interface SendBuffer {
  /** Bytes of the largest frame. */
  readonly largestFrame: number;
  /** Reserves `size` bytes, beginning at `at`. */
  reserve(size: number): { readonly bytes: Uint8Array; readonly at: number };
}

/**
 * Writes all frames of a publication on an AMQP channel.
 *
 * @param copy how often the message was sent before
 * @param token identifies the message if it is returned; absent if its id is unique
 */
export function writePublication(
  buffer: SendBuffer,
  channel: number,
  route: Route,
  message: Message,
  copy: number,
  token?: number,
): void {
  const { body } = message;
  const method = route.method(channel);
  let properties = new Properties(message, copy, token);
  if (12 + properties.size + frameOverhead > buffer.largestFrame) {
    const { headers: _, ...others } = message;
    properties = new Properties(others, copy, token);
  }
  const maxPayload = buffer.largestFrame - frameOverhead;
  const frames = Math.ceil(body.length / maxPayload);
  const headerSize = 12 + properties.size;
  const room = buffer.reserve(
    method.length + headerSize + frameOverhead + body.length + frames * frameOverhead,
  );
  const { bytes } = room;
  let { at } = room;
  bytes.set(method, at);
  at = frameStart(bytes, at + method.length, HEADER, channel, headerSize);
  bytes[at++] = 0;
  bytes[at++] = BASIC;
  bytes.fill(0, at, at += 2); // weight
  bytes.fill(0, at, at += 3); // the body is smaller than 2 ** 40 bytes
  bytes[at++] = body.length / 2 ** 32;
  at = writeUint32(bytes, at, body.length);
  at = properties.write(bytes, at);
  bytes[at++] = FRAME_END;
  for (let from = 0; from < body.length; from += maxPayload) {
    const part = from === 0 && body.length <= maxPayload
      ? body
      : body.subarray(from, from + maxPayload);
    at = frameStart(bytes, at, BODY, channel, part.length);
    bytes.set(part, at);
    at += part.length;
    bytes[at++] = FRAME_END;
  }
}

function frameStart(
  bytes: Uint8Array,
  at: number,
  type: number,
  channel: number,
  size: number,
): number {
  bytes[at] = type;
  bytes[at + 1] = channel >> 8;
  bytes[at + 2] = channel;
  return writeUint32(bytes, at + 3, size);
}

function writeUint32(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  return at + 4;
}

/** Encodes a field table (section 4.2.5.5) of 32-bit integers and strings. */
function table(
  fields: Readonly<Record<string, number | string | undefined>>,
): Uint8Array {
  const bytes: number[] = [0, 0, 0, 0];
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    bytes.push(...newShortString(name));
    if (typeof value === "number") bytes.push(0x49, ...uint32(value));
    else {
      const text = encoder.encode(value);
      bytes.push(0x53, ...uint32(text.length), ...text);
    }
  }
  bytes.splice(0, 4, ...uint32(bytes.length - 4));
  return Uint8Array.from(bytes);
}

function uint32(value: number): number[] {
  return [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255];
}

const encoder = new TextEncoder();
const shortStrings = new Map<string, Uint8Array>();

/** Encodes a short string (section 4.2.5.3), its length first. */
function newShortString(text: string): Uint8Array {
  const encoded = encoder.encode(text).subarray(0, 255);
  const bytes = new Uint8Array(1 + encoded.length);
  bytes[0] = encoded.length;
  bytes.set(encoded, 1);
  return bytes;
}

/** Encodes a short string as `newShortString` does, and caches it: few occur, and often. */
function shortString(text: string): Uint8Array {
  let bytes = shortStrings.get(text);
  if (bytes === undefined) {
    bytes = newShortString(text);
    if (shortStrings.size < maxShortStrings) shortStrings.set(text, bytes);
  }
  return bytes;
}

const maxShortStrings = 64;
/** Characters of a reason. The header must fit into one frame. */
const maxReason = 1000;

const METHOD = 1;
const HEADER = 2;
const BODY = 3;
const FRAME_END = 0xce;
const BASIC = 60;
const PUBLISH = 40;
const MANDATORY = 1;
const PERSISTENT = 2;
/** Bytes of type, channel and size before a frame's payload, and of the end mark. */
const frameOverhead = 8;
