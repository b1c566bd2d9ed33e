// deno task soak [MISHAPS] [SEED] [home|redis]: a long soak test on a private broker, on a home with a file, or on a private
// Redis, with a table of results.

import process from "node:process";
import { BrokerServer } from "../faults/broker_server.ts";
import { HomeServer } from "../faults/home_server.ts";
import { RedisFaultServer } from "../faults/redis_server.ts";
import { startHome } from "../homes/home_process.ts";
import { startPrivateBroker } from "../support/broker.ts";
import { startRedis } from "../support/redis.ts";
import { sqliteDirectory } from "../support/sqlite_file.ts";
import { logLine } from "../support/supervisor.ts";
import { brokerMishaps, homeMishaps, redisMishaps } from "./mishaps.ts";
import { soak, type SoakResult } from "./soak.ts";

const args = process.argv.slice(2);
const [count = "20", seed = String(Math.floor(Math.random() * 2 ** 31))] = args;
logLine(`soak: ${count} mishaps, seed ${seed}`);
const start = performance.now();
const runs: Record<string, () => Promise<SoakResult>> = {
  broker: onBroker,
  home: onHome,
  redis: onRedis,
};
const result = await runs[args[2] ?? "broker"]!();
const { resolved, rejected, lost, duplicates, marked, unmarked, withinProcess, errors } = result;
const rows: [string, number][] = [
  ["puts that resolved", resolved],
  ["puts that rejected", rejected.length],
  ["values lost", lost.length],
  ["values delivered more than once", duplicates],
  ["… of these deliveries marked as redelivered", marked],
  ["… unmarked more than once", unmarked.length],
  ["… by one process", withinProcess.length],
];
const seconds = Math.round((performance.now() - start) / 1000);
process.stdout.write(
  [
    `| ${result.mishaps.length} mishaps in ${seconds} s, seed ${seed} | |`,
    "| --- | --- |",
    ...rows.map(([title, count]) => `| ${title} | ${count} |`),
    ...[...rejected, ...errors],
    "",
  ].join("\n"),
);
const failed = [rejected, lost, unmarked, withinProcess, errors].some(({ length }) => length > 0);
process.exitCode = failed ? 1 : 0;

async function onBroker(): Promise<SoakResult> {
  await using broker = await startPrivateBroker();
  const server = new BrokerServer(broker);
  return await soak(server, brokerMishaps, Number(seed), Number(count), logLine);
}

async function onHome(): Promise<SoakResult> {
  await using home = await startHome({
    engine: `sqlite:${sqliteDirectory()}/soak.db`,
    options: { heartbeat: 1000 },
  });
  return await soak(new HomeServer(home), homeMishaps, Number(seed), Number(count), logLine);
}

async function onRedis(): Promise<SoakResult> {
  await using redis = await startRedis({ conf: ["appendfsync always"] });
  const server = new RedisFaultServer(redis);
  return await soak(server, redisMishaps, Number(seed), Number(count), logLine);
}
