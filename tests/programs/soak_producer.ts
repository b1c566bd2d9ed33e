// Puts numbers from FIRST on, several at a time, until it is stopped; reports which puts have resolved.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { messages, send } from "../support/child_side.ts";

const [connection, name, first, options] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
];
const channel = new Channel<number>({
  ...JSON.parse(options),
  name,
  connection,
  retryTimeout: 60_000,
});
let next = Number(first);
let isOver = false;
let resolved: number[] = [];

/** Puts the next number and records the outcome. */
async function put(): Promise<void> {
  const n = next++;
  try {
    await channel.put(n);
    resolved.push(n);
  } catch (error) {
    send({ rejected: n, why: String(error) });
  }
}

async function write(): Promise<void> {
  while (!isOver) {
    await Promise.all([put(), put(), put(), put(), put()]);
    await sleep(10);
  }
}

function report(): void {
  if (resolved.length > 0) send({ resolved });
  resolved = [];
}

(async () => {
  for await (const _ of messages()) isOver = true;
})();
const reporting = setInterval(report, 20);
await Promise.all([write(), write()]);
clearInterval(reporting);
report();
await channel.close();
send("done");
process.exit(0); // stdin keeps the process alive
