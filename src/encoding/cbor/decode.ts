import { CodecError } from "./codec_error.ts";
import {
  ARRAY,
  BYTES,
  elementsFor,
  GENERIC_OBJECT,
  INDEFINITE,
  isIndex,
  LARGEST_GAP,
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
  TAG,
  TEXT,
  UNSIGNED,
  WTF8_TEXT,
} from "./format.ts";
import { setProperty } from "./property.ts";
import { ItemReader } from "./item_reader.ts";
import { type GenericReader, genericReaders, tagReaders } from "./types.ts";
import { readWtf8 } from "./wtf8.ts";

/** Options of `decode`. */
export interface DecodeOptions {
  /**
   * Returns the object for a generic object of a type that is not the codec's own; undefined for an unknown type, which
   * is an error. What it throws passes unchanged.
   */
  readonly extension?: (type: string, args: readonly unknown[]) => unknown;
  /**
   * Whether the value may use the memory of the bytes: a byte string that is most of them is then a view instead of a
   * copy. Default: false.
   */
  readonly owned?: boolean;
}

/** Arrays up to this length are allocated with it: V8 allocates 17 elements for an array that grows. */
const EXACT_ARRAY = 16;

const MEMORY_OF_GENERIC = 96;

/** The memory of an object of an extension, such as a channel that was not used. */
const MEMORY_OF_EXTENSION = 512;

/** The simple values that are supported, from `FIRST_SIMPLE` on. */
const SIMPLE_VALUES = [false, true, null, undefined];
const FIRST_SIMPLE = 20;

/** The entry of a shared value that has not been created yet. */
const NOT_YET = Symbol("not yet");

const NO_OPTIONS: DecodeOptions = {};

/** Reads a value from a message. The readers of the type table (types.ts) use it, too. */
export class Decoder extends ItemReader {
  #options = NO_OPTIONS;
  #depth = 0;
  #extensionFailed = false;
  /** The values of tag 28 by their numbers, and the number of the next object that is created, or -1. */
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
      // For example a stack overflow, or a string longer than the engine's limit.
      throw new CodecError("input that cannot be decoded", this.offset, { cause });
    }
  }

  /** Prepares for the next message, and keeps nothing of this one. */
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

  /** Reads a value that must be a number. */
  expectNumber(): number {
    const value = this.value();
    return typeof value === "number" ? value : this.fail("a number was expected");
  }

  expectText(): string {
    return this.#textString(this.#expect(TEXT, "a text string"));
  }

  expectBytes(): Uint8Array<ArrayBuffer> {
    return this.#byteString(this.#expect(BYTES, "a byte string"));
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

  /** Registers an object before its parts are read, since they may refer to it. */
  made(object: object, number: number): void {
    if (number >= 0) this.#shared[number] = object;
  }

  #expect(major: number, what: string): number {
    const first = this.byte();
    if (first >> 5 !== major) this.fail(`${what} was expected`);
    return first & 31;
  }

  /** Enters an array or map. Returns the number of its items, or Infinity for an indefinite length. */
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
    const chunks = this.#chunks(BYTES, (length) => this.bytes(length));
    const bytes = this.emptyBytes(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  #textString(info: number): string {
    if (info !== INDEFINITE) return this.text(this.argument(info));
    return this.#chunks(TEXT, (length) => this.text(length)).join("");
  }

  #chunks<T>(major: number, read: (length: number) => T): T[] {
    const chunks: T[] = [];
    while (!this.takeBreak()) {
      chunks.push(read(this.argument(this.#expect(major, "a chunk of the same string"))));
    }
    return chunks;
  }

  #array(info: number): unknown[] {
    this.spend(MEMORY_OF_ARRAY);
    const count = this.#enter(info, 1);
    const array: unknown[] = count <= EXACT_ARRAY ? new Array(count) : [];
    if (this.#number >= 0) this.made(array, this.#takeNumber());
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
    if (this.#number >= 0) this.made(object, this.#takeNumber());
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

  /** Counts the memory of the array of properties that are named by indexes. Returns its new length. */
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
      return readWtf8(this);
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
    return read === undefined ? this.fail(`unknown tag ${tag}`) : read(this, this.#takeNumber());
  }

  /** Returns and clears the number of the next object, so that no object inside it gets this number. */
  #takeNumber(): number {
    const number = this.#number;
    this.#number = -1;
    return number;
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

  /** Reads a generic object: `[type, arguments…]`. */
  #generic(): unknown {
    this.spend(MEMORY_OF_GENERIC);
    const number = this.#takeNumber();
    let type: string | undefined;
    let reader: GenericReader | undefined;
    let object: object | undefined;
    const args: unknown[] = [];
    this.items(ARRAY, () => {
      if (type !== undefined) return args.push(this.value());
      type = this.expectText();
      reader = genericReaders.get(type);
      object = reader?.make?.(this, type);
      if (object !== undefined) this.made(object, number);
    });
    if (type === undefined) this.fail("a generic object without a type");
    const value = reader === undefined ? this.#extension(type, args) : this.attempt(
      type,
      () => args.length > reader!.most ? undefined : reader!.read(this, args, type!, object),
    );
    return value === undefined
      ? this.fail(`unknown type ${JSON.stringify(type.slice(0, 40))}`)
      : value;
  }

  /** Returns the result of `make`, which throws or returns undefined for input that is not of this type. */
  attempt<T>(type: string, make: () => T | undefined): T {
    let problem: unknown;
    try {
      const value = make();
      if (value !== undefined) return value;
    } catch (error) {
      problem = error;
    }
    if (problem instanceof CodecError) throw problem;
    return this.fail(`an invalid ${type}`);
  }

  #extension(type: string, args: readonly unknown[]): unknown {
    this.spend(MEMORY_OF_EXTENSION);
    try {
      return this.#options.extension?.(type, args);
    } catch (error) {
      this.#extensionFailed = true;
      throw error;
    }
  }

  #simple(info: number): unknown {
    if (info === 25) return this.half();
    if (info === 26) return this.single();
    if (info === 27) return this.double();
    if (info === INDEFINITE) this.fail("a break outside of an indefinite length");
    if (info < FIRST_SIMPLE || info > 23) this.fail("an unknown simple value");
    return SIMPLE_VALUES[info - FIRST_SIMPLE];
  }
}

/** The decoder for the next call. A call during another one, from an extension, creates its own. */
let idle: Decoder | undefined;

/**
 * Decodes a value from the bytes of `encode` or another CBOR encoder. The bytes may be hostile: lengths are checked
 * before anything is allocated, the nesting, BigInts and the memory of the value are limited, and a key such as
 * `__proto__` becomes an own property. The value shares no memory with the bytes, unless they are `owned`.
 *
 * @throws {CodecError} with the offset, for bytes that are not exactly one value of the wire format. What the
 * `extension` throws passes unchanged.
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
