// deno task soak [MISHAPS] [SEED] [broker|home|redis|cluster|failover|sqlite] [TITLE] [OPTIONS]: a long soak test on a private
// broker, a home with a file, a private Redis, a private cluster of Redis nodes or a file of SQLite, with a table of results. TITLE
// selects the mishaps whose titles contain this text. OPTIONS are those of the channel, in JSON. In `failover`, replicas take over
// by themselves without the last writes of their primaries: then values may be delivered again, unmarked and to the same process,
// and a put with durability "quorum" may have an unknown outcome, but none that has resolved may be lost.

import process from "node:process";
import type { ChannelOptions } from "../../mod.ts";
import { BrokerServer } from "../faults/broker_server.ts";
import { HomeServer } from "../faults/home_server.ts";
import { RedisClusterServer } from "../faults/redis_cluster_server.ts";
import { RedisFaultServer } from "../faults/redis_server.ts";
import { startHome } from "../homes/home_process.ts";
import { startPrivateBroker } from "../support/broker.ts";
import { startRedis } from "../support/redis.ts";
import { startRedisCluster } from "../support/redis_cluster.ts";
import { sqliteDirectory } from "../support/sqlite_file.ts";
import { logLine } from "../support/supervisor.ts";
import type { Meeting } from "./actors.ts";
import { clusterMishaps, failoverMishaps } from "./cluster_mishaps.ts";
import { brokerMishaps, homeMishaps, type Mishaps, redisMishaps } from "./mishaps.ts";
import { sqliteMishaps } from "./sqlite_mishaps.ts";
import { SqliteFile } from "./sqlite_file.ts";
import { soak, type SoakResult } from "./soak.ts";

const args = process.argv.slice(2);
const [count = "20", seed = String(Math.floor(Math.random() * 2 ** 31))] = args;
const [engine = "broker", title = "", options = "{}"] = args.slice(2);
logLine(`soak: ${count} mishaps, seed ${seed}`);
const start = performance.now();
const runs: Record<string, () => Promise<SoakResult>> = {
  broker: onBroker,
  home: onHome,
  redis: onRedis,
  cluster: () => onCluster(clusterMishaps, 5000, {}), // a busy machine is no failure
  failover: () => onCluster(failoverMishaps, 2000, { durability: "quorum" }),
  sqlite: onSqlite,
};
const result = await runs[engine]!();
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
const isFailover = engine === "failover";
const isUnreplicated = (put: string) => isFailover && put.includes("too few of its replicas");
const repeated = isFailover ? [] : [unmarked, withinProcess];
const failed = [rejected.filter((put) => !isUnreplicated(put)), lost, errors, ...repeated]
  .some(({ length }) => length > 0);
process.exitCode = failed ? 1 : 0;

async function onBroker(): Promise<SoakResult> {
  await using broker = await startPrivateBroker();
  const server = new BrokerServer(broker);
  return await run(server, brokerMishaps);
}

async function onHome(): Promise<SoakResult> {
  await using home = await startHome({
    engine: `sqlite:${sqliteDirectory()}/soak.db`,
    options: { heartbeat: 1000 },
  });
  return await run(new HomeServer(home), homeMishaps);
}

async function onRedis(): Promise<SoakResult> {
  await using redis = await startRedis({ conf: ["appendfsync always"] });
  const server = new RedisFaultServer(redis);
  return await run(server, redisMishaps);
}

async function onCluster(
  mishaps: Mishaps<RedisClusterServer>,
  timeout: number,
  options: ChannelOptions,
): Promise<SoakResult> {
  const conf = ["appendfsync always", `cluster-node-timeout ${timeout}`];
  await using cluster = await startRedisCluster({ replicas: 1, isUneven: true, conf });
  return await run(new RedisClusterServer(cluster), mishaps, options);
}

async function onSqlite(): Promise<SoakResult> {
  return await run(new SqliteFile(`${sqliteDirectory()}/soak.db`), sqliteMishaps);
}

async function run<S extends Meeting>(
  server: S,
  all: Mishaps<S>,
  defaults: ChannelOptions = {},
): Promise<SoakResult> {
  const chosen = Object.entries(all).filter(([each]) => each.includes(title));
  if (chosen.length === 0) {
    throw new Error(`no mishap has "${title}" in its title: ${Object.keys(all).join(", ")}`);
  }
  const mishaps = Object.fromEntries(chosen);
  return await soak(server, mishaps, Number(seed), Number(count), logLine, {
    ...defaults,
    ...JSON.parse(options),
  });
}
