// What `channelts bench` measures: one channel of this process on a broker, a home or a file.

import { performance } from "node:perf_hooks";
import type { Channel, OperationOptions } from "../../mod.ts";

/** What is measured, and how. */
export interface Course {
  /** The number of values for each rate. */
  readonly count: number;
  /** The bytes of a value. */
  readonly size: number;
  /** The number of puts that are in progress at a time. */
  readonly concurrency: number;
  readonly waiting: OperationOptions;
  /** Called with what is measured now, and how much of it is done. */
  readonly progress: (what: string, done: number, of: number) => void;
}

/** Times in milliseconds: the median, the 99th percentile and the largest. */
export interface Times {
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

/** The results. Rates are values a second. */
export interface Results {
  /** Milliseconds until the channel existed, the connection included. */
  readonly attach: number;
  /** Milliseconds of a put alone. */
  readonly put: Times;
  /** Milliseconds from the begin of a put until a get that waits has the value. */
  readonly trip: Times;
  readonly puts: number;
  readonly gets: number;
  /** Values a second when they are put and got at the same time. */
  readonly both: number;
}

/** Measures a channel, which is empty before and afterwards. */
export async function measure(channel: Channel<Uint8Array>, course: Course): Promise<Results> {
  const { count, size, waiting, progress } = course;
  const value = crypto.getRandomValues(new Uint8Array(Math.min(size, 65_536)));
  const body = new Uint8Array(size).map((_, i) => value[i % value.length]!);
  const start = performance.now();
  await channel.depth(waiting);
  const attach = performance.now() - start;

  const few = Math.max(20, Math.min(1000, Math.round(count / 10)));
  const put = () => channel.put(body, waiting);
  const get = () => channel.get(waiting);
  await Promise.all([repeat(few, course, put), repeat(few, course, get)]); // the code is compiled now
  const puts: number[] = [];
  for (let i = 0; i < few; i++) {
    puts.push(await duration(put));
    progress("put", i, few);
  }
  await repeat(few, course, get);
  const trips: number[] = [];
  for (let i = 0; i < few; i++) {
    trips.push(await duration(() => Promise.all([get(), put()])));
    progress("put to get", i, few);
  }
  const rate = async (what: string, ...works: (() => Promise<void>)[]) => {
    progress(what, 0, count);
    const took = await duration(() => Promise.all(works.map((work) => work())));
    return Math.round(count / took * 1000);
  };
  const putAll = () => repeat(count, course, put, "puts");
  const getAll = (what?: string) => repeat(count, course, get, what);
  return {
    attach: rounded(attach),
    put: timesOf(puts),
    trip: timesOf(trips),
    puts: await rate("puts", putAll),
    gets: await rate("gets", () => getAll("gets")),
    both: await rate("puts and gets", putAll, () => getAll()),
  };
}

/** Runs an operation so many times, with so many in progress at a time. @param what is measured; absent: no progress */
async function repeat(
  count: number,
  { concurrency, progress }: Course,
  operation: () => Promise<unknown>,
  what?: string,
): Promise<void> {
  let begun = 0;
  const run = async () => {
    while (begun < count) {
      if (begun++ % 100 === 0 && what !== undefined) progress(what, begun, count);
      await operation();
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, run));
}

async function duration(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function timesOf(times: number[]): Times {
  times.sort((a, b) => a - b);
  const at = (q: number) =>
    rounded(times[Math.min(times.length - 1, Math.floor(times.length * q))]!);
  return { median: at(0.5), p99: at(0.99), max: at(1) };
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
