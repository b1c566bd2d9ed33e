import assert from "node:assert/strict";
import { decode, encode } from "../../src/encoding/cbor/mod.ts";
import { assertEquivalent } from "./equivalent.ts";
import { bytes, hex } from "./hex.ts";
import { ACCEPTED, ARRIVES, FLOAT16_VECTOR, VECTORS } from "./vectors.ts";

const written = "Float16Array" in globalThis ? [...VECTORS, FLOAT16_VECTOR] : VECTORS;

Deno.test("the examples of the wire format are written byte by byte", () => {
  for (const [what, make, digits] of written) {
    assert.equal(hex(encode(make())), digits.replaceAll(" ", ""), what);
  }
});

Deno.test("the examples of the wire format are decoded to their values", () => {
  for (const [what, make, digits] of written) {
    try {
      assertEquivalent(decode(bytes(digits)), (ARRIVES.get(what) ?? make)());
    } catch (cause) {
      throw new Error(`${what}: ${(cause as Error).message}`, { cause });
    }
  }
});

for (const [what, make, digits] of ACCEPTED) {
  Deno.test(`input of other writers is read: ${what}`, () => {
    const value = decode(bytes(digits));
    assertEquivalent(value, make());
    assertEquivalent(decode(encode(value)), make());
  });
}
