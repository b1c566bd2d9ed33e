/**
 * Values to bytes and back, with the fidelity of `structuredClone` for the types it carries. The
 * bytes are CBOR (RFC 8949) with registered tags, so that any language reads them. The codec knows
 * nothing of channels: they travel through its extension hook.
 *
 * @module
 */

export { CodecError } from "./codec_error.ts";
export { decode, type DecodeOptions } from "./decode.ts";
export { encode, type EncodeOptions } from "./encode.ts";
export type { Extension } from "./format.ts";
