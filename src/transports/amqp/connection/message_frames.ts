import { Buffer } from "node:buffer";
import { header } from "./frames.ts";

/** A message that the broker has delivered: the part of it that is used here. */
export interface Delivery {
  /** Empty if the message was asked for. */
  readonly consumerTag: string;
  readonly deliveryTag: number;
  readonly redelivered: boolean;
  readonly body: Uint8Array | null;
  readonly properties: {
    readonly contentType?: string;
    readonly messageId?: string;
    readonly expiration?: string;
    /** The headers that `header` names, if their values are integers or strings, and all others that are strings. */
    readonly headers?: Readonly<Record<string, unknown>>;
  };
}

/** A function that is called with each message of a consumer, as soon as it is read. */
export type DeliveryListener = (delivery: Delivery) => void;

/** A message of which not all frames have been read. */
interface PartialDelivery {
  readonly listener: DeliveryListener;
  readonly consumerTag: string;
  readonly deliveryTag: number;
  readonly redelivered: boolean;
  properties: Delivery["properties"];
  body: Uint8Array;
  /** The number of bytes of the body that have been read; -1 before the header. */
  filled: number;
}

/**
 * Reads the bytes that the broker sends: it reads the messages of its own consumers, and passes all other frames to the
 * client, which would make several objects, strings and a microtask for each frame of a message.
 *
 * Frames are handled in the order in which they arrive. A message is a method frame, a header frame and body frames;
 * frames of other AMQP channels may come between them (AMQP 0-9-1, section 4.2.6).
 *
 * Invariants: the client gets whole frames only. At most `largest` bytes of an unfinished frame are stored.
 */
export class DeliveryReader {
  readonly #pass: (frames: Uint8Array) => void;
  readonly #largest: number;
  readonly #listeners = new Map<number, DeliveryListener>();
  #lastTag = 0;
  /** The unfinished message of each AMQP channel. */
  readonly #partial = new Map<number, PartialDelivery>();
  /** The beginning of a frame whose end has not arrived. */
  #rest: Buffer = Buffer.alloc(0);
  #restSize = 0;
  /** The content type of the last message; the next message usually has the same. */
  #contentType = "";
  #contentTypeBytes: Uint8Array = new Uint8Array();

  /**
   * @param pass makes the client read whole frames
   * @param largest the number of bytes that a frame may have
   */
  constructor(pass: (frames: Uint8Array) => void, largest: number) {
    this.#pass = pass;
    this.#largest = largest;
  }

  /**
   * Returns a consumer tag. Messages with this tag are given to `listener`. The tag begins with a zero: a quorum queue
   * of RabbitMQ makes a consumer for each basic.get, whose tag is the number of the delivery, and counts what that one
   * holds as held by a consumer of the same tag.
   */
  add(listener: DeliveryListener): string {
    this.#listeners.set(++this.#lastTag, listener);
    return `0${this.#lastTag}`;
  }

  delete(tag: string): void {
    this.#listeners.delete(Number(tag));
  }

  /** Reads the next bytes. @throws if they are not AMQP */
  read(chunk: Buffer): void {
    let at = 0;
    while (this.#restSize > 0) {
      const size = this.#restSize < headSize ? headSize : this.#frameSize(this.#rest, 0);
      this.#reserve(size);
      const copied = chunk.copy(this.#rest, this.#restSize, at, at + size - this.#restSize);
      at += copied;
      this.#restSize += copied;
      if (this.#restSize < size) return;
      if (size === headSize) continue; // the frame's size is known now
      this.#restSize = 0;
      this.#readFrames(this.#rest.subarray(0, size), 0);
    }
    at = this.#readFrames(chunk, at);
    const rest = chunk.length - at;
    if (rest === 0) return;
    this.#reserve(rest);
    this.#restSize = chunk.copy(this.#rest, 0, at);
  }

  #frameSize(bytes: Uint8Array, at: number): number {
    const size = headSize + uint32(bytes, at + 3) + 1;
    if (size > this.#largest) throw new Error(`the broker sent a frame of ${size} bytes`);
    return size;
  }

  #reserve(size: number): void {
    if (this.#rest.length >= size) return;
    const larger = Buffer.allocUnsafe(
      Math.min(Math.max(size, 2 * this.#rest.length), this.#largest),
    );
    this.#rest.copy(larger, 0, 0, this.#restSize);
    this.#rest = larger;
  }

  /** Reads the whole frames from `start` on. Returns where the unfinished frame begins. */
  #readFrames(bytes: Buffer, start: number): number {
    let at = start;
    /** Where the frames begin that the client must still get. */
    let client = start;
    let end = start;
    for (; at + headSize <= bytes.length; at = end) {
      end = at + this.#frameSize(bytes, at);
      if (end > bytes.length) break;
      const channel = uint16(bytes, at + 1);
      const partial = this.#partial.size === 0 ? undefined : this.#partial.get(channel);
      const isMethod = bytes[at] === METHOD;
      const begun = isMethod ? this.#begin(bytes, at + headSize) : undefined;
      if (isMethod ? begun === undefined : partial === undefined || bytes[at]! > BODY) continue;
      if (bytes[end - 1] !== FRAME_END) throw new Error("the broker sent a frame without an end");
      if (client < at) this.#pass(bytes.subarray(client, at));
      client = end;
      if (begun !== undefined) this.#partial.set(channel, begun);
      else this.#append(partial!, channel, bytes, at, end - 1);
    }
    if (client < at) this.#pass(bytes.subarray(client, at));
    return at;
  }

  /** Returns the message that the method at `at` begins, if it is a `basic.deliver` for one of the consumers. */
  #begin(bytes: Buffer, at: number): PartialDelivery | undefined {
    if (bytes[at + 1] !== BASIC || bytes[at + 3] !== DELIVER || bytes[at] !== 0) return undefined;
    at += 4;
    const tagEnd = at + 1 + bytes[at]!;
    let tag = 0;
    while (++at < tagEnd) {
      const digit = bytes[at]! - 0x30;
      if (digit < 0 || digit > 9) return undefined;
      tag = tag * 10 + digit;
    }
    const listener = this.#listeners.get(tag);
    if (listener === undefined) return undefined;
    return {
      listener,
      consumerTag: String(tag),
      deliveryTag: uint64(bytes, at),
      redelivered: bytes[at + 8] === 1,
      properties: {},
      body: none,
      filled: -1,
    };
  }

  /** Reads the header frame or a body frame of a message. */
  #append(partial: PartialDelivery, channel: number, bytes: Buffer, at: number, end: number): void {
    const isHeader = bytes[at] === HEADER;
    at += headSize;
    if (isHeader !== partial.filled < 0) throw new Error("the broker sent a message out of order");
    if (isHeader) {
      partial.properties = this.#readProperties(bytes, at + 12, end);
      const size = uint64(bytes, at + 4);
      if (size > 0) partial.body = new Uint8Array(size);
      partial.filled = 0;
    } else {
      partial.body.set(bytes.subarray(at, end), partial.filled); // throws a RangeError if the body is too long
      partial.filled += end - at;
    }
    if (partial.filled < partial.body.length) return;
    this.#partial.delete(channel);
    partial.listener(partial);
  }

  /** Reads the flags and the properties that the flags name, which follow in this order (section 4.2.6.1). */
  #readProperties(bytes: Buffer, at: number, end: number): Delivery["properties"] {
    const flags = uint16(bytes, at);
    at += 2;
    const properties: { -readonly [K in keyof Delivery["properties"]]: Delivery["properties"][K] } =
      {};
    if (flags & 0x8000) {
      properties.contentType = this.#readContentType(bytes, at);
      at += 1 + bytes[at]!;
    }
    if (flags & 0x4000) at += 1 + bytes[at]!; // content encoding
    if (flags & 0x2000) {
      const size = uint32(bytes, at);
      at += 4;
      if (at + size > end) throw new Error("the broker sent headers without an end");
      properties.headers = readHeaders(bytes, at, at + size);
      at += size;
    }
    if (flags & 0x1000) at++; // delivery mode
    if (flags & 0x0800) at++; // priority
    if (flags & 0x0400) at += 1 + bytes[at]!; // correlation id
    if (flags & 0x0200) at += 1 + bytes[at]!; // reply to
    if (flags & 0x0100) {
      properties.expiration = shortString(bytes, at);
      at += 1 + bytes[at]!;
    }
    if (flags & 0x0080) {
      properties.messageId = shortString(bytes, at);
      at += 1 + bytes[at]!;
    }
    if (!(at <= end)) throw new Error("the broker sent properties without an end");
    return properties;
  }

  #readContentType(bytes: Buffer, at: number): string {
    const known = this.#contentTypeBytes;
    const size = 1 + bytes[at]!;
    let same = size === known.length ? 0 : -1;
    while (same >= 0 && same < size) same = bytes[at + same] === known[same] ? same + 1 : -1;
    if (same < 0) {
      this.#contentTypeBytes = Uint8Array.from(bytes.subarray(at, at + size));
      this.#contentType = shortString(bytes, at);
    }
    return this.#contentType;
  }
}

/** Reads the headers that are used here from a field table (section 4.2.5.5), as far as the table is well-formed. */
function readHeaders(bytes: Buffer, at: number, end: number): Record<string, unknown> {
  const headers: Record<string, unknown> = {};
  while (at < end) {
    const name = shortString(bytes, at);
    at += 1 + bytes[at]!;
    const type = String.fromCharCode(bytes[at++]!);
    const isLong = longFields.includes(type);
    if (isLong && at + 4 > end) break;
    const size = isLong ? 4 + uint32(bytes, at) : fieldSizes[type];
    if (size === undefined || at + size > end) break;
    if (type === "S" || usedHeaders.has(name)) headers[name] = readField(bytes, at, type, size);
    at += size;
  }
  return headers;
}

function readField(bytes: Buffer, at: number, type: string, size: number): unknown {
  if (type === "S") return bytes.toString("utf8", at + 4, at + size);
  if (type === "l") return Number(bytes.readBigInt64BE(at));
  if ("bsI".includes(type)) return bytes.readIntBE(at, size);
  return "Bui".includes(type) ? bytes.readUIntBE(at, size) : undefined;
}

const usedHeaders: ReadonlySet<string> = new Set(Object.values(header));

/**
 * The number of bytes of a field's value, by type as in RabbitMQ
 * (https://www.rabbitmq.com/amqp-0-9-1-errata#section_3).
 */
const fieldSizes: Readonly<Record<string, number>> = {
  t: 1,
  b: 1,
  B: 1,
  s: 2,
  u: 2,
  I: 4,
  i: 4,
  f: 4,
  D: 5,
  l: 8,
  d: 8,
  T: 8,
  V: 0,
};

/** The types whose values begin with their size, in four bytes. */
const longFields = "SxAF";

function shortString(bytes: Buffer, at: number): string {
  return bytes.toString("utf8", at + 1, at + 1 + bytes[at]!);
}

function uint16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function uint32(bytes: Uint8Array, at: number): number {
  return uint16(bytes, at) * 2 ** 16 + uint16(bytes, at + 2);
}

function uint64(bytes: Uint8Array, at: number): number {
  return uint32(bytes, at) * 2 ** 32 + uint32(bytes, at + 4);
}

const none = new Uint8Array();

/** The number of bytes of type, channel and size before a frame's payload. */
const headSize = 7;
const METHOD = 1;
const HEADER = 2;
const BODY = 3;
const FRAME_END = 0xce;
const BASIC = 60;
const DELIVER = 60;
