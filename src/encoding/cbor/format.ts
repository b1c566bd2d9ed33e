/**
 * What both directions of the codec share: the names and limits of the wire format, which is CBOR
 * (RFC 8949) with registered tags.
 */

/** The major types, the upper three bits of an item's first byte (RFC 8949, section 3.1). */
export const UNSIGNED = 0;
export const NEGATIVE = 1;
export const BYTES = 2;
export const TEXT = 3;
export const ARRAY = 4;
export const MAP = 5;
export const TAG = 6;

/** The five lower bits that stand for an indefinite length, and the byte that ends one. */
export const INDEFINITE = 31;
export const BREAK = 0xff;

/** The tags of the wire format, by what they carry; those of typed arrays are in views.ts. */
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

/** How deep values may nest, in both directions: what `encode` accepts, `decode` accepts. */
export const MAX_DEPTH = 1000;

/** How many bytes a BigInt may have, in both directions: reading one takes time that grows faster than its size. */
export const MAX_BIGINT_BYTES = 65_536;

/**
 * How much memory the value in a message of so many bytes may take, by the estimates of `decode`. Without
 * a limit 1 MB of empty byte strings would become 450 MB of typed arrays. `encode` makes no message
 * that `decode` would refuse for this.
 */
export function memoryLimit(bytes: number): number {
  return 12_582_912 + 50 * bytes;
}

/** What `decode` accounts for arrays, plain objects, their items, and byte strings, in bytes of memory. */
export const MEMORY_OF_ARRAY = 64;
export const MEMORY_OF_OBJECT = 96;
export const MEMORY_OF_SLOT = 16;
export const MEMORY_OF_BYTES = 512;
export const MEMORY_OF_ELEMENT = 8;

/**
 * V8 keeps properties named 0, 1, 2… in an array, as long as its gaps are not too large: 12 KB for
 * `{"1000": 0}`, which is 7 bytes of a message. This is the length of the array that such a name needs.
 */
export function elementsFor(index: number): number {
  return index + Math.floor(index / 2) + 16;
}

/** Whether a key may be an array index: the cases that matter, other than 0. */
export function isIndex(key: string): boolean {
  const first = key.charCodeAt(0);
  return first > 0x30 && first <= 0x39;
}

/** V8 keeps properties named 0, 1, 2… in an array, whose gaps are smaller than this. */
export const LARGEST_GAP = 1024;

/** What the properties that are named by numbers take at most; they are the first, in ascending order. */
export function memoryOfIndexes(keys: readonly string[]): number {
  let last = -1;
  for (let i = 0; i < keys.length && isIndex(keys[i]!); i++) last = i;
  return last < 0 ? 0 : MEMORY_OF_ELEMENT * elementsFor(Number(keys[last]));
}

/** An object of a type that is not the codec's own, as it travels: a "generic object", tag 27. */
export type Extension = readonly [type: string, ...args: unknown[]];
