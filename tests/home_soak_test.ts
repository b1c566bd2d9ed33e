import { deepEqual, ok } from "node:assert/strict";
import process from "node:process";
import { HomeServer } from "./faults/home_server.ts";
import { startHome } from "./homes/home_process.ts";
import { homeMishaps } from "./soak/mishaps.ts";
import { soak } from "./soak/soak.ts";
import { untilNoMoreThan } from "./support/leftovers.ts";
import { sqliteDirectory } from "./support/sqlite_file.ts";
import { logLine } from "./support/supervisor.ts";

Deno.test("three peers put and three get while their home fails and returns, and nothing is lost or doubled", async () => {
  const seed = Number(process.env.SOAK_SEED ?? Math.floor(Math.random() * 2 ** 31));
  logLine(`SOAK_SEED=${seed}`);
  await using home = await startHome({
    engine: `sqlite:${sqliteDirectory()}/soak.db`,
    options: { heartbeat: 1000 },
  });
  const server = new HomeServer(home);
  const before = await server.state();
  const { resolved, rejected, lost, unmarked, withinProcess, errors } = await soak(
    server,
    homeMishaps,
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
