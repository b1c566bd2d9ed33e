import { Buffer } from "node:buffer";

/** A value of RESP3: a number, bytes, text, a boolean, null, an error, or an array of these. A map is an array of keys and values. */
// deno-lint-ignore no-explicit-any -- each command has its own reply
export type Reply = any;

/** An error that the server has answered. Its text begins with a word in capitals, such as `NOPERM`. */
export class RedisRefusal extends Error {
  override readonly name: string = "RedisRefusal";
}

/** The other side does not speak RESP3, or sends more than any Redis does. */
export class RespError extends Error {
  override readonly name: string = "RespError";

  constructor(message = "the server sent bytes that are no reply of a Redis") {
    super(message);
  }
}

/** Who is told of what a {@linkcode ReplyReader} reads. */
export interface ReplyListener {
  /** The next command has been answered. */
  replied(reply: Reply): void;
  /** The server tells something that is no answer. */
  pushed(items: readonly Reply[]): void;
}

/** An array that is being read. */
interface Level {
  readonly type: number;
  readonly items: Reply[];
  left: number;
}

/** A text that has arrived in part, with the two bytes that end it. */
interface Partial {
  readonly type: number;
  readonly size: number;
  bytes: Buffer;
  filled: number;
}

/**
 * Reads the bytes of a server: RESP3, and RESP2, in which a server refuses what it does not know.
 *
 * Invariants: what it holds of a value that has not arrived whole is at most twice what has arrived, and limited. A chunk is read
 * once, but for the last line of it. Bytes of a value are those of the chunk if it has arrived in one.
 */
export class ReplyReader {
  readonly #listener: ReplyListener;
  /** The arrays that are being read, the innermost last. */
  readonly #levels: Level[] = [];
  /** The beginning of a line whose end has not arrived. */
  #line: Buffer | undefined;
  #partial: Partial | undefined;
  /** What the value that is being read takes, about. */
  #size = 0;

  constructor(listener: ReplyListener) {
    this.#listener = listener;
  }

  /**
   * Reads bytes, which must not change later.
   *
   * @throws {RespError} if they are not RESP; then nothing more must be read
   */
  read(chunk: Buffer): void {
    let bytes = chunk;
    let at = 0;
    if (this.#partial !== undefined) at = this.#continue(this.#partial, chunk);
    else if (this.#line !== undefined) {
      bytes = Buffer.concat([this.#line, chunk]);
      this.#line = undefined;
    }
    while (at < bytes.length) {
      let end = at + 1;
      while (end < bytes.length && bytes[end] !== CR) end++;
      if (end - at > longestLine) throw new RespError("the server sent a reply that is too large");
      if (end + 1 >= bytes.length) {
        checkType(bytes[at]!);
        this.#line = bytes.subarray(at);
        return;
      }
      if (bytes[end + 1] !== LF) throw new RespError();
      at = this.#readLine(bytes, at, end);
    }
  }

  /** Reads a line and what belongs to it, and returns where the next one begins. */
  #readLine(bytes: Buffer, at: number, end: number): number {
    const type = bytes[at]!;
    const next = end + 2;
    switch (type) {
      case INTEGER:
        this.#complete(integerOf(bytes, at + 1, end));
        return next;
      case BULK:
      case VERBATIM:
      case BULK_ERROR:
        return this.#readText(bytes, type, integerOf(bytes, at + 1, end), next);
      case ARRAY:
      case SET:
      case PUSH:
      case MAP:
      case ATTRIBUTE: {
        const count = integerOf(bytes, at + 1, end);
        if (count === -1 && type === ARRAY) this.#complete(null);
        else this.#open(type, type === MAP || type === ATTRIBUTE ? 2 * count : count);
        return next;
      }
    }
    const text = bytes.toString("utf8", at + 1, end);
    if (type === SIMPLE || type === BIG) this.#complete(text);
    else if (type === ERROR) this.#complete(new RedisRefusal(text));
    else if (type === DOUBLE) this.#complete(Number(text.replace("inf", "Infinity")));
    else if (type === BOOLEAN) this.#complete(text === "t");
    else if (type === NULL) this.#complete(null);
    else checkType(type);
    return next;
  }

  #readText(bytes: Buffer, type: number, size: number, start: number): number {
    if (size === -1 && type === BULK) {
      this.#complete(null);
      return start;
    }
    this.#take(size);
    const end = start + size;
    if (end + 2 > bytes.length) {
      const here = bytes.length - start;
      const room = Math.min(size + 2, Math.max(2 * here, leastRoom));
      this.#partial = { type, size, bytes: Buffer.allocUnsafeSlow(room), filled: here };
      bytes.copy(this.#partial.bytes, 0, start);
      return bytes.length;
    }
    this.#completeText(type, bytes, start, end);
    return end + 2;
  }

  /** Adds a chunk to a text, and returns how much of it belongs to the text. */
  #continue(partial: Partial, chunk: Buffer): number {
    const whole = partial.size + 2;
    const count = Math.min(chunk.length, whole - partial.filled);
    if (partial.filled + count > partial.bytes.length) {
      const room = Math.min(whole, Math.max(2 * partial.bytes.length, partial.filled + count));
      const larger = Buffer.allocUnsafeSlow(room);
      partial.bytes.copy(larger, 0, 0, partial.filled);
      partial.bytes = larger;
    }
    chunk.copy(partial.bytes, partial.filled, 0, count);
    partial.filled += count;
    if (partial.filled === whole) {
      this.#partial = undefined;
      this.#completeText(partial.type, partial.bytes, 0, partial.size);
    }
    return count;
  }

  #completeText(type: number, bytes: Buffer, start: number, end: number): void {
    if (bytes[end] !== CR || bytes[end + 1] !== LF) {
      throw new RespError();
    }
    if (type === BULK_ERROR) {
      this.#complete(new RedisRefusal(bytes.toString("utf8", start, end)));
    } else this.#complete(bytes.subarray(type === VERBATIM ? start + 4 : start, end));
  }

  #open(type: number, count: number): void {
    this.#take(0);
    if (count < 0 || this.#levels.length === deepest) {
      throw new RespError();
    }
    if (type === PUSH && this.#levels.length > 0) throw new RespError();
    this.#levels.push({ type, items: [], left: count });
    if (count === 0) this.#close();
  }

  /** The innermost array is complete. */
  #close(): void {
    const { type, items } = this.#levels.pop()!;
    if (type === ATTRIBUTE) return; // it says something of the value that follows
    if (type !== PUSH) return this.#complete(items);
    this.#size = 0;
    this.#listener.pushed(items);
  }

  #complete(value: Reply): void {
    const level = this.#levels.at(-1);
    if (level === undefined) {
      this.#size = 0;
      return this.#listener.replied(value);
    }
    this.#take(0);
    level.items.push(value);
    if (--level.left === 0) this.#close();
  }

  /** Counts a value of some bytes. */
  #take(size: number): void {
    this.#size += size + valueSize;
    if (size < 0) throw new RespError();
    if (this.#size > largestReply) {
      throw new RespError("the server sent a reply that is too large");
    }
  }
}

function integerOf(bytes: Buffer, start: number, end: number): number {
  const isNegative = bytes[start] === MINUS;
  let at = isNegative || bytes[start] === PLUS ? start + 1 : start;
  if (at === end) throw new RespError();
  let number = 0;
  for (; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (!(digit >= 0 && digit <= 9)) throw new RespError();
    number = 10 * number + digit;
  }
  return isNegative ? -number : number;
}

function checkType(type: number): void {
  if (!types.has(type)) throw new RespError();
}

const SIMPLE = 0x2b; // +
const ERROR = 0x2d; // -
const INTEGER = 0x3a; // :
const BULK = 0x24; // $
const ARRAY = 0x2a; // *
const NULL = 0x5f; // _
const BOOLEAN = 0x23; // #
const DOUBLE = 0x2c; // ,
const BIG = 0x28; // (
const BULK_ERROR = 0x21; // !
const VERBATIM = 0x3d; // =
const MAP = 0x25; // %
const SET = 0x7e; // ~
const ATTRIBUTE = 0x7c; // |
const PUSH = 0x3e; // >
const types = new Set([
  ...[SIMPLE, ERROR, INTEGER, BULK, ARRAY, NULL, BOOLEAN, DOUBLE, BIG, BULK_ERROR, VERBATIM],
  ...[MAP, SET, ATTRIBUTE, PUSH],
]);

const CR = 13;
const LF = 10;
const PLUS = 0x2b;
const MINUS = 0x2d;
const ZERO = 0x30;

/** Bytes of a line: an error, or a number. */
const longestLine = 65_536;

/** How deeply arrays are nested. */
const deepest = 16;

/** Bytes of a reply; a text of a server has at most half of it. */
const largestReply = 2 ** 30;

/** Bytes that count for each value of an array, beside those of its text. */
const valueSize = 512;

/** Bytes that are reserved for a text that has arrived in part, at least. */
const leastRoom = 4096;
