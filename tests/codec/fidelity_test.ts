import fc from "fast-check";
import process from "node:process";
import { decode, encode } from "../../src/encoding/cbor/mod.ts";
import { build, buildTrimmed } from "./built.ts";
import { assertEquivalent } from "./equivalent.ts";
import { graphs } from "./graphs.ts";
import { nativeClone } from "./oracle.ts";

/** A failure prints the seed and the smallest value. Another seed tests other values. */
const SEED = Number(process.env.CODEC_SEED ?? 20_251_123);
/** Node has Deno's engine: fewer graphs show whether its built-ins differ. */
const RUNS = process.versions.deno || process.versions.bun ? 4500 : 1000;

/*
 * Differences between the codec and structuredClone, and how these tests avoid them:
 * - A view of a part of a buffer gets a buffer of its own: `buildTrimmed` builds the value in this way.
 * - Named properties of arrays of more than 64 elements without holes are lost: `graphs` makes no such array.
 * - Depth is limited to 1000, a BigInt to 64 KiB, the memory of a value in proportion to its bytes: `graphs` stays far
 * below.
 * - Engines lose parts of Errors and DOMExceptions: see `nativeClone` and `assertEquivalent`.
 * - An Error without a `stack` gets one from V8 but none from JavaScriptCore: `graphs` gives each one.
 * - JavaScriptCore clones own properties of a Map and a Set: `graphs` gives them none. It clones a sparse array in time
 * proportional to its length: `graphs` limits the length to 100,000.
 * - A getter that shortens an array, and a prototype that was set to null: see oddities_test.ts.
 * - Platform objects (URL, Event): see rejections_test.ts.
 */

Deno.test(`${RUNS} random graphs are decoded as structuredClone copies them, seed ${SEED}`, () => {
  fc.assert(
    fc.property(graphs, (graph) => {
      assertEquivalent(decode(encode(build(graph))), nativeClone(buildTrimmed(graph)));
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

Deno.test("a decoded value is encoded to the same bytes, and encoding leaves the value unchanged", () => {
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
