import { decode, encode } from "../../src/encoding/cbor/mod.ts";
import { CORPUS } from "./corpus.ts";
import { assertEquivalent } from "./equivalent.ts";
import { nativeClone } from "./oracle.ts";

for (const [what, make] of CORPUS) {
  Deno.test(`${what} is decoded as it was, and as structuredClone copies it`, () => {
    assertEquivalent(decode(encode(make())), make());
    assertEquivalent(decode(encode(make())), nativeClone(make()));
  });
}
