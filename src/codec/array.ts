import type { Encoder } from "./encode.ts";
import { ARRAY, MEMORY_OF_ARRAY, MEMORY_OF_ELEMENT, MEMORY_OF_SLOT } from "./format.ts";
import { isRecord, setProperty } from "./property.ts";
import type { GenericReader } from "./types.ts";

/** Named properties are looked for in arrays up to this long only: there is no cheap test for longer ones. */
const LONGEST_CHECKED_ARRAY = 64;

/** Arrays from here on may be long by declaration only, and are not walked through before a few samples. */
const LONG_ARRAY = 65_536;
const SAMPLES = 64;

/** V8 allocates the length that an array is given, unless it has once been so long that it keeps a table instead. */
const LONGEST_ALLOCATED_ARRAY = 1024;

const { includes, slice } = Array.prototype;

const MAX_LENGTH = 2 ** 32 - 1;
const MEMORY_OF_SPARSE_ELEMENT = 64;

/** Dense arrays are arrays in CBOR; those with holes or named properties are generic objects. */
export function writeArray(encoder: Encoder, array: readonly unknown[]): void {
  const { length } = array;
  // A short one is read as it is written, and a long one before: no getter is called twice.
  let items: readonly unknown[] | undefined = array;
  if (length <= LONGEST_CHECKED_ARRAY) {
    if (!isDense(Object.keys(array), length)) return writeSparseArray(encoder, array);
  } else {
    items = hasManyHoles(array) ? undefined : itemsOf(array);
    if (items === undefined || hasHoles(items)) return writeSparseArray(encoder, array, items);
  }
  encoder.spend(MEMORY_OF_ARRAY + MEMORY_OF_SLOT * length);
  encoder.head(ARRAY, length);
  for (let i = 0; i < length; i++) encoder.value(items[i]);
}

/** Whether these are the indexes of all items and nothing else: indexes come first, in their order. */
function isDense(keys: readonly string[], length: number): boolean {
  return keys.length === length && (length === 0 || keys[length - 1] === String(length - 1));
}

/** The items as they are now, and the holes. */
function itemsOf(array: readonly unknown[]): readonly unknown[] {
  // Another constructor would be asked for the class of the copy.
  const isPlain = Object.getPrototypeOf(array) === Array.prototype;
  if (isPlain && !Object.hasOwn(array, "constructor")) return slice.call(array);
  const { length } = array;
  const items: unknown[] = new Array(length);
  for (let i = 0; i < length; i++) if (Object.hasOwn(array, i)) items[i] = array[i];
  return items;
}

/** Whether a few samples of a long array are holes. */
function hasManyHoles(array: readonly unknown[]): boolean {
  const { length } = array;
  if (length <= LONG_ARRAY) return false;
  for (let i = 0; i < SAMPLES; i++) {
    if (!Object.hasOwn(array, Math.floor(length * Math.random()))) return true;
  }
  return false;
}

function hasHoles(items: readonly unknown[]): boolean {
  if (!includes.call(items, undefined)) return false; // for which holes are undefined
  for (let i = 0; i < items.length; i++) {
    if (items[i] === undefined && !Object.hasOwn(items, i)) return true;
  }
  return false;
}

function writeSparseArray(encoder: Encoder, array: readonly unknown[], read?: object): void {
  encoder.spend(MEMORY_OF_ELEMENT * LONGEST_ALLOCATED_ARRAY);
  encoder.generic("Array", 2);
  encoder.number(array.length);
  encoder.part(array, read);
}

export const sparseArray: GenericReader = {
  most: 2,
  make: () => [],
  read(decoder, [length, entries], _type, made) {
    if (typeof length !== "number" || !isRecord(entries)) return undefined;
    const array = made as unknown[];
    if (length > LONGEST_ALLOCATED_ARRAY) array.length = MAX_LENGTH;
    else decoder.spend(MEMORY_OF_ELEMENT * length);
    array.length = length;
    for (const [key, value] of Object.entries(entries)) {
      decoder.spend(MEMORY_OF_SPARSE_ELEMENT);
      if (key === "length") return undefined;
      setProperty(array, key, value);
    }
    return array.length === length ? array : undefined;
  },
};
