// deno-lint-ignore-file no-console
//
// A Python worker and a TypeScript worker share the jobs of a channel, over RabbitMQ.
//
//   docker compose up --wait                                             a RabbitMQ, if there is none
//   python3 examples/channelpy_worker.py amqp://guest:guest@localhost    the Python worker, with ChannelPy
//   deno run -A examples/channelpy.ts --connection amqp://localhost      the TypeScript worker, and the jobs
//   bun channelpy.ts …
//   node channelpy.ts …                                                  Node 22.18 or newer
//
// With `encoding: "json"`, a channel carries what ChannelPy reads, and `request` is ChannelPy's `put_sync`. Without the
// Python worker, the TypeScript worker does all jobs.
//
// If the TypeScript worker is killed, its jobs go to the other worker. ChannelPy acknowledges a job before the work on it,
// so a job of a killed Python worker is lost, and its request is rejected after its timeout.

import { Channel, serve } from "@channelts/channel";
import { fork } from "node:child_process";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

interface Square {
  readonly n: number;
  readonly square: number;
  readonly by: string;
}

const { values, positionals: [role] } = parseArgs({
  allowPositionals: true,
  options: { connection: { type: "string" } },
});
// Channels without the option `connection` use this variable, also in the worker, which inherits it.
if (values.connection !== undefined) process.env.CHANNELTS_URI = values.connection;
process.env.CHANNELTS_URI ??= "amqp://localhost";

const jobs = new Channel<number>({ name: "examples-squares", encoding: "json" });

if (role === "work") {
  await serve(jobs, async (n): Promise<Square> => {
    await delay(20); // the work
    return { n, square: n * n, by: "TypeScript" };
  });
} else {
  const worker = fork(process.argv[1]!, ["work"]);
  const ended = new Promise((resolve) => worker.once("exit", resolve));

  const counts = new Map<string, number>();
  await Promise.all(Array.from({ length: 20 }, async (_, n) => {
    const { square, by } = await jobs.request<Square>(n, { timeout: 30_000 });
    if (square !== n * n) throw new Error(`${by} has answered ${square} for ${n}`);
    counts.set(by, (counts.get(by) ?? 0) + 1);
  }));
  for (const [by, count] of counts) console.log(`${by} has done ${count} jobs`);

  await jobs.closeAll(); // ends both workers
  await ended;
}
await jobs.close();
