// The end of a process whose broker is unreachable: only pending operations keep it alive.
import { deepEqual, ok } from "node:assert/strict";
import { within } from "./conformance/fixture.ts";
import { startPrivateBroker } from "./support/broker.ts";
import { type Child, startChild } from "./support/child.ts";
import { findRuntime, type RuntimeName } from "./support/runtimes.ts";

const RUNTIMES: RuntimeName[] = ["deno", "bun", "node"];

/** In milliseconds: less than the 10 s for which an operation waits for its broker. */
const exitLimit = 8000;

/** Starts one child on each runtime. */
async function children(program: string, args: string[]): Promise<Child[]> {
  const url = new URL(`programs/${program}`, import.meta.url);
  const runtimes = await Promise.all(RUNTIMES.map(findRuntime));
  return runtimes.map((runtime) => startChild(url, { args, runtime }));
}

for (const fault of ["is killed", "falls silent"]) {
  Deno.test(`an idle handle keeps no process alive when its broker ${fault}`, async () => {
    await using broker = await startPrivateBroker();
    const idle = await children("idle.ts", [`${broker.uri}?heartbeat=1`, "3500"]);
    try {
      for (const child of idle) deepEqual(await child.next(), "attached");
      if (fault === "is killed") await broker.crash();
      else broker.suspend();
      for (const child of idle) {
        deepEqual(await child.next(), "nothing to do");
        deepEqual(await within(child.exited, exitLimit), { code: 0, signal: null });
      }
    } finally {
      for (const child of idle) await child[Symbol.asyncDispose]();
    }
  });
}

Deno.test("a service that closes its channels on SIGTERM ends quickly, also while the broker is unreachable", async () => {
  await using broker = await startPrivateBroker();
  const services = await children("terminated.ts", [broker.uri]);
  try {
    for (const child of services) deepEqual(await child.next(), "putting");
    await broker.crash();
    for (const child of services) child.kill("SIGTERM");
    await Promise.all(services.map(async (child) => {
      const reported: Record<string, unknown> = {};
      while (!("closed" in reported)) Object.assign(reported, await child.next());
      ok((reported.closed as number) < exitLimit, `closing took ${reported.closed} ms`);
      deepEqual([reported.put, reported.get], ["ChannelClosedError", "ChannelClosedError"]);
      deepEqual(await within(child.exited, exitLimit), { code: 0, signal: null });
    }));
  } finally {
    for (const child of services) await child[Symbol.asyncDispose]();
  }
});
