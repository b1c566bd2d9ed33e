// deno-lint-ignore-file no-console
//
// A worker of the system in compose.yaml. It may be killed at any time: the job that it had on loan goes to another one.
// SIGTERM, which `docker stop` sends, ends it after its job.

import { Channel } from "@channelts/channel";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import type { Job } from "./producer.ts";

const name = process.env.HOSTNAME ?? `process ${process.pid}`; // in a container, its id

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());

// The connection is the one in CHANNELTS_URI. However long the broker is away, the worker waits for it.
const jobs = new Channel<Job>({ name: "jobs", maxAttempts: 5, retryTimeout: Infinity });
console.log(`${name} is ready`);
try {
  for await (const delivery of jobs.deliveries({ signal: stop.signal })) {
    const { id, milliseconds, results } = delivery.value;
    await delay(milliseconds); // the work
    await results.put({ id, worker: name, again: delivery.redelivered });
    await results.close();
    delivery.accept();
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
await jobs.close();
console.log(`${name} has ended`);
