// Selects from channels until one is closed for everyone, and puts the values that it got into the last one, in
// batches.
import { after, Channel, select } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, ...names] = process.argv.slice(2) as [string, ...string[]];
const all = names.map((name) => new Channel<unknown>({ name, connection }));
const results = all.pop() as Channel<number[]>;
const channels = all as Channel<number>[];
await Promise.all([...channels, results].map((channel) => channel.depth()));
send("ready");
let hasOne = false;
let batch: number[] = [];
for (;;) {
  const chosen = await select([...channels, batch.length > 0 ? after(20) : undefined]);
  if (chosen.closed) break;
  if (typeof chosen.value === "number") {
    if (!hasOne) send("got one");
    hasOne = true;
    batch.push(chosen.value);
  }
  if (batch.length === 100 || typeof chosen.value !== "number") {
    await results.put(batch);
    batch = [];
  }
}
send("closed");
await Promise.all([...channels, results].map((channel) => channel.close()));
