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
export const SIMPLE = 7;

/** The five lower bits that stand for an indefinite length, and the byte that ends one. */
export const INDEFINITE = 31;
export const BREAK = 0xff;

/** The tags of the wire format, by what they carry. */
export const DATE_TEXT = 0;
export const DATE_SECONDS = 1;
export const POSITIVE_BIGINT = 2;
export const NEGATIVE_BIGINT = 3;
export const GENERIC_OBJECT = 27;
export const UINT8_ARRAY = 64;
export const SET = 258;
export const JS_MAP = 259;
export const WTF8_TEXT = 273;
export const SELF_DESCRIBED = 55799;

/** How deep values may nest, in both directions: what `encode` accepts, `decode` accepts. */
export const MAX_DEPTH = 1000;

/** How many bytes a BigInt may have, in both directions: reading one takes time that grows faster than its size. */
export const MAX_BIGINT_BYTES = 65_536;

/** An object of a type that is not the codec's own, as it travels: a "generic object", tag 27. */
export type Extension = readonly [type: string, ...args: unknown[]];
