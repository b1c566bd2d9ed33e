import { deepEqual, ok } from "node:assert/strict";
import { startChild } from "./support/child.ts";
import { findRuntime, type RuntimeName } from "./support/runtimes.ts";

const RUNTIMES: RuntimeName[] = ["deno", "bun", "node"];
const LOOPS = [
  "put and get",
  "two tasks that answer each other",
  "depth of a channel whose worker waits for a timer",
  "tryGet from an empty channel",
  "tryPut into a full channel",
  "trySelect on empty channels",
  "select of an existing value",
  "for await, beside a producer",
  "request and serve",
  "receive and release",
  "broadcast and receive",
  "streams",
  "short-lived anonymous channels",
  "work of two milliseconds per value",
];

for (const name of RUNTIMES) {
  Deno.test(`loops over memory channels do not starve timers, signals and sockets on ${name}`, async () => {
    const runtime = await findRuntime(name);
    const program = new URL("programs/busy_loops.ts", import.meta.url);
    await using child = startChild(program, { runtime });
    const starved: Record<string, unknown> = {};
    for (const loop of LOOPS) {
      child.send(loop);
      const { missing } = await child.next() as { missing: string[] };
      if (missing.length > 0) starved[loop] = missing;
    }
    deepEqual(starved, {});
  });
}

for (const name of RUNTIMES) {
  for (const when of ["before", "after"]) {
    Deno.test(`fake timers installed ${when} the library is loaded delay no operation on ${name}`, async () => {
      const runtime = await findRuntime(name);
      const program = new URL("programs/fake_timers.ts", import.meta.url);
      await using child = startChild(program, { runtime, args: [when] });
      ok(await child.next(), "no timer fired");
    });
  }
}
