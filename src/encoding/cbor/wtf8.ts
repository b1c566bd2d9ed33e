/**
 * WTF-8 (https://simonsapin.github.io/wtf-8/): UTF-8 that also holds lone surrogates, which
 * JavaScript strings may contain and CBOR text may not.
 */

import type { Decoder } from "./decode.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The first of the three bytes of a surrogate, and the lowest second one. */
const SURROGATE = 0xed;
const SURROGATE_REST = 0xa0;

/** Returns the WTF-8 form of a string. */
export function toWtf8(text: string): Uint8Array {
  // The surrogates are the parts at odd indexes.
  const parts = text.split(/(\p{Surrogate})/u).map((part, i) =>
    i % 2 === 0 ? [...encoder.encode(part)] : bytesOf(part.charCodeAt(0))
  );
  return Uint8Array.from(parts.flat());
}

function bytesOf(surrogate: number): number[] {
  return [SURROGATE, 0x80 | surrogate >> 6 & 0x3f, 0x80 | surrogate & 0x3f];
}

/** Reads a WTF-8 string. */
export function readWtf8(reader: Decoder): string {
  const bytes = reader.expectBytes();
  return reader.attempt("WTF-8", () => {
    let text = "";
    let from = 0;
    for (let at = 0; at < bytes.length; at++) {
      if (bytes[at] !== SURROGATE || !(bytes[at + 1]! >= SURROGATE_REST)) continue;
      const high = bytes[at + 1]! ^ 0x80;
      const low = bytes[at + 2]! ^ 0x80;
      if ((high | low) > 0x3f || at + 3 > bytes.length) return undefined;
      text += decoder.decode(bytes.subarray(from, at));
      text += String.fromCharCode(0xd000 | high << 6 | low);
      from = at + 3;
      at += 2;
    }
    return text + decoder.decode(bytes.subarray(from));
  });
}
