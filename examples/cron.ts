// deno-lint-ignore-file no-console
//
// Jobs that run at regular times, on any number of workers: cron.
//
//   deno run -A examples/cron.ts schedule      puts a run of each job into the job's channel when it is due
//   deno run -A examples/cron.ts work          does the runs; start as many as you like
//   bun cron.ts …
//   node cron.ts …                             Node 22.18 or newer
//
// Without an argument, the program does both for three seconds. The processes meet in a SQLite file of this machine, or
// with `--connection` on a RabbitMQ (`amqp://localhost`) or a Redis (`redis://localhost`). SIGINT (Ctrl-C) and SIGTERM end
// each of them in order.
//
// If a worker is killed during a run, the run goes to another worker, now or when one is started. While no worker runs,
// one run of each job waits and further ones are skipped, because the job's channel has a capacity of 1. While the
// scheduler does not run, no run becomes due, and none is made up for later; start one scheduler only.

import { Channel, every } from "@channelts/channel";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

/** A job: how often it runs, and what it does. */
interface Job {
  /** Milliseconds, from the start of the scheduler. For a time of day, wait for `after(time - Date.now())`. */
  readonly interval: number;
  run(): Promise<void>;
}

const jobs: Readonly<Record<string, Job>> = {
  "collect figures": { interval: 500, run: () => delay(20) },
  "write a report": { interval: 1000, run: () => delay(200) },
};

const { values, positionals: [role] } = parseArgs({
  allowPositionals: true,
  options: { connection: { type: "string" } },
});
// Channels without the option `connection` use this variable.
if (values.connection !== undefined) process.env.CHANNELTS_URI = values.connection;
process.env.CHANNELTS_URI ??= "sqlite:";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
if (role === undefined) setTimeout(() => stop.abort(), 3000);

const each = (act: (title: string, job: Job) => Promise<void>) =>
  Promise.all(Object.entries(jobs).map(([title, job]) => act(title, job)));
await Promise.all([
  role !== "work" && each(schedule),
  role !== "schedule" && each(work),
]);

/** The channel of a job's runs, the same in every process. A run is the time at which it became due. */
function runsOf(title: string): Channel<Date> {
  return new Channel({ name: `examples: cron: ${title}`, capacity: 1 });
}

async function schedule(title: string, { interval }: Job): Promise<void> {
  const runs = runsOf(title);
  const ticks = every(interval);
  stop.signal.addEventListener("abort", () => void ticks[Symbol.asyncDispose]()); // ends the loop
  for await (const due of ticks) {
    if (await runs.tryPut(due) === "full") {
      console.log(`${title}: skipped, the last run still waits`);
    }
  }
  await runs.close();
}

async function work(title: string, job: Job): Promise<void> {
  const runs = runsOf(title);
  try {
    for await (const run of runs.deliveries({ signal: stop.signal })) {
      const again = run.redelivered ? ", again" : "";
      console.log(`${title}: ${run.value.toISOString()}${again}, by process ${process.pid}`);
      await job.run();
      run.accept(); // if this process is killed before, the run returns to the channel
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
  await runs.close();
}
