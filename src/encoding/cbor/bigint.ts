import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { MAX_BIGINT_BYTES, MEMORY_OF_BYTES, NEGATIVE_BIGINT, POSITIVE_BIGINT } from "./format.ts";

/** A number represents this many bytes exactly. */
const BYTES_OF_NUMBER = 6;

/** Writes a BigInt. Even a small one has a tag, so that it arrives as a BigInt. */
export function writeBigInt(encoder: Encoder, value: bigint): void {
  const digits = value === 0n || value === -1n ? "" : (value < 0n ? ~value : value).toString(16);
  const length = Math.ceil(digits.length / 2);
  if (length > MAX_BIGINT_BYTES) {
    encoder.reject(`a BigInt of more than ${MAX_BIGINT_BYTES} bytes`, value);
  }
  encoder.spend(MEMORY_OF_BYTES);
  const pairs = digits.padStart(2 * length, "0");
  encoder.tag(value < 0n ? NEGATIVE_BIGINT : POSITIVE_BIGINT);
  encoder.bytes(Uint8Array.from({ length }, (_, i) => parseInt(pairs.slice(2 * i, 2 * i + 2), 16)));
}

/** Reads the magnitude of a BigInt, a byte string. */
export function readBigInt(decoder: Decoder): bigint {
  const bytes = decoder.expectBytes();
  if (bytes.length > MAX_BIGINT_BYTES) {
    decoder.fail(`a BigInt of more than ${MAX_BIGINT_BYTES} bytes`);
  }
  return toBigInt(bytes);
}

/** Returns the integer that big-endian bytes represent. */
export function toBigInt(bytes: Uint8Array): bigint {
  if (bytes.length <= BYTES_OF_NUMBER) {
    return BigInt(bytes.reduce((value, byte) => 256 * value + byte, 0));
  }
  return BigInt(
    "0x" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""),
  );
}
