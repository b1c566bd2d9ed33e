// The end of a process whose Redis is unreachable: only pending operations keep it alive.
import { deepEqual, ok } from "node:assert/strict";
import { within } from "./conformance/fixture.ts";
import { type Child, startChild } from "./support/child.ts";
import { startRedis } from "./support/redis.ts";
import { findRuntime, type RuntimeName } from "./support/runtimes.ts";

const RUNTIMES: RuntimeName[] = ["deno", "bun", "node"];

/** In milliseconds: less than the 10 s for which an operation waits for its server. */
const exitLimit = 8000;

/** Starts one child on each runtime. */
async function children(program: string, args: string[]): Promise<Child[]> {
  const url = new URL(`programs/${program}`, import.meta.url);
  const runtimes = await Promise.all(RUNTIMES.map(findRuntime));
  return runtimes.map((runtime) => startChild(url, { args, runtime }));
}

async function assertIdleEnd(idle: readonly Child[]): Promise<void> {
  for (const child of idle) {
    deepEqual(await child.next(), "nothing to do");
    deepEqual(await within(child.exited, exitLimit), { code: 0, signal: null });
  }
}

Deno.test("redis: an idle handle keeps no process alive, whether its server answers, is silent, or is killed; a service that closes its channels ends quickly", async () => {
  await using redis = await startRedis();
  const startIdle = async (ms: number) => {
    const idle = await children("idle.ts", [`${redis.uri}?heartbeat=1`, String(ms)]);
    all.push(...idle);
    for (const child of idle) deepEqual(await child.next(), "attached");
    return idle;
  };
  const all: Child[] = [];
  try {
    await assertIdleEnd(await startIdle(0));
    const silent = await startIdle(3500); // more than two heartbeats
    redis.suspend();
    await assertIdleEnd(silent);
    redis.resume();
    const services = await children("terminated.ts", [redis.uri]);
    all.push(...services);
    for (const child of services) deepEqual(await child.next(), "putting");
    const idle = await startIdle(1000);
    await redis.crash();
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
    for (const child of all) await child[Symbol.asyncDispose]();
  }
});
