// The end of a process whose broker is unreachable: only pending operations keep it alive.
import { deepEqual, ok } from "node:assert/strict";
import { within } from "./conformance/fixture.ts";
import { type PrivateBroker, startPrivateBroker } from "./support/broker.ts";
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

let broker: PrivateBroker;
Deno.test.beforeAll(async () => {
  broker = await startPrivateBroker();
});
Deno.test.afterAll(async () => {
  await broker[Symbol.asyncDispose]();
});

/** Processes that have nothing to do but idle handles. */
async function startIdle(): Promise<Child[]> {
  return await children("idle.ts", [`${broker.uri}?heartbeat=1`, "3500"]);
}

async function assertIdleEnd(idle: readonly Child[]): Promise<void> {
  for (const child of idle) {
    deepEqual(await child.next(), "nothing to do");
    deepEqual(await within(child.exited, exitLimit), { code: 0, signal: null });
  }
}

Deno.test("an idle handle keeps no process alive when its broker falls silent", async () => {
  const idle = await startIdle();
  try {
    for (const child of idle) deepEqual(await child.next(), "attached");
    broker.suspend();
    await assertIdleEnd(idle);
  } finally {
    broker.resume();
    for (const child of idle) await child[Symbol.asyncDispose]();
  }
});

Deno.test("when a broker is killed, an idle handle keeps no process alive, and a service that closes its channels on SIGTERM ends quickly", async () => {
  const services = await children("terminated.ts", [broker.uri]);
  const idle: Child[] = [];
  try {
    for (const child of services) deepEqual(await child.next(), "putting");
    idle.push(...await startIdle());
    for (const child of idle) deepEqual(await child.next(), "attached");
    await broker.crash();
    for (const child of services) child.kill("SIGTERM");
    await Promise.all(services.map(async (child) => {
      const reported: Record<string, unknown> = {};
      while (!("closed" in reported)) Object.assign(reported, await child.next());
      ok((reported.closed as number) < exitLimit, `closing took ${reported.closed} ms`);
      deepEqual([reported.put, reported.get], ["ChannelClosedError", "ChannelClosedError"]);
      deepEqual(await within(child.exited, exitLimit), { code: 0, signal: null });
    }));
    await assertIdleEnd(idle);
  } finally {
    for (const child of [...idle, ...services]) await child[Symbol.asyncDispose]();
  }
});
