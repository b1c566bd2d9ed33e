/**
 * Encodes values as CBOR (RFC 8949) and decodes them, with the fidelity of `structuredClone`. All tags are registered,
 * so that any language can read the bytes. The codec knows nothing of channels: an extension writes and reads them.
 *
 * @module
 */

export { CodecError } from "./codec_error.ts";
export { decode, type DecodeOptions } from "./decode.ts";
export { encode, type EncodeOptions } from "./encode.ts";
export type { Extension } from "./format.ts";
