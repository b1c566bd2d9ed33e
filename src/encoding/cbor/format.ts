/** The names and limits of the wire format, which is CBOR (RFC 8949) with registered tags. */

/** The major types, the upper three bits of an item's first byte (RFC 8949, section 3.1). */
export const UNSIGNED = 0;
export const NEGATIVE = 1;
export const BYTES = 2;
export const TEXT = 3;
export const ARRAY = 4;
export const MAP = 5;
export const TAG = 6;

/** The five lower bits of a first byte that mean an indefinite length, and the byte that ends such an item. */
export const INDEFINITE = 31;
export const BREAK = 0xff;

/** The tags of the wire format, named for what they carry. Those of typed arrays are in views.ts. */
export const DATE_TEXT = 0;
export const DATE_SECONDS = 1;
export const POSITIVE_BIGINT = 2;
export const NEGATIVE_BIGINT = 3;
export const GENERIC_OBJECT = 27;
export const SHARED = 28;
export const REFERENCE = 29;
export const SET = 258;
export const JS_MAP = 259;
export const WTF8_TEXT = 273;
export const REGEXP = 21066;
export const SELF_DESCRIBED = 55799;

/** How deep values may nest, in both directions: `decode` accepts what `encode` accepts. */
export const MAX_DEPTH = 1000;

/** How many bytes a BigInt may have, in both directions: the time to read one grows faster than its size. */
export const MAX_BIGINT_BYTES = 65_536;

/**
 * Returns how many bytes of memory the value of a message may take, by the estimates of `decode`. Without a limit 1 MB
 * of empty byte strings would become 450 MB of typed arrays. `encode` makes no message that `decode` refuses for this.
 *
 * @param size the message's size in bytes
 */
export function memoryLimit(size: number): number {
  return 12_582_912 + 50 * size;
}

/** Estimates of `decode`, in bytes, for arrays, plain objects, their items, and byte strings. */
export const MEMORY_OF_ARRAY = 64;
export const MEMORY_OF_OBJECT = 96;
export const MEMORY_OF_SLOT = 16;
export const MEMORY_OF_BYTES = 512;
export const MEMORY_OF_ELEMENT = 8;

/** V8 keeps the properties of an object that are named 0, 1, 2 … in an array, unless it would have so large a gap. */
export const LARGEST_GAP = 1024;

/**
 * Returns the length of that array, if a property of this name is added to it: 12 KB for the 7 bytes of `{"1000": 0}`.
 */
export function elementsFor(index: number): number {
  return index + Math.floor(index / 2) + 16;
}

/** Reports whether a key may be an array index above 0. */
export function isIndex(key: string): boolean {
  const first = key.charCodeAt(0);
  return first > 0x30 && first <= 0x39;
}

/** Reports whether an object whose first key is this one may have properties that are named by indexes. */
export function mayBeIndex(key: string): boolean {
  const first = key.charCodeAt(0);
  return first >= 0x30 && first <= 0x39;
}

/** Returns the most memory that the properties named by indexes take. They come first in `keys`, in ascending order. */
export function memoryOfIndexes(keys: readonly string[]): number {
  let last = -1;
  for (let i = 0; i < keys.length && mayBeIndex(keys[i]!); i++) {
    const index = Number(keys[i]);
    if (!(index > last)) break; // such as the NaN of a date
    last = index;
  }
  return last < 0 ? 0 : MEMORY_OF_ELEMENT * elementsFor(last);
}

/** An object of a type that is not the codec's own, as it travels: a "generic object", tag 27. */
export type Extension = readonly [type: string, ...args: unknown[]];
