/**
 * The table of the types that CBOR itself does not have. A type is a function that writes it and one
 * that reads it; adding a type is writing the two and naming them here.
 */

import { readBigInt, writeBigInt } from "./bigint.ts";
import { readBytes, writeView } from "./bytes.ts";
import { readMap, readSet, writeMap, writeSet } from "./collections.ts";
import { readGenericDate, readSecondsDate, readTextDate, writeDate } from "./date.ts";
import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import {
  DATE_SECONDS,
  DATE_TEXT,
  JS_MAP,
  NEGATIVE_BIGINT,
  POSITIVE_BIGINT,
  SET,
  UINT8_ARRAY,
  WTF8_TEXT,
} from "./format.ts";
import { readWtf8 } from "./wtf8.ts";

export { writeBigInt, writeView };

/** What writes an object, by the class name that `Object.prototype.toString` gives. */
export const writers: ReadonlyMap<string, (encoder: Encoder, object: object) => void> = new Map([
  ["Date", writeDate],
  ["Map", writeMap],
  ["Set", writeSet],
]);

/** What reads the content of a tag. */
export const tagReaders: ReadonlyMap<number, (decoder: Decoder) => unknown> = new Map<
  number,
  (decoder: Decoder) => unknown
>([
  [DATE_TEXT, readTextDate],
  [DATE_SECONDS, readSecondsDate],
  [POSITIVE_BIGINT, (decoder) => readBigInt(decoder)],
  [NEGATIVE_BIGINT, (decoder) => -1n - readBigInt(decoder)],
  [UINT8_ARRAY, readBytes],
  [SET, readSet],
  [JS_MAP, readMap],
  [WTF8_TEXT, readWtf8],
]);

/** What reads a generic object (tag 27), by its type name, from its arguments. */
export const genericReaders: ReadonlyMap<
  string,
  (decoder: Decoder, args: readonly unknown[]) => unknown
> = new Map([
  ["Date", readGenericDate],
]);
