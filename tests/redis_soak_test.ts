import { deepEqual, ok } from "node:assert/strict";
import process from "node:process";
import { RedisFaultServer } from "./faults/redis_server.ts";
import { redisMishaps } from "./soak/mishaps.ts";
import { soak } from "./soak/soak.ts";
import { untilNoMoreThan } from "./support/leftovers.ts";
import { startRedis } from "./support/redis.ts";
import { logLine } from "./support/supervisor.ts";

Deno.test("three processes put and three get while their Redis fails and returns, and nothing is lost", async () => {
  const seed = Number(process.env.SOAK_SEED ?? Math.floor(Math.random() * 2 ** 31));
  logLine(`SOAK_SEED=${seed}`);
  await using redis = await startRedis({ conf: ["appendfsync always"] });
  const server = new RedisFaultServer(redis);
  const before = await server.state();
  const { resolved, rejected, lost, unmarked, withinProcess, errors } = await soak(
    server,
    redisMishaps,
    seed,
    8,
    logLine,
  );
  ok(resolved > 1000, `only ${resolved} puts resolved`);
  deepEqual(rejected, []);
  deepEqual(lost, [], "puts resolved for values that were never delivered");
  deepEqual(withinProcess, [], "one process got a value twice");
  deepEqual(unmarked, [], "a duplicate was not marked as redelivered");
  deepEqual(errors, []);
  await untilNoMoreThan(() => server.state(), before);
});
