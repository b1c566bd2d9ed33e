import { ARRAY, type Extension, GENERIC_OBJECT, MAP, MAX_DEPTH } from "./format.ts";
import { pathTo, rejection } from "./rejection.ts";
import { writeBigInt, writers, writeView } from "./types.ts";
import { Writer } from "./writer.ts";

/** What `encode` takes beside the value. */
export interface EncodeOptions {
  /**
   * Asked for each object that is neither plain nor an array. What it returns is sent in the
   * object's place; undefined leaves the object to the codec. Its type must not be one of the
   * codec's own, such as `"Date"`.
   */
  readonly extension?: (value: object) => Extension | undefined;
}

/** Named properties are looked for in arrays up to this long only: there is no cheap test for longer ones. */
const LONGEST_CHECKED_ARRAY = 64;

const NO_OPTIONS: EncodeOptions = {};
const objectPrototype = Object.prototype;

/** Walks through a value and writes it. The rows of the type table (types.ts) write with it, too. */
export class Encoder extends Writer {
  #options = NO_OPTIONS;
  /** The objects that the walk is inside of: they tell a cycle, the depth, and where an error is. */
  #holders: object[] = [];

  encode(value: unknown, options: EncodeOptions): Uint8Array<ArrayBuffer> {
    this.#options = options;
    this.value(value);
    return this.take();
  }

  /** Makes ready for another value, keeping nothing of the last one. */
  override clear(): void {
    super.clear();
    this.#options = NO_OPTIONS;
    if (this.#holders.length > 0) this.#holders = [];
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

  /** Ends the walk: this value, in the object that the walk is inside of, cannot be cloned. */
  reject(what: string, value: unknown, advice?: string): never {
    throw rejection(what, pathTo(this.#holders, value), advice);
  }

  #object(object: object): void {
    this.#enter(object);
    if (Array.isArray(object)) this.#array(object);
    else {
      const prototype = Object.getPrototypeOf(object);
      if (prototype === objectPrototype || prototype === null) this.#properties(object);
      else this.#special(object);
    }
    this.#holders.pop();
  }

  #enter(object: object): void {
    const holders = this.#holders;
    for (let i = 0; i < holders.length; i++) {
      if (holders[i] === object) this.reject("a cycle, an object inside itself,", object);
    }
    if (holders.length === MAX_DEPTH) {
      throw rejection(`a value nested more than ${MAX_DEPTH} deep`, "");
    }
    holders.push(object);
  }

  /** A plain object, or a class instance without its class: the own enumerable properties. */
  #properties(object: object): void {
    const keys = Object.keys(object);
    const start = this.length;
    this.head(MAP, keys.length);
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
    if (written < keys.length) this.rewriteHead(start, MAP, keys.length, written);
  }

  #array(array: readonly unknown[]): void {
    const length = array.length;
    if (length <= LONGEST_CHECKED_ARRAY && Object.keys(array).length > length) {
      this.rejectHolder("an array with named properties");
    }
    this.head(ARRAY, length);
    for (let i = 0; i < length; i++) {
      const item = array[i];
      if (item === undefined && !Object.hasOwn(array, i)) this.rejectHolder("an array with holes");
      this.value(item);
    }
  }

  #special(object: object): void {
    const extension = this.#options.extension?.(object);
    if (extension !== undefined) return this.#extension(extension);
    if (ArrayBuffer.isView(object)) return writeView(this, object);
    // The one test of a class that holds for objects of another realm and costs an exception to none.
    const brand = objectPrototype.toString.call(object).slice("[object ".length, -1);
    if (brand === "Object" || brand === "Arguments") return this.#properties(object);
    const write = writers.get(brand);
    if (write === undefined) this.#rejectBrand(brand);
    write(this, object);
  }

  #extension([type, ...args]: Extension): void {
    this.generic(type, args.length);
    for (const argument of args) this.value(argument);
  }

  #rejectBrand(brand: string): never {
    const article = /^[AEIOU]/.test(brand) ? "an" : "a";
    const isFile = brand === "Blob" || brand === "File";
    this.rejectHolder(
      `${article} ${brand} object`,
      isFile ? ": send its bytes instead" : undefined,
    );
  }

  /** Ends the walk: the object that the walk is inside of cannot be cloned. */
  rejectHolder(what: string, advice?: string): never {
    const object = this.#holders.pop();
    this.reject(what, object, advice);
  }
}

/** The encoder for the next call. A call that comes while it is in use, from a getter, makes its own. */
let idle: Encoder | undefined;

/**
 * Turns a value into bytes, as `structuredClone` would copy it: later changes of the value change
 * nothing. Carried are the primitive values except symbols, plain objects and class instances (their
 * own enumerable properties), dense arrays, Map, Set, Date and Uint8Array. An object that occurs
 * twice is written twice. The format is CBOR, RFC 8949.
 *
 * @throws {DOMException} named `DataCloneError`, for anything else, for a cycle, for a value nested
 * more than 1000 deep and for a BigInt of more than 64 KiB. What a getter throws passes unchanged.
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
