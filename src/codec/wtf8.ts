/**
 * WTF-8 (https://simonsapin.github.io/wtf-8/): UTF-8 that also holds lone surrogates, which
 * JavaScript strings may contain and CBOR text may not.
 */

import type { Decoder } from "./decode.ts";

/** The WTF-8 form of any string. */
export function toWtf8(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 3);
  let length = 0;
  for (const character of text) {
    length = appendCodePoint(bytes, length, character.codePointAt(0)!);
  }
  return bytes.subarray(0, length);
}

function appendCodePoint(bytes: Uint8Array, at: number, point: number): number {
  if (point < 0x80) {
    bytes[at++] = point;
    return at;
  }
  if (point < 0x800) {
    bytes[at++] = 0xc0 | point >> 6;
  } else {
    if (point < 0x10000) {
      bytes[at++] = 0xe0 | point >> 12;
    } else {
      bytes[at++] = 0xf0 | point >> 18;
      bytes[at++] = 0x80 | point >> 12 & 0x3f;
    }
    bytes[at++] = 0x80 | point >> 6 & 0x3f;
  }
  bytes[at++] = 0x80 | point & 0x3f;
  return at;
}

/** The string of a WTF-8 form, or undefined where the bytes are none. */
function fromWtf8(bytes: Uint8Array): string | undefined {
  const parts: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = sequenceSize(bytes[at]!);
    const point = codePoint(bytes, at, size);
    if (point === undefined) return undefined;
    parts.push(String.fromCodePoint(point));
    at += size;
  }
  return parts.join("");
}

/** Reads a string that was sent as WTF-8. */
export function readWtf8(decoder: Decoder): string {
  return fromWtf8(decoder.expectBytes()) ?? decoder.fail("invalid WTF-8");
}

/** How many bytes a first byte announces; 0 for a byte that cannot be first. */
function sequenceSize(first: number): number {
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  return first < 0xf5 ? 4 : 0;
}

/** The least code point that needs as many bytes: fewer would do for a smaller one, which is an error. */
const LEAST = [0, 0, 0x80, 0x800, 0x10000];

function codePoint(bytes: Uint8Array, at: number, size: number): number | undefined {
  if (size === 0 || at + size > bytes.length) return undefined;
  if (size === 1) return bytes[at];
  let point = bytes[at]! & 0xff >> size + 1;
  for (let i = 1; i < size; i++) {
    const next = bytes[at + i]!;
    if ((next & 0xc0) !== 0x80) return undefined;
    point = point << 6 | next & 0x3f;
  }
  return point >= LEAST[size]! && point <= 0x10ffff ? point : undefined;
}
