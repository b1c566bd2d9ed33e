/**
 * Encodes values as JSON (RFC 8259) and decodes them. Values that JSON cannot represent are rejected. The encoding
 * knows nothing of channels: an extension writes them as objects that a key marks.
 *
 * @module
 */

export { decode, type DecodeOptions, type Members } from "./decode.ts";
export { encode, type EncodeOptions } from "./encode.ts";
export { JsonError } from "./json_error.ts";
