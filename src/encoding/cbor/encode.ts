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
import { Writer } from "./writer.ts";

/** What `encode` takes beside the value. */
export interface EncodeOptions {
  /**
   * Asked for each object that is neither plain nor an array. What it returns is sent in the
   * object's place; undefined leaves the object to the codec. Its type must not be one of the
   * codec's own, such as `"Date"`.
   */
  readonly extension?: (value: object) => Extension | undefined;
  /** Whether errors take their `stack` along, which names paths of this machine; default true. */
  readonly stacks?: boolean;
}

/** No less memory than `decode` accounts for an object of a class, and for what else is in a byte. */
const MEMORY_OF_SPECIAL = 2304;
const MEMORY_OF_BYTE = 32;

const NO_OPTIONS: EncodeOptions = {};
const objectPrototype = Object.prototype;

/** Walks through a value and writes it. The rows of the type table (types.ts) write with it, too. */
export class Encoder extends Writer {
  #options = NO_OPTIONS;
  #root: unknown;
  #depth = 0;
  /** Whether somebody has given all objects an enumerable property. */
  #inherits = false;
  readonly #identity = new Identity();
  /** Which buffers several views show. */
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

  /** Makes ready for another value, keeping nothing of the last one. */
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

  /** The start of a generic object (tag 27) of as many arguments. */
  generic(type: string, args: number): void {
    this.tag(GENERIC_OBJECT);
    this.head(ARRAY, 1 + args);
    this.text(type);
  }

  /** Ends the walk: this part of the value cannot be cloned. */
  reject(what: string, culprit: unknown, advice?: string): never {
    throw rejection(what, pathTo(this.#root, culprit), advice);
  }

  /**
   * An object that inherits no enumerable property. Walking through it twice costs less than a list of its keys.
   * Those named by numbers, which come first, take memory that is accounted for elsewhere.
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
      if (written === count) break; // a getter has added a property
      this.text(key);
      this.value((object as Record<string, unknown>)[key]);
      written++;
    }
    if (written < count) this.lowerHead(start, count, written); // or deleted one
  }

  /** The own enumerable properties of an object whose class does not matter. */
  properties(object: object): void {
    const keys = Object.keys(object);
    const start = this.length;
    this.head(MAP, keys.length);
    this.spend(MEMORY_OF_OBJECT + MEMORY_OF_SLOT * keys.length + memoryOfIndexes(keys));
    let written = 0;
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!;
      const value = (object as Record<string, unknown>)[key];
      // A getter may have deleted a property that was still to come.
      if (value === undefined && !Object.hasOwn(object, key)) continue;
      this.text(key);
      this.value(value);
      written++;
    }
    if (written < keys.length) this.lowerHead(start, keys.length, written);
  }

  /** The same for what `decode` reads as an object in its own right. */
  part(object: object): void {
    this.#deeper();
    this.properties(object);
    this.#depth--;
  }

  /** How many objects the walk is inside of. */
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
   * Puts the tags around what was met again, and the numbers into the references to it; and has the views of shared
   * buffers refer to these, of which the first brings it along.
   */
  #markShared(buffers: readonly SharedBuffer[]): void {
    const identity = this.#identity;
    const numbers = buffers.map(({ buffer, uses }) => identity.share(buffer, uses[0]!.at));
    const { indexes, positions, references } = identity.shared();
    // A reference's number comes before the mark of what follows it, where both are at one place.
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

  /** What is sent must not be refused where it arrives: in doubt, it is tried. */
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

/** The encoder for the next call. A call that comes while it is in use, from a getter, makes its own. */
let idle: Encoder | undefined;

/**
 * Turns a value into bytes, as `structuredClone` would copy it: later changes of the value change
 * nothing. Carried are the primitive values except symbols, plain objects and class instances (their
 * own enumerable properties), arrays, Map, Set, Date, RegExp, ArrayBuffer and its views, errors, the
 * objects of primitive values, and which of these are the same object. A view of a part of a buffer
 * takes that part along only, unless the value holds the whole buffer too. Named properties of arrays
 * of more than 64 elements without holes are not looked for. The format is CBOR, RFC 8949.
 *
 * The bytes may be a part of a larger buffer that is shared with other messages: copy them before you
 * transfer them.
 *
 * @throws {DOMException} named `DataCloneError`, for anything else, for a value nested more than 1000
 * deep, a BigInt of more than 64 KiB, and a value that takes far more memory than its bytes. What a
 * getter throws passes unchanged.
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
