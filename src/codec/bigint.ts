import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { MAX_BIGINT_BYTES, NEGATIVE_BIGINT, POSITIVE_BIGINT } from "./format.ts";

const LARGEST_IN_8_BYTES = 0xffffffffffffffffn;

const scratch = new Uint8Array(8);
const scratchView = new DataView(scratch.buffer);

/** A BigInt is always tagged, however small, so that it arrives as a BigInt. */
export function writeBigInt(encoder: Encoder, value: bigint): void {
  const magnitude = value < 0n ? -1n - value : value;
  const bytes = magnitude <= LARGEST_IN_8_BYTES ? smallToBytes(magnitude) : toBytes(magnitude);
  if (bytes === undefined) {
    encoder.reject(`a BigInt of more than ${MAX_BIGINT_BYTES} bytes`, value);
  }
  encoder.tag(value < 0n ? NEGATIVE_BIGINT : POSITIVE_BIGINT);
  encoder.bytes(bytes);
}

function smallToBytes(magnitude: bigint): Uint8Array {
  scratchView.setBigUint64(0, magnitude);
  let zeros = 0;
  while (zeros < 8 && scratch[zeros] === 0) zeros++;
  return scratch.subarray(zeros);
}

function toBytes(magnitude: bigint): Uint8Array | undefined {
  const digits = magnitude.toString(16);
  const length = Math.ceil(digits.length / 2);
  if (length > MAX_BIGINT_BYTES) return undefined;
  const hex = digits.padStart(2 * length, "0");
  return Uint8Array.from({ length }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

/** Reads the magnitude of a BigInt, a byte string. */
export function readBigInt(decoder: Decoder): bigint {
  const bytes = decoder.expectBytes();
  if (bytes.length > MAX_BIGINT_BYTES) {
    decoder.fail(`a BigInt of more than ${MAX_BIGINT_BYTES} bytes`);
  }
  if (bytes.length === 0) return 0n;
  return BigInt("0x" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""));
}
