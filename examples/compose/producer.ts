// deno-lint-ignore-file no-console
//
// The producer of the system in compose.yaml: it puts jobs at a regular rate, and accounts for each result.

import { Channel, every } from "@channelts/channel";
import process from "node:process";

export interface Job {
  readonly id: number;
  /** The duration of the work. */
  readonly milliseconds: number;
  /** The channel for the result. */
  readonly results: Channel<Result>;
}

export interface Result {
  readonly id: number;
  readonly worker: string;
  /** Whether the job may have been received before. */
  readonly again: boolean;
}

const JOBS = Number(process.env.JOBS ?? 600);
const INTERVAL = Number(process.env.INTERVAL ?? 100); // milliseconds from one job to the next
const WORK = Number(process.env.WORK ?? 150); // milliseconds

// The connection is the one in CHANNELTS_URI. Puts and gets wait for two minutes while the broker is away.
const retryTimeout = 120_000;
const jobs = new Channel<Job>({ name: "jobs", retryTimeout });
const results = new Channel<Result>({ retryTimeout });

const open = new Set<number>();
const counts = new Map<string, number>();
let [done, again, twice] = [0, 0, 0];

async function produce(): Promise<void> {
  let id = 0;
  for await (const _ of every(INTERVAL)) {
    open.add(++id);
    await jobs.put({ id, milliseconds: WORK, results });
    if (id === JOBS) break;
  }
}

async function account(): Promise<void> {
  while (done < JOBS) {
    const result = await results.get();
    if (!open.delete(result.id)) {
      twice++; // its first worker was killed, or lost its connection, after its result and before its accept
      continue;
    }
    done++;
    if (result.again) again++;
    counts.set(result.worker, (counts.get(result.worker) ?? 0) + 1);
    if (done % 50 === 0 || done === JOBS) {
      const shares = [...counts].map(([worker, count]) => `${worker} ${count}`);
      console.log(`${done} of ${JOBS} jobs are done, ${open.size} are open: ${shares.join(", ")}`);
    }
  }
}

await Promise.all([produce(), account()]);
await results.delete();
await jobs.close();
console.log(`all ${JOBS} jobs are done: ${again} after a redelivery, ${twice} twice`);
