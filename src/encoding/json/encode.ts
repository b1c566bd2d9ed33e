import { rejection, step } from "../../shared/clone_error.ts";
import type { Members } from "./decode.ts";
import { elementBytes, maxDepth, memoryLimit } from "./limits.ts";
import { checkShape } from "./shape.ts";

/** Options of `encode`. */
export interface EncodeOptions {
  /**
   * The ASCII key that marks an object of the extension; its value there is `true`. An object of the value that has
   * this key is rejected, since readers would take it for one of the extension.
   */
  readonly marker?: string;
  /**
   * Called for each object that is neither plain nor an array. Its result is written in the object's place, with the
   * marker; for undefined the encoder writes the object itself.
   */
  readonly extension?: (object: object) => Members | undefined;
}

/** Named properties are looked for only in arrays up to this length: no cheap test finds them in longer ones. */
const longestCheckedArray = 64;

/** After this many objects, `encode` counts how often the same ones occur. */
const manyObjects = 100_000;

/** How often on average an object may be written for each item of the objects, once there are many. */
const mostRepeats = 16;

/** In UTF-16 code units. RabbitMQ accepts no message of more than 128 MiB. */
const longestText = 2 ** 27;

const objectPrototype = Object.prototype;
const utf8 = new TextEncoder();

/** Walks through a value and writes it. */
class JsonEncoder {
  #text = "";
  /** The bytes of memory that properties named by numbers take at the receiver, at most. */
  #memory = 0;
  /** How many objects were written, counting each as often as it occurs. */
  #written = 0;
  /** The objects that were written after the first `manyObjects`. */
  #distinct: Set<object> | undefined;
  /** How many items the distinct objects have. */
  #items = 0;
  readonly #options: EncodeOptions;
  /** The objects that the walk is inside of. They tell a cycle, and the depth. */
  readonly #holders: object[] = [];
  /** The key of each holder that is being written; undefined before the first. */
  readonly #keys: (string | number | undefined)[] = [];

  constructor(options: EncodeOptions) {
    this.#options = options;
  }

  encode(value: unknown): Uint8Array<ArrayBuffer> {
    this.#value(value);
    const bytes = utf8.encode(this.#text);
    if (this.#memory > memoryLimit(bytes.length)) checkMemory(bytes);
    return bytes;
  }

  #value(value: unknown): void {
    switch (typeof value) {
      case "string":
        this.#text += JSON.stringify(value);
        break;
      case "number":
        if (!Number.isFinite(value) || Object.is(value, -0)) {
          this.#reject(`the number ${Object.is(value, -0) ? "-0" : value}`, "send null or text");
        }
        this.#text += value;
        break;
      case "boolean":
        this.#text += value;
        break;
      case "object":
        if (value === null) this.#text += "null";
        else this.#object(value);
        break;
      case "undefined":
        return this.#reject("undefined", "send null, or leave it out");
      case "bigint":
        return this.#reject("a bigint", "send it as text");
      default:
        this.#reject(`a ${typeof value}`);
    }
  }

  #object(object: object): void {
    const holders = this.#holders;
    for (let i = 0; i < holders.length; i++) {
      if (holders[i] === object) this.#reject("a cycle, an object inside itself,");
    }
    if (holders.length === maxDepth) {
      throw rejection(`a value nested more than ${maxDepth} deep`, "");
    }
    if (++this.#written > manyObjects) this.#checkRepeats(object);
    if (this.#text.length > longestText) {
      throw rejection("a value of more than 128 MiB in JSON", "", ": send it in parts");
    }
    holders.push(object);
    this.#keys.push(undefined);
    this.#content(object, true);
    holders.pop();
    this.#keys.pop();
  }

  /** JSON has no references: forty arrays that each hold the next one twice would become a text of 2^40 brackets. */
  #checkRepeats(object: object): void {
    if (this.#distinct === undefined) {
      this.#distinct = new Set();
      for (const holder of this.#holders) this.#note(holder, this.#distinct);
    }
    this.#note(object, this.#distinct);
    if (this.#written > 2 * manyObjects + mostRepeats * this.#items) {
      throw rejection(
        "a value whose objects occur in each other again and again",
        "",
        ": send copies",
      );
    }
  }

  #note(object: object, distinct: Set<object>): void {
    if (distinct.has(object)) return;
    distinct.add(object);
    this.#items += Array.isArray(object) ? object.length : Object.keys(object).length;
  }

  /** @param mayConvert whether the object's toJSON is called; not that of a toJSON's result */
  #content(object: object, mayConvert: boolean): void {
    const isArray = Array.isArray(object);
    let brand = "Object";
    if (!isArray && !isPlain(object)) {
      const members = this.#options.extension?.(object);
      if (members !== undefined) return this.#properties(members, this.#options.marker);
      brand = objectPrototype.toString.call(object).slice("[object ".length, -1);
      // The toJSON of a Date or a Buffer returns what no reader recognizes as one.
      if (brand === "Date" || ArrayBuffer.isView(object)) this.#rejectBrand(brand);
    }
    const { toJSON } = object as { readonly toJSON?: unknown };
    if (mayConvert && typeof toJSON === "function") {
      const converted = toJSON.call(object, String(this.#keys.at(-2) ?? ""));
      const isObject = typeof converted === "object" && converted !== null;
      return isObject ? this.#content(converted, false) : this.#value(converted);
    }
    if (isArray) return this.#array(object);
    if (brand !== "Object" && brand !== "Arguments") this.#rejectBrand(brand);
    this.#properties(object, undefined, toJSON);
  }

  /**
   * Writes the own enumerable properties of a plain object or a class instance.
   *
   * @param toJSON the value of the property of this name, which is not read again
   */
  #properties(object: object, marker?: string, toJSON?: unknown): void {
    const { marker: reserved } = this.#options;
    const depth = this.#keys.length - 1;
    this.#text += marker === undefined ? "{" : `{${JSON.stringify(marker)}:true`;
    let isFirst = marker === undefined;
    const names = Object.keys(object);
    this.#memory += memoryOf(names);
    for (const key of names) {
      const isRead = key === "toJSON" && toJSON !== undefined;
      const value = isRead ? toJSON : (object as Record<string, unknown>)[key];
      if (value === undefined && !Object.hasOwn(object, key)) continue; // an earlier getter has deleted it
      this.#keys[depth] = key;
      if (key === reserved) this.#rejectKey(key);
      this.#text += (isFirst ? "" : ",") + JSON.stringify(key) + ":";
      this.#value(value);
      isFirst = false;
    }
    this.#text += "}";
  }

  #array(array: readonly unknown[]): void {
    const length = array.length;
    if (length <= longestCheckedArray && Object.keys(array).length > length) {
      this.#reject("an array with named properties");
    }
    const depth = this.#keys.length - 1;
    this.#text += "[";
    for (let i = 0; i < length; i++) {
      const item = array[i];
      this.#keys[depth] = i;
      if (item === undefined && !Object.hasOwn(array, i)) this.#reject("a hole in an array");
      if (i > 0) this.#text += ",";
      this.#value(item);
    }
    this.#text += "]";
  }

  #rejectBrand(brand: string): never {
    const article = /^(?:[AEIO]|Un)/.test(brand) ? "an" : "a";
    this.#reject(`${article} ${brand} object`, alternatives.get(brand));
  }

  #rejectKey(key: string): never {
    const advice = ": it would arrive as something else; rename the key";
    throw rejection(`the key ${JSON.stringify(key)}`, pathOf(this.#keys), advice);
  }

  /** Ends the walk at a part of the value that JSON cannot represent. */
  #reject(what: string, advice?: string): never {
    throw rejection(what, pathOf(this.#keys), `: JSON has none${advice ? `; ${advice}` : ""}`);
  }
}

/** Returns at least as many bytes as `checkShape` counts for an object of these keys: indexes come first, ascending. */
function memoryOf(keys: readonly string[]): number {
  let last = 0;
  for (let i = 0; i < keys.length; i++) {
    const first = keys[i]!.charCodeAt(0);
    const index = first >= 0x30 && first <= 0x39 ? Number(keys[i]) : NaN;
    if (!(index >= last)) break;
    last = index;
  }
  return last === 0 ? 0 : elementBytes * (last + 1);
}

/** Rejects a message that `decode` would refuse. */
function checkMemory(bytes: Uint8Array): void {
  try {
    checkShape(bytes);
  } catch (cause) {
    const dense = "a value that takes far more memory than its encoded form";
    throw rejection(dense, "", ": send it in parts", cause);
  }
}

/** What to send in place of an object of a class. */
const alternatives: ReadonlyMap<string, string> = new Map([
  ["Date", "send its toISOString() or getTime()"],
  ["Map", "send Object.fromEntries(map), or an array of its entries"],
  ["Set", "send an array"],
  ["Uint8Array", "send text, such as base64, or an array of numbers"],
  ["RegExp", "send its source"],
  ["Error", "send its message"],
  ["Promise", "await it"],
]);

function isPlain(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  return prototype === objectPrototype || prototype === null;
}

/** Returns a path such as `job.callbacks[2]`. */
function pathOf(keys: readonly (string | number | undefined)[]): string {
  let path = "";
  for (const key of keys) {
    if (key === undefined) break;
    path += step(key);
  }
  return path.startsWith(".") ? path.slice(1) : path;
}

const noOptions: EncodeOptions = {};

/**
 * Encodes a value as JSON (RFC 8259) in UTF-8. Later changes of the value do not affect the bytes.
 *
 * JSON carries null, booleans, finite numbers, strings, dense arrays, plain objects and class instances (their own
 * enumerable properties). An object with a method `toJSON` is written as the result of that method, except a Date and
 * a Buffer, which are rejected. An object that occurs twice is written twice; a value is rejected if its objects repeat
 * so often that the text would be far larger than the value.
 *
 * @throws {DOMException} named `DataCloneError`, with the path of the culprit, for anything else, for a cycle, and for
 * a value that is nested more than 1000 deep. What a getter or a toJSON throws passes unchanged.
 */
export function encode(
  value: unknown,
  options: EncodeOptions = noOptions,
): Uint8Array<ArrayBuffer> {
  return new JsonEncoder(options).encode(value);
}
