import { Buffer } from "node:buffer";
import { header } from "./frames.ts";

/** A message that the broker has lent, as far as it is used here. */
export interface Delivery {
  /** Empty where no consumer brought it. */
  readonly consumerTag: string;
  readonly deliveryTag: number;
  readonly redelivered: boolean;
  readonly body: Uint8Array | null;
  readonly properties: {
    readonly contentType?: string;
    readonly messageId?: string;
    readonly expiration?: string;
    /** Those that are named in `header`, where their values are integers or strings. */
    readonly headers?: Readonly<Record<string, unknown>>;
  };
}

/** Called for each message of a consumer, as soon as it is read. */
export type DeliveryListener = (delivery: Delivery) => void;

/** What a message becomes while its frames come. */
interface Growing {
  readonly take: DeliveryListener;
  readonly consumerTag: string;
  readonly deliveryTag: number;
  readonly redelivered: boolean;
  properties: Delivery["properties"];
  body: Uint8Array;
  /** How much of the body is there; -1 before the header. */
  filled: number;
}

/**
 * Reads what the broker sends: messages for the consumers that are known here, and all else for the client, which
 * makes several objects, strings and a microtask for each frame of a message.
 *
 * Everything is handled in the order of its coming. The frames of a message are a method, a header, and bodies,
 * and those of other AMQP channels may come between them (AMQP 0-9-1, section 4.2.6).
 *
 * Invariants: the client sees whole frames only. No more than `largest` bytes of an unfinished frame are kept.
 */
export class DeliveryReader {
  readonly #pass: (frames: Uint8Array) => void;
  readonly #largest: number;
  readonly #takers = new Map<number, DeliveryListener>();
  #lastTag = 0;
  /** Of each AMQP channel the message whose frames are coming. */
  readonly #growing = new Map<number, Growing>();
  /** The beginning of a frame that has not come whole. */
  #part: Buffer = Buffer.alloc(0);
  #partSize = 0;
  /** The content type of the last message: it is mostly that of the next. */
  #contentType = "";
  #contentTypeBytes: Uint8Array = new Uint8Array();

  /**
   * @param pass has the client read whole frames
   * @param largest bytes that a frame may have
   */
  constructor(pass: (frames: Uint8Array) => void, largest: number) {
    this.#pass = pass;
    this.#largest = largest;
  }

  /** @returns the consumer tag under which messages are for `take` */
  add(take: DeliveryListener): string {
    this.#takers.set(++this.#lastTag, take);
    return String(this.#lastTag);
  }

  delete(tag: string): void {
    this.#takers.delete(Number(tag));
  }

  /** @throws where it is no AMQP */
  read(chunk: Buffer): void {
    let at = 0;
    while (this.#partSize > 0) {
      const size = this.#partSize < headSize ? headSize : this.#frameSize(this.#part, 0);
      this.#reserve(size);
      const copied = chunk.copy(this.#part, this.#partSize, at, at + size - this.#partSize);
      at += copied;
      this.#partSize += copied;
      if (this.#partSize < size) return;
      if (size === headSize) continue; // the frame's size is known now
      this.#partSize = 0;
      this.#readFrames(this.#part.subarray(0, size), 0);
    }
    at = this.#readFrames(chunk, at);
    const rest = chunk.length - at;
    if (rest === 0) return;
    this.#reserve(rest);
    this.#partSize = chunk.copy(this.#part, 0, at);
  }

  #frameSize(bytes: Uint8Array, at: number): number {
    const size = headSize + uint32(bytes, at + 3) + 1;
    if (size > this.#largest) throw new Error(`the broker sent a frame of ${size} bytes`);
    return size;
  }

  #reserve(size: number): void {
    if (this.#part.length >= size) return;
    const part = Buffer.allocUnsafe(Math.min(Math.max(size, 2 * this.#part.length), this.#largest));
    this.#part.copy(part, 0, 0, this.#partSize);
    this.#part = part;
  }

  /** Reads the whole frames from there on; returns where the rest begins. */
  #readFrames(bytes: Buffer, start: number): number {
    let at = start;
    /** Where the client's frames begin that it has not been given. */
    let client = start;
    let end = start;
    for (; at + headSize <= bytes.length; at = end) {
      end = at + this.#frameSize(bytes, at);
      if (end > bytes.length) break;
      const channel = uint16(bytes, at + 1);
      const growing = this.#growing.size === 0 ? undefined : this.#growing.get(channel);
      const isMethod = bytes[at] === METHOD;
      const begun = isMethod ? this.#begin(bytes, at + headSize) : undefined;
      if (isMethod ? begun === undefined : growing === undefined || bytes[at]! > BODY) continue;
      if (bytes[end - 1] !== FRAME_END) throw new Error("the broker sent a frame without an end");
      if (client < at) this.#pass(bytes.subarray(client, at));
      client = end;
      if (begun !== undefined) this.#growing.set(channel, begun);
      else this.#grow(growing!, channel, bytes, at, end - 1);
    }
    if (client < at) this.#pass(bytes.subarray(client, at));
    return at;
  }

  /** The message that a `basic.deliver` at `at` begins, where it is for one of the consumers. */
  #begin(bytes: Buffer, at: number): Growing | undefined {
    if (bytes[at + 1] !== BASIC || bytes[at + 3] !== DELIVER || bytes[at] !== 0) return undefined;
    at += 4;
    const tagEnd = at + 1 + bytes[at]!;
    let tag = 0;
    while (++at < tagEnd) {
      const digit = bytes[at]! - 0x30;
      if (digit < 0 || digit > 9) return undefined;
      tag = tag * 10 + digit;
    }
    const take = this.#takers.get(tag);
    if (take === undefined) return undefined;
    return {
      take,
      consumerTag: String(tag),
      deliveryTag: uint64(bytes, at),
      redelivered: bytes[at + 8] === 1,
      properties: {},
      body: none,
      filled: -1,
    };
  }

  #grow(growing: Growing, channel: number, bytes: Buffer, at: number, end: number): void {
    const isHeader = bytes[at] === HEADER;
    at += headSize;
    if (isHeader !== growing.filled < 0) throw new Error("the broker sent a message out of order");
    if (isHeader) {
      growing.properties = this.#readProperties(bytes, at + 12, end);
      const size = uint64(bytes, at + 4);
      if (size > 0) growing.body = new Uint8Array(size);
      growing.filled = 0;
    } else {
      growing.body.set(bytes.subarray(at, end), growing.filled); // it throws where that is too much
      growing.filled += end - at;
    }
    if (growing.filled < growing.body.length) return;
    this.#growing.delete(channel);
    growing.take(growing);
  }

  /** Section 4.2.6.1: flags, and those of these properties that they name, in this order. */
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

/** Those headers of a field table (section 4.2.5.5) that are used here; no more of it where it is malformed. */
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
    if (usedHeaders.has(name)) headers[name] = readField(bytes, at, type, size);
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

/** Bytes of a field's value, as RabbitMQ has the types (https://www.rabbitmq.com/amqp-0-9-1-errata#section_3). */
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

/** Those that begin with their size, in four bytes. */
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

/** Type, channel and size before a frame's payload. */
const headSize = 7;
const METHOD = 1;
const HEADER = 2;
const BODY = 3;
const FRAME_END = 0xce;
const BASIC = 60;
const DELIVER = 60;
