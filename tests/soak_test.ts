import { deepEqual, ok } from "node:assert/strict";
import process from "node:process";
import { BrokerServer } from "./faults/broker_server.ts";
import { brokerMishaps } from "./soak/mishaps.ts";
import { soak } from "./soak/soak.ts";
import { startPrivateBroker } from "./support/broker.ts";
import { brokerState } from "./support/broker_state.ts";
import { untilAsBefore } from "./support/leftovers.ts";
import { logLine } from "./support/supervisor.ts";

Deno.test("three processes put and three get during many failures, and nothing is lost", async () => {
  const seed = Number(process.env.SOAK_SEED ?? Math.floor(Math.random() * 2 ** 31));
  logLine(`SOAK_SEED=${seed}`);
  await using broker = await startPrivateBroker();
  const before = (await brokerState(broker.control))!;
  const { resolved, rejected, lost, unmarked, withinProcess, errors } = await soak(
    new BrokerServer(broker),
    brokerMishaps,
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
  await untilAsBefore(broker.control, before);
});
