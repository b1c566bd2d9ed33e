/**
 * The table of the types that CBOR itself lacks. Each type has a function that writes it and one that reads it. To add
 * a type, write the two and add them here.
 */

import { sparseArray, writeArray } from "./array.ts";
import { readBigInt, writeBigInt } from "./bigint.ts";
import { boxed, type BoxedType, isBoxed, writeBoxed } from "./boxed.ts";
import { isMap, isSet, readMap, readSet, writeMap, writeSet } from "./collections.ts";
import { genericDate, isDate, readSecondsDate, readTextDate, writeDate } from "./date.ts";
import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import {
  domException,
  error,
  errorTypes,
  isDOMException,
  isError,
  writeDOMException,
  writeError,
} from "./error.ts";
import {
  DATE_SECONDS,
  DATE_TEXT,
  JS_MAP,
  NEGATIVE_BIGINT,
  POSITIVE_BIGINT,
  REGEXP,
  SET,
  WTF8_TEXT,
} from "./format.ts";
import { isOne } from "./intrinsics.ts";
import { isRegExp, readRegExp, writeRegExp } from "./regexp.ts";
import {
  buffer,
  isBuffer,
  typedArrayReaders,
  view,
  viewTypes,
  writeBuffer,
  writeView,
} from "./views.ts";
import { readWtf8 } from "./wtf8.ts";

export { writeArray, writeBigInt, writeView };

/** A built-in class whose objects have their own form in a message. */
interface Writable {
  /** Reports whether an object is of the class. It may throw instead of returning false. */
  readonly is: (object: object) => boolean;
  readonly write: (encoder: Encoder, object: object) => void;
}

const boxedTypes: readonly BoxedType[] = ["Number", "String", "Boolean", "BigInt"];

/** The classes by the name that `Object.prototype.toString` returns; a subclass comes before its base class. */
const writables: ReadonlyMap<string, Writable> = new Map<string, Writable>([
  ["Date", { is: isDate, write: writeDate }],
  ["Map", { is: isMap, write: writeMap }],
  ["Set", { is: isSet, write: writeSet }],
  ["RegExp", { is: isRegExp, write: writeRegExp }],
  ["ArrayBuffer", { is: isBuffer, write: writeBuffer }],
  ["DOMException", { is: isDOMException, write: writeDOMException }],
  ["Error", { is: isError, write: writeError }],
  ...boxedTypes.map((type): [string, Writable] => [
    type,
    { is: isBoxed(type), write: writeBoxed(type) },
  ]),
]);

/** The classes by their prototypes, which are faster to look up. */
const byPrototype: ReadonlyMap<object, Writable> = new Map(
  [...writables].map(([name, writable]) => [prototypeOf(name), writable]),
);

function prototypeOf(name: string): object {
  return (globalThis as unknown as Record<string, { prototype: object }>)[name]!.prototype;
}

/** Returns the function that writes an object that is neither plain, nor an array, nor a view. */
export function writerOf(encoder: Encoder, object: object): Writable["write"] {
  const usual = byPrototype.get(Object.getPrototypeOf(object));
  if (usual !== undefined && isOne(usual.is, object)) return usual.write;
  // The name is also right for objects of another realm, but an object may claim any name.
  const name = Object.prototype.toString.call(object).slice("[object ".length, -1);
  const named = writables.get(name);
  if (named !== undefined && isOne(named.is, object)) return named.write;
  if (name === "Object" && !(Symbol.toStringTag in object)) return writeProperties;
  for (const writable of writables.values()) if (isOne(writable.is, object)) return writable.write;
  if (named === undefined && isPlatformObject(object)) rejectPlatformObject(encoder, object, name);
  return writeProperties;
}

/** Writes an instance of a user's class as a plain object. */
function writeProperties(encoder: Encoder, object: object): void {
  encoder.properties(object);
}

/** Reports whether an object is of a built-in class, whose toStringTag is read-only by ECMAScript and Web IDL. */
function isPlatformObject(object: object): boolean {
  for (let at: object | null = object; at !== null; at = Object.getPrototypeOf(at)) {
    const name = Object.getOwnPropertyDescriptor(at, Symbol.toStringTag);
    if (name !== undefined) return name.writable === false && !name.enumerable;
  }
  return false;
}

function rejectPlatformObject(encoder: Encoder, object: object, name: string): never {
  const article = /^[AEIOU]/.test(name) ? "an" : "a";
  const isFile = name === "Blob" || name === "File";
  const advice = isFile ? ": send its bytes" : name === "Promise" ? ": await it" : undefined;
  encoder.reject(`${article} ${name} object`, object, advice);
}

/** The functions that read the content of a tag. They pass `number` to `decoder.made`. */
export const tagReaders: ReadonlyMap<number, (decoder: Decoder, number: number) => unknown> =
  new Map<number, (decoder: Decoder, number: number) => unknown>([
    [DATE_TEXT, readTextDate],
    [DATE_SECONDS, readSecondsDate],
    [POSITIVE_BIGINT, (decoder) => readBigInt(decoder)],
    [NEGATIVE_BIGINT, (decoder) => -1n - readBigInt(decoder)],
    ...typedArrayReaders,
    [SET, readSet],
    [JS_MAP, readMap],
    [WTF8_TEXT, readWtf8],
    [REGEXP, readRegExp],
  ]);

/** Reads generic objects (tag 27) of a type. */
export interface GenericReader {
  /** The largest number of arguments. */
  readonly most: number;
  /** Creates the object before its arguments are read, if they may refer to it. */
  readonly make?: (decoder: Decoder, type: string) => object;
  /** Creates the object from its arguments, or completes it. Throws or returns undefined for invalid arguments. */
  readonly read: (
    decoder: Decoder,
    args: readonly unknown[],
    type: string,
    made: object | undefined,
  ) => unknown;
}

/** The readers of generic objects, by type. */
export const genericReaders: ReadonlyMap<string, GenericReader> = new Map([
  ["Array", sparseArray],
  ["ArrayBuffer", buffer],
  ["DOMException", domException],
  ["Date", genericDate],
  ...boxedTypes.map((type): [string, GenericReader] => [type, boxed]),
  ...errorTypes.map((type): [string, GenericReader] => [type, error]),
  ...viewTypes.map((type): [string, GenericReader] => [type, view]),
]);
