import { CodecError } from "./codec_error.ts";
import {
  ARRAY,
  BYTES,
  GENERIC_OBJECT,
  INDEFINITE,
  MAP,
  MAX_DEPTH,
  NEGATIVE,
  SELF_DESCRIBED,
  SIMPLE,
  TAG,
  TEXT,
  UNSIGNED,
  WTF8_TEXT,
} from "./format.ts";
import { Reader } from "./reader.ts";
import { genericReaders, tagReaders } from "./types.ts";

/** What `decode` takes beside the bytes. */
export interface DecodeOptions {
  /**
   * Asked for the generic objects that are not the codec's own; returns the object, or undefined for
   * a type that it does not know either, which is an error. What it throws passes unchanged.
   */
  readonly extension?: (type: string, args: readonly unknown[]) => unknown;
}

const MEMORY_OF_ARRAY = 64;
const MEMORY_OF_OBJECT = 96;
const MEMORY_OF_SLOT = 16;
const MEMORY_OF_ELEMENT = 8;

/** V8 keeps properties named 0, 1, 2… in an array, whose gaps are smaller than this. */
const LARGEST_GAP = 1024;

const NO_OPTIONS: DecodeOptions = {};

/** Reads a value out of a message. The rows of the type table (types.ts) read with it, too. */
export class Decoder extends Reader {
  #options = NO_OPTIONS;
  #depth = 0;
  #extensionFailed = false;

  decode(bytes: Uint8Array, options: DecodeOptions): unknown {
    try {
      this.load(bytes);
      this.#options = options;
      this.#depth = 0;
      this.#extensionFailed = false;
      const value = this.value();
      if (!this.atEnd) this.fail("trailing bytes");
      return value;
    } catch (cause) {
      if (this.#extensionFailed || cause instanceof CodecError) throw cause;
      // Such as a stack that was nearly full before the call, or a string longer than the engine's limit.
      throw new CodecError("input that cannot be decoded", this.offset, { cause });
    }
  }

  /** Makes ready for another message, keeping nothing of the last one. */
  override clear(): void {
    super.clear();
    this.#options = NO_OPTIONS;
  }

  value(): unknown {
    const first = this.byte();
    const info = first & 31;
    switch (first >> 5) {
      case UNSIGNED:
        return this.integer(info);
      case NEGATIVE:
        return this.#negative(info);
      case BYTES:
        return this.#byteString(info);
      case TEXT:
        return this.#textString(info);
      case ARRAY:
        return this.#array(info);
      case MAP:
        return this.#object(info);
      case TAG:
        return this.#tagged(this.argument(info));
      default:
        return this.#simple(info);
    }
  }

  expectBytes(): Uint8Array<ArrayBuffer> {
    return this.#byteString(this.#expect(BYTES, "a byte string"));
  }

  expectText(): string {
    return this.#textString(this.#expect(TEXT, "a text string"));
  }

  expectNumber(): number {
    const first = this.byte();
    const info = first & 31;
    const major = first >> 5;
    const value = major === UNSIGNED
      ? this.integer(info)
      : major === NEGATIVE
      ? this.#negative(info)
      : major === SIMPLE
      ? this.#simple(info)
      : undefined;
    return typeof value === "number" ? value : this.fail("a number was expected");
  }

  /** Reads the items of an array or the entries of a map, calling `read` for each. */
  items(major: typeof ARRAY | typeof MAP, read: () => void): void {
    const info = this.#expect(major, major === ARRAY ? "an array" : "a map");
    const count = this.#enter(info, major === ARRAY ? 1 : 2);
    for (let i = 0; i < count; i++) {
      if (count === Infinity && this.takeBreak()) break;
      read();
    }
    this.#depth--;
  }

  #expect(major: number, what: string): number {
    const first = this.byte();
    if (first >> 5 !== major) this.fail(`${what} was expected`);
    return first & 31;
  }

  /** Goes into an array or map; answers how many items it has, Infinity if that is open. */
  #enter(info: number, itemSize: number): number {
    const count = this.count(info, itemSize);
    if (count !== Infinity) this.spend(MEMORY_OF_SLOT * count);
    this.#deeper();
    return count;
  }

  #deeper(): void {
    if (++this.#depth > MAX_DEPTH) this.fail(`a value nested more than ${MAX_DEPTH} deep`);
  }

  #negative(info: number): number | bigint {
    const value = this.integer(info);
    return typeof value === "number" ? -1 - value : -1n - value;
  }

  #byteString(info: number): Uint8Array<ArrayBuffer> {
    if (info !== INDEFINITE) return this.bytes(this.argument(info));
    const chunks: Uint8Array[] = [];
    while (!this.takeBreak()) chunks.push(this.bytes(this.#chunkLength(BYTES)));
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const bytes = new Uint8Array(length);
    let offset = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, offset);
      offset += chunk.length;
    }
    return bytes;
  }

  #textString(info: number): string {
    if (info !== INDEFINITE) return this.text(this.argument(info));
    const chunks: string[] = [];
    while (!this.takeBreak()) chunks.push(this.text(this.#chunkLength(TEXT)));
    return chunks.join("");
  }

  #chunkLength(major: number): number {
    return this.argument(this.#expect(major, "a chunk of the same string"));
  }

  #array(info: number): unknown[] {
    this.spend(MEMORY_OF_ARRAY);
    const count = this.#enter(info, 1);
    const array: unknown[] = [];
    for (let i = 0; i < count; i++) {
      if (count === Infinity && this.takeBreak()) break;
      array.push(this.value());
    }
    this.#depth--;
    return array;
  }

  #object(info: number): Record<string, unknown> {
    this.spend(MEMORY_OF_OBJECT);
    const count = this.#enter(info, 2);
    const object: Record<string, unknown> = {};
    let elements = 0;
    for (let i = 0; i < count; i++) {
      if (count === Infinity && this.takeBreak()) break;
      const key = this.#key();
      if (isIndex(key)) elements = this.#spendElements(elements, Number(key));
      const value = this.value();
      // Assignment would set the prototype.
      if (key === "__proto__") define(object, key, value);
      else object[key] = value;
    }
    this.#depth--;
    return object;
  }

  /**
   * Accounts for the array that V8 keeps for properties named by numbers: 12 KB for `{"1000": 0}`,
   * which is 7 bytes of input. Answers its new capacity.
   */
  #spendElements(capacity: number, index: number): number {
    if (!(index >= capacity && index - capacity < LARGEST_GAP)) return capacity;
    const grown = index + (index >> 1) + 16;
    this.spend(MEMORY_OF_ELEMENT * (grown - capacity));
    return grown;
  }

  #key(): string {
    const first = this.byte();
    const info = first & 31;
    if (first >> 5 === TEXT) return info < 24 ? this.shortKey(info) : this.#textString(info);
    if (first >> 5 === TAG && this.argument(info) === WTF8_TEXT) {
      return tagReaders.get(WTF8_TEXT)!(this) as string;
    }
    return this.fail("an object's key that is not text");
  }

  #tagged(tag: number): unknown {
    const read = tagReaders.get(tag);
    if (read !== undefined) return read(this);
    if (tag === GENERIC_OBJECT) return this.#generic();
    if (tag === SELF_DESCRIBED) return this.#selfDescribed();
    return this.fail(`unknown tag ${tag}`);
  }

  #selfDescribed(): unknown {
    this.#deeper();
    const value = this.value();
    this.#depth--;
    return value;
  }

  #generic(): unknown {
    const [type, ...args] = this.#array(this.#expect(ARRAY, "an array"));
    if (typeof type !== "string") this.fail("a generic object without a type");
    const read = genericReaders.get(type);
    if (read !== undefined) return read(this, args);
    const object = this.#extension(type, args);
    if (object === undefined) this.fail(`unknown type ${JSON.stringify(type.slice(0, 40))}`);
    return object;
  }

  #extension(type: string, args: readonly unknown[]): unknown {
    try {
      return this.#options.extension?.(type, args);
    } catch (error) {
      this.#extensionFailed = true;
      throw error;
    }
  }

  #simple(info: number): unknown {
    switch (info) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
        return null;
      case 23:
        return undefined;
      case 25:
        return this.half();
      case 26:
        return this.single();
      case 27:
        return this.double();
      case INDEFINITE:
        return this.fail("a break outside of an indefinite length");
      default:
        return this.fail("an unknown simple value");
    }
  }
}

/** Whether a key may be an array index: the cases that matter, other than 0. */
function isIndex(key: string): boolean {
  const first = key.charCodeAt(0);
  return first > 0x30 && first <= 0x39;
}

function define(object: object, key: string, value: unknown): void {
  Object.defineProperty(object, key, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

/** The decoder for the next call. A call that comes while it is in use, from an extension, makes its own. */
let idle: Decoder | undefined;

/**
 * Turns bytes that `encode` or another CBOR writer made into a value. They may be hostile: lengths
 * are checked before anything is allocated, nesting, BigInts and the memory of the whole are limited,
 * and keys such as `__proto__` become own properties. The value shares no memory with the bytes.
 *
 * @throws {CodecError} which names the offset, for bytes that are not exactly one value of the wire
 * format. What the `extension` throws passes unchanged.
 */
export function decode(bytes: Uint8Array, options: DecodeOptions = NO_OPTIONS): unknown {
  const decoder = idle ?? new Decoder();
  idle = undefined;
  try {
    return decoder.decode(bytes, options);
  } finally {
    decoder.clear();
    idle = decoder;
  }
}
