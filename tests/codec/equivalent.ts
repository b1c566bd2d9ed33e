import assert from "node:assert/strict";
import { types } from "node:util";
import { isLengthTracking } from "./length_tracking.ts";

/**
 * Asserts that a program cannot distinguish two values, except by their identity: prototypes, own properties with their
 * order and attributes, holes, -0, which objects of the graph are the same (including ArrayBuffers), and the internal
 * state of the built-in classes.
 *
 * Differences between engines are not compared: the order of an Error's own properties, whether its `stack` is an
 * accessor, and JavaScriptCore's `line`, `column` and `sourceURL`; of a DOMException, its own properties and its stack.
 *
 * @throws {assert.AssertionError} with the path to the first difference, for example `value.a[0].buffer`
 */
export function assertEquivalent(actual: unknown, expected: unknown): void {
  new Comparison().values(actual, expected, "value");
}

/** Properties that an engine adds to an Error. Only the value of `stack` is compared. */
const KEYS_OF_ENGINES: ReadonlySet<PropertyKey> = new Set([
  "stack",
  "line",
  "column",
  "sourceURL",
  "originalLine",
  "originalColumn",
]);

type AnyMap = Map<unknown, unknown>;

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

class Comparison {
  /** Each object that was visited, with its counterpart. The mapping is one-to-one, which is what identity means. */
  #expectedOf = new Map<object, object>();
  #actualOf = new Map<object, object>();

  values(actual: unknown, expected: unknown, path: string): void {
    if (isObject(actual) && isObject(expected)) {
      if (this.#isFirstMeeting(actual, expected, path)) this.#objects(actual, expected, path);
    } else {
      same(actual, expected, path, "the value");
    }
  }

  #isFirstMeeting(actual: object, expected: object, path: string): boolean {
    const isKnown = this.#expectedOf.has(actual);
    if (isKnown !== this.#actualOf.has(expected)) {
      fail(path, isKnown ? "an object met before" : "a new object", "the opposite");
    }
    if (isKnown && this.#expectedOf.get(actual) !== expected) {
      fail(path, "an object met before", "another one met before");
    }
    this.#expectedOf.set(actual, expected);
    this.#actualOf.set(expected, actual);
    return !isKnown;
  }

  #objects(actual: object, expected: object, path: string): void {
    const kind = kindOf(expected);
    same(kindOf(actual), kind, path, "the class");
    if (Object.getPrototypeOf(actual) !== Object.getPrototypeOf(expected)) {
      fail(path, "a prototype", "another one");
    }
    same(Object.isExtensible(actual), Object.isExtensible(expected), path, "extensibility");
    this.#contents(kind, actual, expected, path);
    if (kind !== "DOMException") this.#properties(kind, actual, expected, path);
  }

  /** Compares the internal state of a built-in class. */
  #contents(kind: string, actual: object, expected: object, path: string): void {
    switch (kind) {
      case "Date":
        return same(Date.prototype.getTime.call(actual), +(expected as Date), path, "the time");
      case "RegExp":
        return fields(["source", "flags"], actual, expected, path);
      case "Map":
        return this.#maps(actual as AnyMap, expected as AnyMap, path);
      case "Set":
        return this.#lists([...actual as Set<unknown>], [...expected as Set<unknown>], path);
      case "Error":
        return fields(["stack"], actual, expected, path);
      case "DOMException":
        return fields(["name", "message", "code"], actual, expected, path);
      case "ArrayBuffer":
        return buffers(actual as ArrayBuffer, expected as ArrayBuffer, path);
      case "boxed primitive":
        return same(Object(actual).valueOf(), Object(expected).valueOf(), path, "the primitive");
      case "Array":
      case "Object":
        return;
      default:
        return this.#views(actual as ArrayBufferView, expected as ArrayBufferView, path);
    }
  }

  #maps(actual: AnyMap, expected: AnyMap, path: string): void {
    this.#lists([...actual.keys()], [...expected.keys()], `${path}.keys()`);
    this.#lists([...actual.values()], [...expected.values()], `${path}.values()`);
  }

  #lists(actual: unknown[], expected: unknown[], path: string): void {
    same(actual.length, expected.length, path, "the size");
    actual.forEach((item, i) => this.values(item, expected[i], `${path}[${i}]`));
  }

  #views(actual: ArrayBufferView, expected: ArrayBufferView, path: string): void {
    fields(["byteOffset", "byteLength", "length"], actual, expected, path);
    same(isLengthTracking(actual), isLengthTracking(expected), path, "length tracking");
    this.values(actual.buffer, expected.buffer, `${path}.buffer`);
  }

  #properties(kind: string, actual: object, expected: object, path: string): void {
    const keys = comparedKeys(kind, expected);
    const printed = (list: PropertyKey[]) => list.map(String).join();
    same(printed(comparedKeys(kind, actual)), printed(keys), path, "the own keys");
    for (const key of keys) {
      const step = typeof key === "string" && IDENTIFIER.test(key) ? `.${key}` : `[${String(key)}]`;
      const a = Object.getOwnPropertyDescriptor(actual, key)!;
      const b = Object.getOwnPropertyDescriptor(expected, key)!;
      same(attributes(a), attributes(b), path + step, "the attributes");
      this.values(a.value, b.value, path + step);
    }
    if (kind !== "Error") return;
    same(isStackShown(actual), isStackShown(expected), `${path}.stack`, "the enumerability");
  }
}

/** Reports whether a loop over an Error's properties would find its stack. */
function isStackShown(error: object): boolean {
  return Object.getOwnPropertyDescriptor(error, "stack")?.enumerable ?? false;
}

function comparedKeys(kind: string, object: object): PropertyKey[] {
  if (types.isTypedArray(object)) {
    return Reflect.ownKeys(object).slice(object.length); // the buffers were compared
  }
  const keys = Reflect.ownKeys(object);
  if (kind !== "Error") return keys;
  return keys.filter((key) => !KEYS_OF_ENGINES.has(key)).sort();
}

/** Returns the class of an object, judged by its internal state and not by its properties. */
function kindOf(object: object): string {
  if (Array.isArray(object)) return "Array";
  if (types.isTypedArray(object)) return object[Symbol.toStringTag];
  if (types.isDataView(object)) return "DataView";
  if (types.isAnyArrayBuffer(object)) return "ArrayBuffer";
  if (types.isDate(object)) return "Date";
  if (types.isRegExp(object)) return "RegExp";
  if (types.isMap(object)) return "Map";
  if (types.isSet(object)) return "Set";
  if (object instanceof DOMException) return "DOMException";
  if (types.isNativeError(object)) return "Error";
  return types.isBoxedPrimitive(object) ? "boxed primitive" : "Object";
}

function buffers(actual: ArrayBuffer, expected: ArrayBuffer, path: string): void {
  fields(["byteLength", "maxByteLength", "resizable", "detached"], actual, expected, path);
  const a = new Uint8Array(actual);
  const b = new Uint8Array(expected);
  a.forEach((byte, i) => byte === b[i] || fail(`${path}[${i}]`, String(byte), String(b[i])));
}

function fields(names: string[], actual: object, expected: object, path: string): void {
  for (const name of names) {
    same(Reflect.get(actual, name), Reflect.get(expected, name), path, `the ${name}`);
  }
}

function attributes(property: PropertyDescriptor): string {
  const { writable, enumerable, configurable } = property;
  return JSON.stringify({ writable, enumerable, configurable });
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null || typeof value === "function";
}

function same(actual: unknown, expected: unknown, path: string, what: string): void {
  if (!Object.is(actual, expected)) fail(`${what} at ${path}`, printed(actual), printed(expected));
}

function printed(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 200));
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "bigint") return `${value}n`;
  return isObject(value) ? `an object, ${kindOf(value)},` : String(value);
}

function fail(where: string, actual: string, expected: string): never {
  assert.fail(`${where} is ${actual} and should be ${expected}`);
}
