import assert from "node:assert/strict";
import process from "node:process";
import { startChild } from "../support/child.ts";
import { decidedByV8 } from "../support/conditions.ts";
import { test } from "../support/test.ts";
import { COSTLY, COSTLY_JSON, COSTLY_REFERENCES } from "./costly.ts";
import type { Cost } from "./decode_costly.ts";

const MB = 1_000_000;

/** A message of 1 MB must not make a value of more than 64 MB. */
const MOST_KEPT = 64 * MB;

/** With garbage and the engines' reserves, which are up to twice that. */
const MOST_TAKEN = 192 * MB;

const program = new URL("decode_costly.ts", import.meta.url);

/** Makes the engine's garbage collector callable. Bun's always is. */
const runtimeArgs = process.versions.deno
  ? ["-A", "--v8-flags=--expose-gc"]
  : process.versions.bun
  ? []
  : ["--expose-gc"];

/** Measures each kind in a process of its own, which is the only way to measure its memory. */
async function costOf(kind: string): Promise<Cost> {
  await using child = startChild(program, { args: [kind, String(MB)], runtimeArgs });
  return await child.next(60_000) as Cost;
}

const title = "no message of 1 MB takes 64 MB of memory, whether or not it is rejected";
test(title, { skip: decidedByV8 }, async () => {
  const kinds = [COSTLY, COSTLY_JSON, COSTLY_REFERENCES].flatMap((kinds) => [...kinds.keys()]);
  const tooCostly: string[] = [];
  let accepted = 0;
  const measure = async () => {
    for (let kind = kinds.shift(); kind !== undefined; kind = kinds.shift()) {
      const cost = await costOf(kind);
      if (cost.accepted) accepted++;
      const mb = (size: number) => `${Math.round(size / MB)} MB`;
      if (cost.kept < MOST_KEPT && cost.peak < MOST_TAKEN) continue;
      tooCostly.push(`${kind}: ${mb(cost.kept)} are kept, ${mb(cost.peak)} were taken`);
    }
  };
  await Promise.all([measure(), measure()]);
  assert.deepEqual(tooCostly, []);
  assert.ok(accepted >= 3, `only ${accepted} were accepted`);
});
