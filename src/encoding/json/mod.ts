/**
 * Values to JSON (RFC 8259) and back, refusing what JSON cannot say. It knows nothing of channels:
 * they travel through its extension hook, as objects that a key marks.
 *
 * @module
 */

export { decode, type DecodeOptions, JsonError } from "./decode.ts";
export { encode, type EncodeOptions } from "./encode.ts";
export type { Members } from "./format.ts";
