// deno-lint-ignore-file no-console
//
// A pool of worker processes in which a worker may crash at any time.
//
//   deno run -A examples/worker_pool.ts
//   bun worker_pool.ts
//   node worker_pool.ts                              Node 22.18 or newer
//
// Without an option, the processes share a SQLite file of this machine. On RabbitMQ or Redis, the workers may run on other
// hosts:
//
//   … worker_pool.ts --connection amqp://localhost       the pool; it prints the next line
//   … worker_pool.ts --connection amqp://localhost work NAME        one more worker, on any host
//   … worker_pool.ts --connection redis://localhost      the same on Redis
//
// A worker receives a job on loan and accepts it after its work. If the worker crashes before, the job returns to the
// channel, and another worker does it: no job is lost, and a job may be done twice. Here, one job kills the first worker
// that tries it, as `kill -9` does. Another kills every worker that tries it: after `maxAttempts` it is a dead letter,
// so that it cannot kill the whole pool.
//
// If the pool itself crashes, its workers do the remaining jobs and end. The channels of this example have no names, so
// they vanish 30 minutes after their last use. With a name, `new Channel("jobs")`, they stay until they are deleted.

import { Channel } from "@channelts/channel";
import { fork } from "node:child_process";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

const WORKERS = 3;
const JOBS = 20;
const MAX_ATTEMPTS = 2;

interface Job {
  readonly id: number;
  /** How often this job kills its worker. */
  readonly deadly: number;
  /** The channel for the result: channels travel inside values. */
  readonly replyTo: Channel<Result>;
}

interface Result {
  readonly id: number;
  readonly worker: string;
  readonly attempts: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { connection: { type: "string" } },
});
// Channels without the option `connection` use this variable, also in the workers, which inherit it.
if (values.connection !== undefined) process.env.CHANNELTS_URI = values.connection;
process.env.CHANNELTS_URI ??= "sqlite:";

const [role, name] = positionals;
if (role === "work" && name !== undefined) await work(name);
else await runPool();

/** A worker: it does jobs until the channel is closed for everyone. */
async function work(name: string): Promise<void> {
  const jobs = new Channel<Job>({ name, maxAttempts: MAX_ATTEMPTS });
  for await (const delivery of jobs.deliveries()) {
    const { id, deadly, replyTo } = delivery.value;
    await delay(20); // the work
    if (delivery.attempts <= deadly) process.kill(process.pid, "SIGKILL");
    await replyTo.put({ id, worker: `worker ${process.pid}`, attempts: delivery.attempts });
    await replyTo.close();
    delivery.accept();
  }
  // Nothing needs to be closed: this process waits for nothing now, so it ends.
}

/** Puts the jobs, keeps workers running until all are done, and collects the results. */
async function runPool(): Promise<void> {
  const jobs = new Channel<Job>({ maxAttempts: MAX_ATTEMPTS });
  const results = new Channel<Result>();
  for (let id = 1; id <= JOBS; id++) {
    const deadly = id === 7 ? 1 : id === 13 ? Infinity : 0;
    await jobs.put({ id, deadly, replyTo: results });
  }
  // No job can be added now. The loops of the workers end when each job was accepted, or is a dead letter.
  await jobs.closeAll({ drain: true });

  console.log(`worker_pool.ts work ${jobs.name}`);
  await Promise.all(Array.from({ length: WORKERS }, () => keepWorker(jobs.name)));

  // By id: a worker may have crashed after its result and before its accept.
  const done = new Map<number, Result>();
  await results.closeAll({ drain: true });
  for await (const result of results) done.set(result.id, result);
  for (const { id, worker, attempts } of done.values()) {
    if (attempts > 1) console.log(`job ${id} was done by ${worker}, at attempt ${attempts}`);
  }
  console.log(`${done.size} jobs are done`);
  await jobs.deadLetters.closeAll({ drain: true });
  for await (const letter of jobs.deadLetters.deliveries()) {
    console.log(`job ${letter.value.id} is a dead letter: ${letter.reason}`);
    letter.accept();
  }
  await Promise.all([jobs.deadLetters.delete(), jobs.delete(), results.delete()]);
}

/** Runs a worker process, and another one whenever it crashes. */
async function keepWorker(name: string): Promise<void> {
  for (;;) {
    const worker = fork(process.argv[1]!, ["work", name]);
    console.log(`worker ${worker.pid} starts`);
    const signal = await new Promise<string | null>((resolve, reject) => {
      worker.once("error", reject);
      worker.once("exit", (code, signal) => {
        if (code) reject(new Error(`worker ${worker.pid} has failed with code ${code}`));
        else resolve(signal);
      });
    });
    if (signal === null) return;
    console.log(`worker ${worker.pid} was killed by ${signal}`);
  }
}
