// The worker of demo.ts: a process (Deno, Bun or Node) or a Worker. The code is the same for both.
//
//   deno run --allow-net examples/worker.ts NAME CONNECTION HELLO
//
// In another project, the import below is from "@channelts/channel".

import { Channel, ChannelClosedError } from "../mod.ts";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { isMainThread, workerData } from "node:worker_threads";

/** A piece of text whose words are to be counted, and the channel for the counts. */
export interface Job {
  readonly piece: number;
  readonly text: string;
  readonly replyTo: Channel<Answer>;
  /** Of a slow job: the channel on which the worker reports that it has started. */
  readonly begun?: Channel<string>;
}

/** The counts of one piece: a Map travels as a Map. */
export interface Answer {
  readonly piece: number;
  readonly worker: string;
  readonly words: Map<string, number>;
  /** Whether another worker may have had the job before. */
  readonly redelivered: boolean;
}

/** The reply to a worker's hello. */
export interface Briefing {
  readonly jobs: Channel<Job>;
  readonly numbers: Channel<number>;
  readonly squares: Channel<[worker: string, square: number]>;
}

/** A worker's first message: it contains a channel that only this worker reads. */
export interface Hello {
  readonly worker: string;
  readonly mailbox: Channel<Briefing>;
}

/** The duration of a slow job in milliseconds. */
const SLOW = 300;

/**
 * Says hello, gets the names of the channels, and works until they are closed for everyone.
 *
 * @param progressed called for each number and job
 */
export async function work(
  worker: string,
  hello: Channel<Hello>,
  progressed: () => void,
): Promise<void> {
  await using mailbox = hello.clone<Briefing>(); // a new channel on the same connection
  await hello.put({ worker, mailbox });
  const { jobs, numbers, squares } = await mailbox.get();
  progressed();
  await Promise.all([
    squareAll(worker, numbers, squares, progressed),
    countAll(worker, jobs, progressed),
  ]);
}

/** A stage of a pipeline: it waits only for the next value. */
async function squareAll(
  worker: string,
  numbers: Channel<number>,
  squares: Briefing["squares"],
  progressed: () => void,
): Promise<void> {
  const puts: Promise<void>[] = [];
  for await (const n of numbers) {
    progressed();
    puts.push(squares.put([worker, n * n]));
  }
  await Promise.all(puts);
}

/** Answers each job and then accepts it. If this worker dies before accepting, another one does the job. */
async function countAll(
  worker: string,
  jobs: Channel<Job>,
  progressed: () => void,
): Promise<void> {
  try {
    for (;;) {
      await using job = await jobs.receive();
      progressed();
      const { piece, text, replyTo, begun } = job.value;
      if (begun !== undefined) {
        await begun.put(worker);
        await new Promise((resolve) => setTimeout(resolve, SLOW));
      }
      const words = countWords(text);
      await replyTo.put({ piece, worker, words, redelivered: job.redelivered });
      job.accept();
    }
  } catch (error) {
    // The jobs were drained: all are done.
    if (!(error instanceof ChannelClosedError && error.reason === "drain")) throw error;
  }
}

/** Counts how often each word occurs. */
export function countWords(text: string): Map<string, number> {
  const words = new Map<string, number>();
  for (const [word] of text.toLowerCase().matchAll(/\p{L}+/gu)) {
    words.set(word, (words.get(word) ?? 0) + 1);
  }
  return words;
}

/** The start parameters of a worker. Only names are passed to it. */
export interface Start {
  readonly name: string;
  readonly connection: string;
  /** The name of a channel of {@linkcode Hello}. */
  readonly hello: string;
}

async function start({ name, connection, hello }: Start): Promise<void> {
  // If the demo is killed, nobody closes the jobs: a worker ends if it has had nothing to do for a minute.
  const limit = setTimeout(() => process.exit(1), 60_000);
  await work(name, new Channel({ name: hello, connection }), () => limit.refresh());
  clearTimeout(limit);
  // Nothing needs to be closed: the worker waits for nothing now, so it ends.
}

if (!isMainThread) {
  await start(workerData);
} else if (import.meta.main) {
  const [name, connection, hello] = process.argv.slice(2) as [string, string, string];
  await start({ name, connection, hello });
}
