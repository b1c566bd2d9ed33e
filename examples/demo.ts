// deno-lint-ignore-file no-console
//
// The main demo: processes and Workers on the installed runtimes share work through channels. One of them is killed in
// the middle of a job, another one does that job, and one closeAll ends them all.

import { Channel } from "../mod.ts";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { parseArgs } from "node:util";
import { printTable, Progress, quantile } from "./demo_output.ts";
import { type Answer, type Briefing, countWords, type Hello, type Job } from "./worker.ts";
import { find, startProcess, startThread, type Worker } from "./demo_workers.ts";

const HELP =
  `Squares 5,000 numbers and counts the words of this project's own source, in 1,000 jobs that
processes and Workers share: in Deno, and in Bun and Node where they are installed.

  deno task demo                                   by a file in the temporary directory; nothing to install
  deno task demo --connection amqp://HOST:PORT     by RabbitMQ: the same story
  deno task demo --connection redis://HOST:PORT    by Redis: the same story

Options:
  --connection URI   sqlite:PATH, amqp://user:password@host:port/vhost, or redis://user:password@host:port
  --help             this text

The exit code is 0 if all came out as told, and 1 if not.`;

const NUMBERS = 5000;
const JOBS = 1000;
const REQUESTERS = ["rex", "sue"];
/** How many answers a requester waits for at a time. */
const WINDOW = 8;
/** The time in milliseconds in which the demo must make progress: an answer, or the end of a worker. */
const TIME_LIMIT = 30_000;
/** How long the channels outlast a demo that was killed, in milliseconds. */
const LEASE = 60_000;

/** A job's answer with the milliseconds from the put of the job to the get of the answer. */
interface Result extends Answer {
  readonly latency: number;
}

/** The expected results, and whether they were reached. */
const proof: [claim: string, holds: boolean][] = [];
const workers = new Map<string, Worker>();

async function demo(connection: string): Promise<void> {
  const run = crypto.randomUUID();
  /** Making a handle costs nothing: it attaches with its first operation. */
  const named = <T>(what: string) =>
    new Channel<T>({ name: `demo ${what} ${run}`, connection, expires: LEASE });
  const hello = named<Hello>("hello");
  const jobs = named<Job>("jobs");
  const numbers = named<number>("numbers");
  const squares = named<[string, number]>("squares");

  // Without a broker, this fails at once, before a worker is started.
  await using first = new Channel({
    name: hello.name,
    connection,
    expires: LEASE,
    retryTimeout: 0,
  });
  await first.depth();

  console.log("1  Roll call: each worker gets one channel's name and sends back a channel");
  await startWorkers(connection, hello.name);
  const mailboxes = new Map<string, Channel<Briefing>>();
  for (const _ of workers) {
    const { worker, mailbox } = await hello.get();
    progressed();
    mailboxes.set(worker, mailbox);
    await mailbox.put({ jobs, numbers, squares });
  }
  for (const [name, { title }] of workers) console.log(`   ${name}   ${title}`);

  console.log(`\n2  A pipeline: ${figure(NUMBERS)} numbers in, their squares out`);
  const pipeline = await square(numbers, squares);
  console.log(`   ${figure(NUMBERS / pipeline.seconds)} numbers per second\n`);

  console.log(`3  ${figure(JOBS)} jobs, each with the channel for its answer`);
  const text = source();
  const progress = new Progress(JOBS);
  const replies = REQUESTERS.map(() => jobs.clone<Answer>()); // new anonymous channels
  const pieces = cut(text, JOBS);
  const start = performance.now();
  const [rescue, ...results] = await Promise.all([
    progress.reached(JOBS / 4).then(() => loseOne(jobs)),
    ...replies.map((replyTo, mine) => {
      const share = pieces.filter(({ piece }) => piece % REQUESTERS.length === mine);
      return request(jobs, share, replyTo, progress);
    }),
  ]);
  const seconds = (performance.now() - start) / 1000;
  progress.end();
  console.log(`   ${rescue.victim} was killed in the middle of one, and ${rescue.by} did it`);
  console.log(`   all were answered after ${seconds.toFixed(2)} s\n`);

  console.log("4  One closeAll for each channel ends every worker");
  // With `drain`, the workers end when every job was accepted.
  await Promise.all([jobs.closeAll({ drain: true }), numbers.closeAll()]);
  workers.delete(rescue.victim);
  progressed();
  const ends = await Promise.all([...workers].map(async ([name, { ended }]) => {
    const isInOrder = await ended;
    progressed();
    workers.delete(name);
    return isInOrder;
  }));
  console.log(`   ${ends.filter(Boolean).length} of ${ends.length} ended by themselves\n`);

  // A named channel stays for handles that use the name again.
  await Promise.all([
    ...["hello", "jobs", "numbers", "squares"].map((what) => named(what).delete()),
    ...replies.map((reply) => reply.delete()),
    mailboxes.get(rescue.victim)!.delete(), // the killed worker cannot delete it
  ]);

  printResults(results, pipeline, seconds, rescue.victim);
  const answers = results.flat();
  const answered = new Set(answers.map(({ piece }) => piece)).size;
  claim(`${figure(NUMBERS)} numbers, each squared once`, pipeline.isExact);
  claim(`${figure(JOBS)} jobs, all answered`, answered === JOBS);
  const words = merge(answers.map(({ words }) => words));
  claim(`${figure(sum([...words.values()]))} words, as one loop counts them`, equal(words, text));
  claim("the job of a killed worker was done by another worker", rescue.isDone);
  claim("every other worker ended by itself", ends.every(Boolean));
}

/** Starts a process on each installed runtime, and two Workers. */
async function startWorkers(connection: string, hello: string): Promise<void> {
  const runtimes = await find(connection);
  for (const [i, name] of ["ada", "bob", "cyd"].entries()) {
    const runtime = runtimes[i % runtimes.length]!;
    workers.set(name, startProcess(runtime, { name, connection, hello }));
  }
  for (const name of ["dee", "eve"]) workers.set(name, startThread({ name, connection, hello }));
}

/** The output of the pipeline, and how much each worker did. */
interface Squared {
  readonly seconds: number;
  readonly isExact: boolean;
  readonly counts: Map<string, number>;
}

async function square(
  numbers: Channel<number>,
  squares: Channel<[string, number]>,
): Promise<Squared> {
  const progress = new Progress(NUMBERS);
  const counts = new Map<string, number>();
  const seen = new Set<number>();
  const start = performance.now();
  const puts: Promise<void>[] = [];
  for (let n = 1; n <= NUMBERS; n++) puts.push(numbers.put(n)); // many are in flight at a time
  for (let i = 0; i < NUMBERS; i++) {
    const [worker, square] = await squares.get();
    progressed();
    counts.set(worker, (counts.get(worker) ?? 0) + 1);
    seen.add(Math.sqrt(square));
    progress.step();
  }
  await Promise.all(puts);
  progress.end();
  const isExact = seen.size === NUMBERS && [...seen].every((n) => n >= 1 && n <= NUMBERS);
  return { seconds: (performance.now() - start) / 1000, isExact, counts };
}

/** Puts a slow job, and kills the worker that starts it. */
async function loseOne(
  jobs: Channel<Job>,
): Promise<{ victim: string; by: string; isDone: boolean }> {
  await using begun = jobs.clone<string>();
  await using replyTo = jobs.clone<Answer>();
  const text = "a slow job is a slow job";
  await jobs.put({ piece: -1, text, replyTo, begun });
  const victim = await begun.get();
  workers.get(victim)!.kill();
  const { worker: by, redelivered, words } = await replyTo.get();
  return { victim, by, isDone: by !== victim && redelivered && equal(words, text) };
}

/** Puts jobs and gets their answers, waiting for a few at a time. */
async function request(
  jobs: Channel<Job>,
  pieces: Pick<Job, "piece" | "text">[],
  replyTo: Channel<Answer>,
  progress: Progress,
): Promise<Result[]> {
  const asked = new Map<number, number>();
  const results = new Map<number, Result>();
  const collect = async () => {
    const answer = await replyTo.get();
    progressed();
    // If a worker is killed between its answer and its accept, its job is done again.
    if (results.has(answer.piece)) return;
    results.set(answer.piece, { ...answer, latency: performance.now() - asked.get(answer.piece)! });
    progress.step();
  };
  for (const piece of pieces) {
    while (asked.size - results.size >= WINDOW) await collect();
    asked.set(piece.piece, performance.now());
    await jobs.put({ ...piece, replyTo });
  }
  while (results.size < asked.size) await collect();
  return [...results.values()];
}

/** Returns the text of this project's source. */
function source(): string {
  const directory = new URL("../src/", import.meta.url);
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" });
  const sources = files.filter((file) => file.endsWith(".ts")).sort();
  return sources.map((file) => readFileSync(new URL(file, directory), "utf8")).join("\n");
}

/** Splits a text between words into pieces. */
function cut(text: string, count: number): Pick<Job, "piece" | "text">[] {
  const parts = text.split(/\s+/);
  const cuts = (i: number) => Math.floor(i * parts.length / count);
  return Array.from({ length: count }, (_, piece) => ({
    piece,
    text: parts.slice(cuts(piece), cuts(piece + 1)).join(" "),
  }));
}

function merge(counts: Map<string, number>[]): Map<string, number> {
  const all = new Map<string, number>();
  for (const words of counts) {
    for (const [word, n] of words) all.set(word, (all.get(word) ?? 0) + n);
  }
  return all;
}

function sum(numbers: number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

/** Reports whether these are the words of a text. */
function equal(words: Map<string, number>, text: string): boolean {
  const expected = countWords(text);
  return words.size === expected.size && [...words].every(([word, n]) => expected.get(word) === n);
}

function claim(what: string, holds: boolean): void {
  proof.push([what, holds]);
}

function figure(n: number): string {
  return n.toLocaleString("en", { maximumFractionDigits: n < 10 ? 2 : 0 });
}

function printResults(
  results: Result[][],
  { counts, seconds: pipelineSeconds }: Squared,
  seconds: number,
  victim: string,
): void {
  const answers = results.flat();
  const names = [...new Set([...counts.keys(), ...answers.map(({ worker }) => worker)])].sort();
  printTable(
    ["worker", "squares", "squares/s", "jobs", "share", "jobs/s"],
    names.map((name) => {
      const jobs = answers.filter(({ worker }) => worker === name).length;
      const squares = counts.get(name) ?? 0;
      return [
        name === victim ? `${name} †` : name,
        figure(squares),
        figure(squares / pipelineSeconds),
        figure(jobs),
        `${figure(100 * jobs / answers.length)} %`,
        figure(jobs / seconds),
      ];
    }),
  );
  printTable(
    ["requester", "answers", "median", "99 %", "slowest"],
    REQUESTERS.map((requester, i) => {
      const latencies = results[i]!.map(({ latency }) => latency);
      const figures = [0.5, 0.99, 1].map((share) => `${figure(quantile(latencies, share))} ms`);
      return [requester, figure(latencies.length), ...figures];
    }),
  );
}

async function main(): Promise<number> {
  const { values: { connection, help } } = parseArgs({
    options: { connection: { type: "string" }, help: { type: "boolean", short: "h" } },
  });
  if (help) {
    console.log(HELP);
    return 0;
  }
  if (connection?.startsWith("memory:")) {
    throw new Error("memory: stays in one thread, and this demo has several: try sqlite:PATH");
  }
  const start = performance.now();
  const directory = connection === undefined ? mkdtempSync(join(tmpdir(), "demo-")) : undefined;
  if (directory !== undefined) cleanUp = () => rmSync(directory, { recursive: true, force: true });
  await demo(connection ?? `sqlite:${join(directory!, "channels.db")}`);
  for (const [what, holds] of proof) console.log(`${holds ? "✔" : "✘ FAILED:"} ${what}`);
  console.log(`\n${figure((performance.now() - start) / 1000)} s in all`);
  return proof.every(([, holds]) => holds) ? 0 : 1;
}

let cleanUp = () => {};
const watchdog = setTimeout(
  () => end(new Error(`no progress within ${TIME_LIMIT / 1000} s`)),
  TIME_LIMIT,
);

/** Restarts the time limit. There is none on the whole: a slow machine is not an error. */
function progressed(): void {
  watchdog.refresh();
}

/** Ends the demo without leaving a process or a file. */
function end(error: unknown): never {
  for (const { kill } of workers.values()) kill();
  cleanUp();
  console.error(`\nerror: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

process.on("SIGINT", () => end("stopped"));
process.on("SIGTERM", () => end("stopped"));
try {
  process.exitCode = await main();
} catch (error) {
  end(error);
}
clearTimeout(watchdog);
cleanUp();
