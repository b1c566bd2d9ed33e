import { memoryLimit, memoryOfIndexes } from "../cbor/format.ts";
import { rejection, step } from "../../shared/clone_error.ts";
import { checkShape } from "./decode.ts";
import { maxDepth, type Members } from "./format.ts";

/** What `encode` takes beside the value. */
export interface EncodeOptions {
  /**
   * The key that marks what the extension has written, in ASCII: it is `true` there. No other object
   * may have it, for readers would take that for the extension's.
   */
  readonly marker?: string;
  /**
   * Asked for each object that is neither plain nor an array. What it returns is written in the
   * object's place, with the marker; undefined leaves the object to the encoder.
   */
  readonly extension?: (object: object) => Members | undefined;
}

/** Named properties are looked for in arrays up to this long only: there is no cheap test for longer ones. */
const longestCheckedArray = 64;

/** From so many objects on it is looked whether they are the same few again and again. */
const many = 100_000;

/** How often an object is written for each place in which it stands, where there are many. */
const mostRepeats = 16;

/** In units. RabbitMQ takes no message of more than 128 MiB. */
const longestText = 2 ** 27;

const objectPrototype = Object.prototype;
const encoder = new TextEncoder();

/** Walks through a value and writes it. */
class JsonEncoder {
  #text = "";
  /** What the keys that are numbers take where the value arrives, in bytes, at most. */
  #memory = 0;
  /** How many objects were met, each as often as it was. */
  #met = 0;
  /** Those that are met after many, and how many places they have for others. */
  #distinct: Set<object> | undefined;
  #places = 0;
  readonly #options: EncodeOptions;
  /** The objects that the walk is inside of: they tell a cycle and the depth. */
  readonly #holders: object[] = [];
  /** Which part of each of them is being written; undefined before the first. */
  readonly #keys: (string | number | undefined)[] = [];

  constructor(options: EncodeOptions) {
    this.#options = options;
  }

  encode(value: unknown): Uint8Array<ArrayBuffer> {
    this.#value(value);
    const bytes = encoder.encode(this.#text);
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
    if (++this.#met > many) this.#checkRepeats(object);
    if (this.#text.length > longestText) {
      throw rejection("a value of more than 128 MiB in JSON", "", ": send it in parts");
    }
    holders.push(object);
    this.#keys.push(undefined);
    this.#content(object, true);
    holders.pop();
    this.#keys.pop();
  }

  /** JSON has no references: forty arrays, each of which holds the next twice, would be a text without an end. */
  #checkRepeats(object: object): void {
    if (this.#distinct === undefined) {
      this.#distinct = new Set();
      for (const holder of this.#holders) this.#note(holder, this.#distinct);
    }
    this.#note(object, this.#distinct);
    if (this.#met > 2 * many + mostRepeats * this.#places) {
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
    this.#places += Array.isArray(object) ? object.length : Object.keys(object).length;
  }

  /** @param mayConvert whether the object is the program's, and not what a toJSON has returned */
  #content(object: object, mayConvert: boolean): void {
    const isArray = Array.isArray(object);
    let brand = "Object";
    if (!isArray && !isPlain(object)) {
      const members = this.#options.extension?.(object);
      if (members !== undefined) return this.#properties(members, this.#options.marker);
      brand = objectPrototype.toString.call(object).slice("[object ".length, -1);
      // A Date, and a Buffer, would convert itself to what no reader takes for one.
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
   * A plain object, or a class instance without its class: the own enumerable properties.
   *
   * @param toJSON the property of this name, which has been read
   */
  #properties(object: object, marker?: string, toJSON?: unknown): void {
    const { marker: reserved } = this.#options;
    const depth = this.#keys.length - 1;
    this.#text += marker === undefined ? "{" : `{${JSON.stringify(marker)}:true`;
    let isFirst = marker === undefined;
    const names = Object.keys(object);
    this.#memory += memoryOfIndexes(names);
    for (const key of names) {
      const isRead = key === "toJSON" && toJSON !== undefined;
      const value = isRead ? toJSON : (object as Record<string, unknown>)[key];
      // A getter may have deleted a property that was still to come.
      if (value === undefined && !Object.hasOwn(object, key)) continue;
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
    this.#reject(`${article} ${brand} object`, instead.get(brand));
  }

  #rejectKey(key: string): never {
    const advice = ": it would arrive as something else; rename the key";
    throw rejection(`the key ${JSON.stringify(key)}`, pathOf(this.#keys), advice);
  }

  /** Ends the walk: what is being written cannot be said in JSON. */
  #reject(what: string, advice?: string): never {
    throw rejection(what, pathOf(this.#keys), `: JSON has none${advice ? `; ${advice}` : ""}`);
  }
}

/** What is sent must not be refused where it arrives. */
function checkMemory(bytes: Uint8Array): void {
  try {
    checkShape(bytes);
  } catch (cause) {
    const dense = "a value that takes far more memory than its encoded form";
    throw rejection(dense, "", ": send it in parts", cause);
  }
}

/** What to send in place of an object of a class. */
const instead: ReadonlyMap<string, string> = new Map([
  ["Date", "send its toISOString() or getTime()"],
  ["Map", "send Object.fromEntries(map), or an array of its entries"],
  ["Set", "send an array"],
  ["Uint8Array", "send text, such as base64, or an array of numbers"],
  ["RegExp", "send its source"],
  ["Error", "send its message"],
]);

function isPlain(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  return prototype === objectPrototype || prototype === null;
}

/** Such as `job.callbacks[2]`. */
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
 * Turns a value into JSON (RFC 8259), in UTF-8: later changes of the value change nothing. Carried
 * are null, booleans, finite numbers, strings, dense arrays, plain objects and class instances (their
 * own enumerable properties). An object with a method `toJSON` is written as what that returns; Date
 * and Buffer are refused all the same. An object that occurs twice is written twice; a value is refused in which
 * that is so again and again, so that its text would be far larger than it is.
 *
 * @throws {DOMException} named `DataCloneError`, which says where, for anything else, for a cycle and
 * for a value nested more than 1000 deep. What a getter or a toJSON throws passes unchanged.
 */
export function encode(
  value: unknown,
  options: EncodeOptions = noOptions,
): Uint8Array<ArrayBuffer> {
  return new JsonEncoder(options).encode(value);
}
