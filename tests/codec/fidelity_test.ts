import fc from "fast-check";
import process from "node:process";
import { decode, encode } from "../../src/encoding/cbor/mod.ts";
import { build, buildTrimmed } from "./built.ts";
import { assertEquivalent } from "./equivalent.ts";
import { graphs } from "./graphs.ts";
import { nativeClone } from "./oracle.ts";

/** A failure prints the seed and the smallest value; another seed tries other values. */
const SEED = Number(process.env.CODEC_SEED ?? 20_251_123);
const RUNS = 4500;

/*
 * What the codec does not have from structuredClone, and how these tests go around it:
 * - A view of a part of a buffer comes with a buffer of its own: `buildTrimmed` builds the value so.
 * - Named properties of arrays of more than 64 elements are lost where there are no holes: `graphs`
 *   gives no such array any.
 * - Depth is limited to 1000, a BigInt to 64 KiB, the memory of the value by its bytes: `graphs` stays
 *   far below.
 * - What engines lose of Errors and DOMExceptions: see `nativeClone` and `assertEquivalent`.
 * - An Error without a `stack` gets one from V8, but none from JavaScriptCore: `graphs` gives all one.
 * - JavaScriptCore clones own properties of a Map and a Set: `graphs` gives them none. It clones a
 *   sparse array in time that grows with its length: `graphs` keeps that to 100,000.
 * - A getter that makes an array shorter, and a prototype that was set to null: see oddities_test.ts.
 * - Platform objects (URL, Event): see rejections_test.ts.
 */

Deno.test(`${RUNS} random graphs come back as structuredClone's, seed ${SEED}`, () => {
  fc.assert(
    fc.property(graphs, (graph) => {
      assertEquivalent(decode(encode(build(graph))), nativeClone(buildTrimmed(graph)));
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

Deno.test("what was decoded encodes to the same bytes, and encoding leaves the value as it was", () => {
  fc.assert(
    fc.property(graphs, (graph) => {
      const value = build(graph);
      const bytes = encode(value);
      assertEquivalent(value, build(graph));
      assertEquivalent(encode(decode(bytes)).slice(), bytes.slice());
    }),
    { seed: SEED, numRuns: Math.floor(RUNS / 3) },
  );
});
