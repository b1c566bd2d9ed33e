// deno-lint-ignore-file no-console
//
// Splits work over threads: Web Workers on Deno and Bun, node:worker_threads on Node.
//
//   deno run --allow-read=. examples/workers.ts
//   bun workers.ts
//   node workers.ts                                  Node 22.18 or newer
//
// A thread is an isolate of its own, which a `memory:` channel does not reach. So the main thread is a home, which lends
// its channels to the others over message ports. A thread gets only a port and the name of one channel; the channel for
// the answers comes with each job. The job of a thread that ends before it accepts the job is done by another thread;
// here, one gets stuck and is terminated.
//
// With another connection, the same threads use its channels, and could as well be processes or run on other hosts:
//
//   deno run --allow-read=. --allow-net=HOST:PORT examples/workers.ts --connection amqp://HOST:PORT      or redis:

import { Channel, ChannelClosedError, fromPort } from "@channelts/channel";
import { Home } from "@channelts/channel/home";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { parentPort, Worker as NodeWorker } from "node:worker_threads";

const THREADS = ["ada", "bob", "cyd", "dee"];
/** Counts the primes below the number of the option `--limit` in jobs of this many numbers. */
const STEP = 50_000;
/** The time in milliseconds after which a step is considered failed. */
const TIME_LIMIT = 10_000;

/** A range of numbers in which to count the primes, and the channel for the count. */
interface Job {
  readonly from: number;
  readonly to: number;
  /** Whether the first thread that tries it gets stuck. */
  readonly sticks?: boolean;
  readonly replyTo: Channel<Answer>;
}

interface Answer {
  readonly thread: string;
  readonly from: number;
  /** An error travels as an error. */
  readonly result: number | "stuck" | Error;
  /** Whether another thread had started the job. */
  readonly again: boolean;
}

/** The start parameters of a thread. */
interface Orders {
  readonly thread: string;
  /** A port to a home, or the URI of a connection. */
  readonly connection: MessagePort | string;
  readonly jobs: string;
}

/** Counts primes by trial division, to have some work. */
function countPrimes({ from, to }: { from: number; to: number }): number {
  if (from > to) throw new RangeError(`from ${from} to ${to} is no range`);
  let count = 0;
  for (let n = Math.max(from, 2); n < to; n++) {
    let divisor = 2;
    while (divisor * divisor <= n && n % divisor !== 0) divisor++;
    if (divisor * divisor > n) count++;
  }
  return count;
}

/** A thread: it does jobs until they are closed for everyone. */
async function work(thread: string, jobs: Channel<Job>): Promise<void> {
  for (;;) {
    // On loan: if this thread ends before it accepts the job, another one gets it.
    const delivery = await jobs.receive().catch((error) => {
      if (!(error instanceof ChannelClosedError)) throw error;
    });
    if (delivery === undefined) return await jobs.close();
    const { from, sticks, replyTo } = delivery.value;
    const answer = (result: Answer["result"]) =>
      replyTo.put({ thread, from, result, again: delivery.redelivered });
    if (sticks && !delivery.redelivered) {
      await answer("stuck");
      await delay(60_000);
    }
    try {
      await answer(countPrimes(delivery.value));
    } catch (error) {
      await answer(error as Error);
    }
    delivery.accept();
    await replyTo.close();
  }
}

/** Starts a thread with this file, and waits until it has attached to the channel of the jobs. */
async function startThread(orders: Orders): Promise<{ terminate(): unknown }> {
  const url = new URL(import.meta.url);
  const thread = globalThis.Worker ? new Worker(url, { type: "module" }) : new NodeWorker(url);
  const transferred = typeof orders.connection === "string" ? [] : [orders.connection];
  (thread as Worker).postMessage(orders, transferred); // Node's are called in the same way
  await new Promise((resolve) => {
    if ("once" in thread) thread.once("message", resolve);
    else thread.addEventListener("message", resolve, { once: true });
  });
  return thread;
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: { connection: { type: "string" }, limit: { type: "string", default: "3000000" } },
  });
  const home = values.connection === undefined ? new Home() : undefined;
  const connection = home ?? values.connection!;

  const ranges = Array.from({ length: Number(values.limit) / STEP }, (_, i) => {
    return { from: i * STEP, to: (i + 1) * STEP };
  });
  let start = performance.now();
  const expected = ranges.map(countPrimes).reduce((a, b) => a + b);
  console.log(`one thread: ${figure(expected)} primes in ${since(start)}`);

  const jobs = new Channel<Job>({ connection });
  const answers = jobs.clone<Answer>();
  start = performance.now();
  const todo = [{ from: 2, to: 1 }, ...ranges];
  await Promise.all(todo.map((range, i) => {
    return jobs.put({ ...range, sticks: i === 1, replyTo: answers });
  }));
  const starts = THREADS.map(async (thread) => {
    const connection = home === undefined ? values.connection! : portTo(home);
    return [thread, await startThread({ thread, connection, jobs: jobs.name })] as const;
  });
  const threads = new Map(await Promise.all(starts));

  // By job: a job that was given to a second thread may have been completed by the first.
  const done = new Map<number, Answer>();
  let failure: unknown;
  let stuck: Answer | undefined;
  while (done.size < ranges.length || failure === undefined) {
    const answer = await answers.get({ timeout: TIME_LIMIT });
    if (answer.result === "stuck") {
      stuck = answer;
      threads.get(answer.thread)!.terminate();
    } else if (answer.result instanceof Error) {
      failure = answer.result;
      console.log(`${answer.thread} has failed: ${failure}`);
    } else done.set(answer.from, answer);
  }
  console.log(`${THREADS.length} threads: the same in ${since(start)}\n`);
  await Promise.all([jobs.delete(), answers.delete()]); // ends the threads
  await home?.close();

  console.log("thread   jobs   primes");
  for (const thread of THREADS) {
    const own = [...done.values()].filter((answer) => answer.thread === thread);
    const row = [thread.padEnd(6), String(own.length).padStart(4), figure(sum(own)).padStart(8)];
    console.log(row.join("   ") + (stuck?.thread === thread ? "   got stuck, was terminated" : ""));
  }
  const total = sum([...done.values()]);
  console.log(`\n${figure(total)} primes: ${total === expected ? "the same" : "NOT THE SAME"}`);

  const rescued = stuck && done.get(stuck.from);
  const isRescued = rescued !== undefined && rescued.again && rescued.thread !== stuck?.thread;
  console.log(`${stuck?.thread}'s job was ${isRescued ? `done by ${rescued.thread}` : "NOT DONE"}`);
  return total === expected && failure instanceof RangeError && isRescued;
}

/** Returns a port, for another thread, to a home of this one. */
function portTo(home: Home): MessagePort {
  const { port1, port2 } = new MessageChannel();
  home.accept(port1);
  return port2;
}

function sum(answers: Answer[]): number {
  return answers.reduce((sum, { result }) => sum + (result as number), 0);
}

function figure(n: number): string {
  return n.toLocaleString("en");
}

function since(start: number): string {
  return `${((performance.now() - start) / 1000).toFixed(2)} s`;
}

/** The port to the parent thread: on Node a message port, elsewhere the global object. */
const port = (parentPort ?? ("WorkerGlobalScope" in globalThis ? globalThis : undefined)) as
  | EventTarget & { postMessage(message: unknown): void }
  | undefined;

if (port === undefined) {
  process.exitCode = await main().then((isRight) => isRight ? 0 : 1, (error) => {
    console.error(error);
    process.exit(1); // ends the threads, too
  });
} else {
  const { data } = await new Promise<MessageEvent<Orders>>((resolve) => {
    port.addEventListener("message", resolve as EventListener, { once: true });
  });
  const connection = typeof data.connection === "string"
    ? data.connection
    : fromPort(data.connection);
  const jobs = new Channel<Job>({ name: data.jobs, connection });
  await jobs.depth(); // attaches now: a thread that attaches after the deletion would create another channel
  port.postMessage("attached");
  await work(data.thread, jobs);
  if (parentPort === null) globalThis.close(); // on Node a thread ends when it waits for nothing
}
