// deno task soak [MISHAPS] [SEED]: a long soak test on a private broker, with a table of results.

import process from "node:process";
import { startPrivateBroker } from "../support/broker.ts";
import { logLine } from "../support/supervisor.ts";
import { soak } from "./soak.ts";

const [count = "20", seed = String(Math.floor(Math.random() * 2 ** 31))] = process.argv.slice(2);
logLine(`soak: ${count} mishaps, seed ${seed}`);
await using broker = await startPrivateBroker();
const start = performance.now();
const result = await soak(broker, Number(seed), Number(count), logLine);
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
