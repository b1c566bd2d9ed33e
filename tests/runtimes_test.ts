import { deepEqual, equal } from "node:assert/strict";
import { CORPUS } from "./codec/corpus.ts";
import type { Arrival, Written } from "./programs/encoded.ts";
import { type Child, startChild } from "./support/child.ts";
import { findRuntime, type RuntimeName } from "./support/runtimes.ts";

const runtimes: RuntimeName[] = ["deno", "bun", "node"];

/** Starts encoded.ts on a runtime. */
async function start(name: RuntimeName): Promise<{ child: Child; written: Written }> {
  const runtime = await findRuntime(name);
  const child = startChild(new URL("programs/encoded.ts", import.meta.url), { runtime });
  const written = await child.next() as Written;
  equal(written.length, CORPUS.length);
  return { child, written };
}

for (const writer of runtimes) {
  for (const reader of runtimes.filter((name) => name !== writer)) {
    Deno.test(`${writer} and ${reader} write the same bytes, and ${reader} reads those of ${writer}`, async () => {
      const { child: one, written } = await start(writer);
      await using _one = one;
      const { child: other, written: itsOwn } = await start(reader);
      await using _other = other;
      deepEqual(differences(written, itsOwn), []);
      other.send(written);
      deepEqual(await other.next() as Arrival, { right: CORPUS.length, wrong: [] });
    });
  }
}

/** Returns the values that two runtimes write differently. */
function differences(a: Written, b: Written): string[] {
  return CORPUS.flatMap(([what], i) =>
    a[i] === b[i] ? [] : `${what}: ${a[i]?.slice(0, 200)} and ${b[i]?.slice(0, 200)}`
  );
}
