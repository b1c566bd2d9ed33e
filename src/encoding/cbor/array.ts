import type { Encoder } from "./encode.ts";
import { ARRAY, MEMORY_OF_ARRAY, MEMORY_OF_ELEMENT, MEMORY_OF_SLOT } from "./format.ts";
import { isRecord, setProperty } from "./property.ts";
import type { GenericReader } from "./types.ts";

/** Named properties are looked for only in arrays up to this length: no cheap test finds them in longer ones. */
const LONGEST_CHECKED_ARRAY = 64;

/** A longer array may consist of holes, so a few samples are looked at before all of it. */
const LONG_ARRAY = 65_536;
const SAMPLES = 64;

/**
 * V8 allocates memory for the length of an array. A longer array than this is first made so long that V8 keeps its
 * elements in a table instead.
 */
const LONGEST_ALLOCATED_ARRAY = 1024;

const MAX_LENGTH = 2 ** 32 - 1;
const MEMORY_OF_SPARSE_ELEMENT = 64;

/** Writes a dense array as an array of CBOR, and one with holes or named properties as a generic object. */
export function writeArray(encoder: Encoder, array: readonly unknown[]): void {
  const { length } = array;
  if (!isDense(array)) return writeSparseArray(encoder, array);
  encoder.spend(MEMORY_OF_ARRAY + MEMORY_OF_SLOT * length);
  encoder.head(ARRAY, length);
  for (let i = 0; i < length; i++) encoder.value(array[i]);
}

/** Reports whether an array has neither holes nor named properties. It reads no item, which may be that of a getter. */
function isDense(array: readonly unknown[]): boolean {
  const { length } = array;
  if (length > LONGEST_CHECKED_ARRAY) return !hasHoles(array);
  const keys = Object.keys(array);
  // Indexes come first, in ascending order.
  return keys.length === length && (length === 0 || keys[length - 1] === String(length - 1));
}

function hasHoles(array: readonly unknown[]): boolean {
  const { length } = array;
  if (length > LONG_ARRAY) {
    for (let i = 0; i < SAMPLES; i++) {
      if (!Object.hasOwn(array, Math.floor(length * Math.random()))) return true;
    }
  }
  // Four times as fast as Object.hasOwn. The prototypes of arrays have no items.
  for (let i = 0; i < length; i++) if (!(i in array)) return true;
  return false;
}

function writeSparseArray(encoder: Encoder, array: readonly unknown[]): void {
  encoder.spend(MEMORY_OF_ELEMENT * LONGEST_ALLOCATED_ARRAY);
  encoder.generic("Array", 2);
  encoder.number(array.length);
  encoder.part(array);
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
