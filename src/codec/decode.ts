import { Arguments } from "./arguments.ts";
import { CodecError } from "./codec_error.ts";
import {
  ARRAY,
  BYTES,
  elementsFor,
  GENERIC_OBJECT,
  INDEFINITE,
  isIndex,
  MAP,
  MAX_DEPTH,
  MEMORY_OF_ARRAY,
  MEMORY_OF_ELEMENT,
  MEMORY_OF_OBJECT,
  MEMORY_OF_SLOT,
  NEGATIVE,
  REFERENCE,
  SELF_DESCRIBED,
  SHARED,
  SIMPLE,
  TAG,
  TEXT,
  UNSIGNED,
  WTF8_TEXT,
} from "./format.ts";
import { setProperty } from "./property.ts";
import { Reader } from "./reader.ts";
import { genericReaders, tagReaders } from "./types.ts";

/** What `decode` takes beside the bytes. */
export interface DecodeOptions {
  /**
   * Asked for the generic objects that are not the codec's own; returns the object, or undefined for
   * a type that it does not know either, which is an error. What it throws passes unchanged.
   */
  readonly extension?: (type: string, args: readonly unknown[]) => unknown;
  /**
   * Whether the bytes are handed over to the value: a byte string that makes up most of them is then
   * a view of them, instead of a copy; default false.
   */
  readonly owned?: boolean;
}

/** V8 keeps properties named 0, 1, 2… in an array, whose gaps are smaller than this. */
const LARGEST_GAP = 1024;

/** Arrays up to this length are made so long: V8 makes one that grows 17 long at once. */
const EXACT_ARRAY = 16;

const MEMORY_OF_GENERIC = 96;

/** Stands for a shared object whose first bytes are not read yet. */
const NOT_YET = Symbol("not yet");

const NO_OPTIONS: DecodeOptions = {};

/** Reads a value out of a message. The rows of the type table (types.ts) read with it, too. */
export class Decoder extends Reader {
  #options = NO_OPTIONS;
  #depth = 0;
  #extensionFailed = false;
  /** The values of tag 28, by their number, and the number that the next object to be made has, or -1. */
  #shared: unknown[] = [];
  #number = -1;

  decode(bytes: Uint8Array, options: DecodeOptions): unknown {
    try {
      this.load(bytes, options.owned === true);
      this.#options = options;
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
    this.#depth = 0;
    this.#extensionFailed = false;
    if (this.#shared.length > 0) this.#shared = [];
    this.#number = -1;
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

  /** Reads a map with text keys that is a part of an object, calling `read` where a key's value is next. */
  entries(read: (key: string) => void): void {
    const count = this.count(this.#expect(MAP, "a map"), 2);
    for (let i = 0; i < count; i++) {
      if (count === Infinity && this.takeBreak()) break;
      read(this.#key());
    }
  }

  /** Tells that the object that is being read exists, before its parts are read: they may refer to it. */
  made(object: object, number: number = this.#number): void {
    if (number >= 0) this.#shared[number] = object;
    this.#number = -1;
  }

  /** Calls what throws for bad input. */
  attempt<T>(problem: string, make: () => T): T {
    try {
      return make();
    } catch {
      return this.fail(problem);
    }
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
    const bytes = this.emptyBytes(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
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
    const array: unknown[] = count <= EXACT_ARRAY ? new Array(count) : [];
    if (this.#number >= 0) this.made(array);
    for (let i = 0; i < count; i++) {
      if (count === Infinity && this.takeBreak()) break;
      array[i] = this.value();
    }
    this.#depth--;
    return array;
  }

  #object(info: number): Record<string, unknown> {
    this.spend(MEMORY_OF_OBJECT);
    const count = this.#enter(info, 2);
    const object: Record<string, unknown> = {};
    if (this.#number >= 0) this.made(object);
    this.#properties(object, count);
    this.#depth--;
    return object;
  }

  #properties(object: object, count: number): void {
    let elements = 0;
    for (let i = 0; i < count; i++) {
      if (count === Infinity && this.takeBreak()) break;
      const key = this.#key();
      if (isIndex(key)) elements = this.#spendElements(elements, Number(key));
      setProperty(object, key, this.value());
    }
  }

  /** Accounts for the array that keeps what is named by numbers. Answers its new length. */
  #spendElements(length: number, index: number): number {
    if (!(index >= length && index - length < LARGEST_GAP)) return length;
    const longer = elementsFor(index);
    this.spend(MEMORY_OF_ELEMENT * (longer - length));
    return longer;
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
    switch (tag) {
      case SHARED:
        return this.#sharedValue();
      case REFERENCE:
        return this.#reference();
      case GENERIC_OBJECT:
        return this.#generic();
      case SELF_DESCRIBED:
        return this.#selfDescribed();
    }
    const read = tagReaders.get(tag);
    return read === undefined ? this.fail(`unknown tag ${tag}`) : read(this);
  }

  #selfDescribed(): unknown {
    this.#deeper();
    const value = this.value();
    this.#depth--;
    return value;
  }

  #sharedValue(): unknown {
    if (this.#number >= 0) this.fail("a shared value that is nothing but another one");
    const number = this.#shared.push(NOT_YET) - 1;
    this.#number = number;
    const value = this.value();
    this.#number = -1;
    if (this.#shared[number] === NOT_YET) this.#shared[number] = value;
    return value;
  }

  #reference(): unknown {
    const number = this.argument(this.#expect(UNSIGNED, "the number of a shared value"));
    const value = number < this.#shared.length ? this.#shared[number] : NOT_YET;
    return value === NOT_YET ? this.fail("a reference to a value that is not there yet") : value;
  }

  #generic(): unknown {
    this.spend(MEMORY_OF_GENERIC);
    const number = this.#number;
    this.#number = -1;
    const args = new Arguments(this, this.#enter(this.#expect(ARRAY, "an array"), 1), number);
    const type = args.required.expectText();
    const read = genericReaders.get(type);
    const object = read === undefined ? this.#extension(type, args.rest()) : read(args, type);
    if (object === undefined) this.fail(`unknown type ${JSON.stringify(type.slice(0, 40))}`);
    args.end();
    this.#depth--;
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
