import { decode } from "./decode.ts";
import {
  ARRAY,
  type Extension,
  GENERIC_OBJECT,
  MAP,
  MAX_DEPTH,
  mayBeIndex,
  MEMORY_OF_OBJECT,
  MEMORY_OF_SLOT,
  memoryLimit,
  memoryOfIndexes,
  REFERENCE,
  SHARED,
  UNSIGNED,
} from "./format.ts";
import { Identity } from "./identity.ts";
import { pathTo, rejection } from "../../shared/clone_error.ts";
import { writeArray, writeBigInt, writerOf, writeView } from "./types.ts";
import { type SharedBuffer, SharedBuffers, writeShared } from "./views.ts";
import { ItemWriter } from "./item_writer.ts";

/** Options of `encode`. */
export interface EncodeOptions {
  /**
   * Called for each object that is neither plain nor an array. Its result is sent in the object's place; for undefined
   * the codec writes the object itself. The type must not be one of the codec's own, such as `"Date"`.
   */
  readonly extension?: (value: object) => Extension | undefined;
  /** Whether errors are sent with their `stack`, which contains paths of this machine. Default: true. */
  readonly stacks?: boolean;
}

/** At least the memory that `decode` counts for an object of a class, and for any other byte. */
const MEMORY_OF_SPECIAL = 2304;
const MEMORY_OF_BYTE = 32;

const NO_OPTIONS: EncodeOptions = {};
const objectPrototype = Object.prototype;

/** Walks through a value and writes it. The functions of the type table (types.ts) use it, too. */
export class Encoder extends ItemWriter {
  #options = NO_OPTIONS;
  #root: unknown;
  #depth = 0;
  /** Whether `Object.prototype` has an enumerable property. */
  #inherits = false;
  readonly #identity = new Identity();
  /** The buffers of the value. */
  readonly buffers: SharedBuffers = new SharedBuffers();

  get options(): EncodeOptions {
    return this.#options;
  }

  encode(value: unknown, options: EncodeOptions): Uint8Array<ArrayBuffer> {
    this.begin();
    this.#options = options;
    this.#root = value;
    this.#inherits = hasEnumerable(objectPrototype);
    this.value(value);
    const buffers = this.buffers.shared();
    if (buffers.length > 0 || this.#identity.hasRepeats) this.#markShared(buffers);
    const message = this.take();
    this.#checkMemory(message);
    return message;
  }

  /** Prepares for the next value, and keeps nothing of this one. */
  override clear(): void {
    super.clear();
    this.#options = NO_OPTIONS;
    this.#root = undefined;
    this.#depth = 0;
    this.#identity.clear();
    this.buffers.clear();
  }

  value(value: unknown): void {
    switch (typeof value) {
      case "string":
        return this.text(value);
      case "number":
        return this.number(value);
      case "boolean":
        return this.byte(value ? 0xf5 : 0xf4);
      case "undefined":
        return this.byte(0xf7);
      case "bigint":
        return writeBigInt(this, value);
      case "object":
        return value === null ? this.byte(0xf6) : this.#object(value);
      default:
        this.reject(`a ${typeof value}`, value);
    }
  }

  /** Writes the start of a generic object (tag 27). */
  generic(type: string, args: number): void {
    this.tag(GENERIC_OBJECT);
    this.head(ARRAY, 1 + args);
    this.text(type);
  }

  /** Ends the walk at a part of the value that cannot be cloned. */
  reject(what: string, culprit: unknown, advice?: string): never {
    throw rejection(what, pathTo(this.#root, culprit), advice);
  }

  /**
   * Writes an object that inherits no enumerable property. Two passes cost less than a list of its keys. `properties`
   * writes an object whose first key may be an index, and counts its memory.
   */
  #plainObject(object: object): void {
    let count = 0;
    for (const key in object) {
      if (count === 0 && mayBeIndex(key) || this.#inherits) return this.properties(object);
      count++;
    }
    this.spend(MEMORY_OF_OBJECT + MEMORY_OF_SLOT * count);
    const start = this.length;
    this.head(MAP, count);
    let written = 0;
    for (const key in object) {
      if (written === count) break; // a getter has added properties
      this.text(key);
      this.value((object as Record<string, unknown>)[key]);
      written++;
    }
    if (written < count) this.lowerHead(start, count, written); // or deleted some
  }

  /** Writes the own enumerable properties of an object of any class. */
  properties(object: object): void {
    const keys = Object.keys(object);
    const start = this.length;
    this.head(MAP, keys.length);
    this.spend(MEMORY_OF_OBJECT + MEMORY_OF_SLOT * keys.length + memoryOfIndexes(keys));
    let written = 0;
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!;
      const value = (object as Record<string, unknown>)[key];
      if (value === undefined && !Object.hasOwn(object, key)) continue; // a getter has deleted it
      this.text(key);
      this.value(value);
      written++;
    }
    if (written < keys.length) this.lowerHead(start, keys.length, written);
  }

  /** Writes the properties as an object of its own, one level deeper. */
  part(object: object): void {
    this.#deeper();
    this.properties(object);
    this.#depth--;
  }

  /** The number of objects that the walk is inside of. */
  get depth(): number {
    return this.#depth;
  }

  checkDepth(depth: number): void {
    if (depth > MAX_DEPTH) throw rejection(`a value nested more than ${MAX_DEPTH} deep`, "");
  }

  #deeper(): void {
    this.checkDepth(++this.#depth);
  }

  #object(object: object): void {
    const met = this.#identity.meet(object, this.length);
    if (met >= 0) {
      this.tag(REFERENCE);
      return this.#identity.repeat(met, this.length);
    }
    this.#deeper();
    if (Array.isArray(object)) writeArray(this, object);
    else {
      const prototype = Object.getPrototypeOf(object);
      if (prototype === objectPrototype || prototype === null) this.#plainObject(object);
      else this.#special(object);
    }
    this.#depth--;
  }

  #special(object: object): void {
    this.spend(MEMORY_OF_SPECIAL);
    const extension = this.#options.extension?.(object);
    if (extension !== undefined) this.#extension(extension);
    else if (ArrayBuffer.isView(object)) writeView(this, object);
    else writerOf(this, object)(this, object);
  }

  #extension([type, ...args]: Extension): void {
    this.generic(type, args.length);
    for (const argument of args) this.value(argument);
  }

  /**
   * Inserts the tags of the shared objects and the indexes of the references to them, and replaces the views of shared
   * buffers.
   */
  #markShared(buffers: readonly SharedBuffer[]): void {
    const identity = this.#identity;
    const numbers = buffers.map(({ buffer, uses }) => identity.share(buffer, uses[0]!.at));
    const { indexes, positions, references } = identity.shared();
    // At one position, the index of a reference comes before the tag of the object that follows.
    for (const { at, index } of references) {
      this.insert(this.apart(() => this.head(UNSIGNED, index)), at);
    }
    const inViews = new Set(numbers.filter((_, i) => buffers[i]!.uses[0]!.view !== undefined));
    for (const [number, at] of positions) {
      if (!inViews.has(number)) this.insert(this.apart(() => this.tag(SHARED)), at);
    }
    for (const [i, { buffer, uses }] of buffers.entries()) {
      writeShared(this, buffer, uses, indexes.get(numbers[i]!)!);
    }
  }

  /** Rejects a message that `decode` would refuse. If the estimate is too high to be sure, it decodes the message. */
  #checkMemory(message: Uint8Array): void {
    const most = this.memory + MEMORY_OF_BYTE * message.length;
    if (most <= memoryLimit(message.length)) return;
    try {
      decode(message, { extension: () => null });
    } catch (cause) {
      const dense = "a value that takes far more memory than its encoded form";
      throw rejection(dense, "", ": send it in parts", cause);
    }
  }
}

function hasEnumerable(object: object): boolean {
  for (const _ in object) return true;
  return false;
}

/** The encoder for the next call. A call during another one, from a getter, creates its own. */
let idle: Encoder | undefined;

/**
 * Encodes a value as CBOR (RFC 8949), as `structuredClone` would copy it. Later changes of the value do not affect the
 * bytes.
 *
 * CBOR carries the primitive values except symbols, plain objects and class instances (their own enumerable
 * properties), arrays, Map, Set, Date, RegExp, ArrayBuffer and its views, errors, the objects of primitive values, and
 * the identity of objects. A view of a part of a buffer is sent with that part only, unless the value contains the
 * whole buffer too. In an array of more than 64 elements without holes, named properties are ignored.
 *
 * The bytes may be a part of a larger buffer that other messages share: copy them before transferring them.
 *
 * @throws {DOMException} named `DataCloneError`, for anything else, for a value that is nested more than 1000 deep, for
 * a BigInt of more than 64 KiB, and for a value that takes far more memory than its bytes. What a getter throws passes
 * unchanged.
 */
export function encode(
  value: unknown,
  options: EncodeOptions = NO_OPTIONS,
): Uint8Array<ArrayBuffer> {
  const encoder = idle ?? new Encoder();
  idle = undefined;
  try {
    return encoder.encode(value, options);
  } finally {
    encoder.clear();
    idle = encoder;
  }
}
