/**
 * The table of the types that CBOR itself does not have. A type is a function that writes it and one
 * that reads it; adding a type is writing the two and naming them here.
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

/** A class of objects that are written in a way of their own. */
interface Writable {
  /** Whether the object really is one; if not, it may also throw. */
  readonly is: (object: object) => boolean;
  readonly write: (encoder: Encoder, object: object) => void;
}

const boxedTypes: readonly BoxedType[] = ["Number", "String", "Boolean", "BigInt"];

/** The classes by the name that `Object.prototype.toString` gives, the more special ones first. */
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

/** The same by their prototypes, which are faster to look up. */
const byPrototype: ReadonlyMap<object, Writable> = new Map(
  [...writables].map(([name, writable]) => [prototypeOf(name), writable]),
);

function prototypeOf(name: string): object {
  return (globalThis as unknown as Record<string, { prototype: object }>)[name]!.prototype;
}

/** What writes an object that is neither plain, nor an array, nor a view. */
export function writerOf(encoder: Encoder, object: object): Writable["write"] {
  const usual = byPrototype.get(Object.getPrototypeOf(object));
  if (usual !== undefined && isOne(usual.is, object)) return usual.write;
  // The name holds for objects of another realm too, but an object may claim any.
  const name = Object.prototype.toString.call(object).slice("[object ".length, -1);
  const named = writables.get(name);
  if (named !== undefined && isOne(named.is, object)) return named.write;
  if (name === "Object" && !(Symbol.toStringTag in object)) return writeProperties;
  for (const writable of writables.values()) if (isOne(writable.is, object)) return writable.write;
  if (named === undefined && isPlatformObject(object)) rejectPlatformObject(encoder, object, name);
  return writeProperties;
}

/** An instance of a user's class, whose class stays behind. */
function writeProperties(encoder: Encoder, object: object): void {
  encoder.properties(object);
}

/** Built-in classes have a name that is read-only, as ECMAScript and Web IDL want it; names by users are not. */
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
  const advice = isFile ? ": send its bytes instead" : undefined;
  encoder.reject(`${article} ${name} object`, object, advice);
}

/** What reads the content of a tag; `number` is for `decoder.made`. */
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

/** What reads generic objects (tag 27) of a type. */
export interface GenericReader {
  /** How many arguments there are at most. */
  readonly most: number;
  /** Makes the object before its arguments are read, where these may refer to it. */
  readonly make?: (decoder: Decoder, type: string) => object;
  /** Makes it of its arguments, or completes it. It throws, or answers undefined, where they are none. */
  readonly read: (
    decoder: Decoder,
    args: readonly unknown[],
    type: string,
    made: object | undefined,
  ) => unknown;
}

/** What reads a generic object, by its type. */
export const genericReaders: ReadonlyMap<string, GenericReader> = new Map([
  ["Array", sparseArray],
  ["ArrayBuffer", buffer],
  ["DOMException", domException],
  ["Date", genericDate],
  ...boxedTypes.map((type): [string, GenericReader] => [type, boxed]),
  ...errorTypes.map((type): [string, GenericReader] => [type, error]),
  ...viewTypes.map((type): [string, GenericReader] => [type, view]),
]);
