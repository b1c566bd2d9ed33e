// deno-lint-ignore-file no-console
//
// The main job: requesters put jobs into one channel, workers share them and answer each on the
// channel that came with it, and one closeAll ends them all.

import { Channel, ChannelTimeoutError } from "@channelts/channel";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { printTable, Progress, quantile } from "./demo_output.ts";
import { type Answer, type Briefing, countWords, type Hello, type Job, work } from "./worker.ts";

const HELP = `Counts the words of this project's own source, in 1,000 jobs that workers share.

  deno task demo                                   the workers are tasks of this process
  deno task demo --connection amqp://HOST:PORT     the workers are processes, RabbitMQ is between

Options:
  --connection URI   memory: (the default) or amqp://user:password@host:port/vhost
  --help             this text

The exit code is 0 if every job was answered once and all else came out as told, and 1 if not.`;

const JOBS = 1000;
const WORKERS = ["ada", "bob", "cyd"];
const REQUESTERS = ["rex", "sue"];
/** How many answers a requester waits for at a time. */
const WINDOW = 8;
/** Milliseconds after which something must have gone wrong. */
const PATIENCE = 10_000;
/** Milliseconds for which the jobs outlast a demo that was killed. */
const LEASE = 60_000;

type Piece = Omit<Job, "replyTo">;

/** A job's answer, and the milliseconds from the put of the job to the get of the answer. */
interface Result extends Answer {
  readonly latency: number;
}

/** What should have come out, and whether it has. */
const proof: [claim: string, holds: boolean][] = [];
/** Worker processes that may still run. */
const processes = new Set<Deno.ChildProcess>();

async function demo(connection: string): Promise<void> {
  const local = connection === "memory:";
  // To make a handle costs nothing: it attaches with its first operation.
  await using hello: Hello = new Channel({ connection });
  const name = `demo ${crypto.randomUUID()}`;
  const jobs = new Channel<Job>({ name, connection, expires: LEASE });
  const text = source();

  console.log(
    local ? "Channels in memory: the workers are tasks.\n" : "The workers are processes.\n",
  );

  console.log("1  A worker that is lost while it waits takes no job with it");
  await using reply = jobs.clone<Answer>(); // a new anonymous channel on the same connection
  const spare: Job = { piece: -1, text, replyTo: reply };
  await (local ? loseTask(jobs, spare) : loseProcess(connection, hello, jobs, spare));

  console.log("2  Roll call: channels travel inside values");
  const ends = WORKERS.map(() => local ? inOrder(work(hello)) : spawn(connection, hello).ended);
  await brief(hello, jobs, WORKERS);
  console.log(`   ${WORKERS.join(", ")} each sent a mailbox, and found the jobs channel in it`);
  const rescued = await reply.get({ timeout: PATIENCE });
  console.log(`   ${rescued.worker} has answered the job that dee was waiting for\n`);

  console.log(`3  ${figure(JOBS)} jobs, each with the channel for its answer in it`);
  const pieces = cut(text, JOBS);
  const progress = new Progress(JOBS);
  const start = performance.now();
  const replies = REQUESTERS.map(() => jobs.clone<Answer>());
  const results = await Promise.all(replies.map((replyTo, mine) => {
    const share = pieces.filter(({ piece }) => piece % REQUESTERS.length === mine);
    return request(jobs, share, replyTo, progress);
  }));
  const seconds = (performance.now() - start) / 1000;
  progress.end();
  console.log(`   answered after ${seconds.toFixed(2)} s\n`);

  console.log("4  One closeAll ends every worker");
  await jobs.closeAll();
  const endings = (await Promise.all(ends)).filter(Boolean).length;
  console.log(`   ${endings} of ${ends.length} ended by themselves\n`);

  // A channel with a name stays, for whoever opens it anew.
  const again = new Channel<Job>({ name, connection, expires: LEASE });
  const left = await Promise.all([again, ...replies].map((channel) => channel.depth()));
  await Promise.all([again, ...replies].map((channel) => channel.delete()));

  printResults(results, seconds);
  const answers = results.flat();
  const answered = new Set(answers.map(({ piece }) => piece)).size;
  claim(
    `${figure(JOBS)} jobs, each answered once`,
    answered === JOBS && answers.length === JOBS && sum(left) === 0,
  );
  const words = merge(answers.map(({ words }) => words));
  claim(
    `${figure(sum([...words.values()]))} words, as one loop counts them`,
    equal(words, countWords(text)),
  );
  claim(`the job that dee left was answered`, equal(rescued.words, countWords(text)));
  claim("every worker ended by itself", endings === WORKERS.length);
}

/** A task waits for a job and gives up, just before there is one. */
async function loseTask(jobs: Channel<Job>, job: Job): Promise<void> {
  const patience = new AbortController();
  const dee = jobs.get({ signal: patience.signal }).catch((reason) => reason);
  patience.abort("dee has given up");
  await jobs.put(job);
  console.log(`   ${await dee}, and ${await jobs.depth()} job waits for another\n`);
}

/** A process is killed in the middle of a get, when the broker has sent it a job already. */
async function loseProcess(
  connection: string,
  hello: Hello,
  jobs: Channel<Job>,
  job: Job,
): Promise<void> {
  const { child: dee, ended } = spawn(connection, hello);
  const [mailbox] = await brief(hello, jobs, ["dee"]);
  for (;;) {
    dee.kill("SIGSTOP");
    await jobs.put(job);
    if (await drained(jobs)) break;
    dee.kill("SIGCONT"); // it had not come to its get: now it does the job
    await job.replyTo.get({ timeout: PATIENCE });
  }
  console.log("   dee waits, and is frozen; the broker has sent it the next job");
  const silence = await job.replyTo.get({ timeout: 200 }).catch((error) => error);
  dee.kill("SIGKILL");
  await ended;
  await mailbox!.delete(); // which dee cannot do any more
  claim("dee was killed in the middle of its get", silence instanceof ChannelTimeoutError);
  console.log("   dee is killed, and the broker takes the job back\n");
}

/** Whether all that was put is soon on its way to somebody. */
async function drained(jobs: Channel<Job>): Promise<boolean> {
  for (const deadline = Date.now() + 500; Date.now() < deadline; await delay(10)) {
    if (await jobs.depth() === 0) return true;
  }
  return false;
}

/** Starts a worker process; it knows the broker by its environment, and one channel's name. */
function spawn(connection: string, hello: Hello): {
  readonly child: Deno.ChildProcess;
  readonly ended: Promise<boolean>;
} {
  const worker = fileURLToPath(new URL("worker.ts", import.meta.url));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-env=CHANNELTS_URI", "--allow-net", worker, hello.name],
    env: { CHANNELTS_URI: connection },
    stdin: "null",
  }).spawn();
  processes.add(child);
  child.status.then(() => processes.delete(child));
  return { child, ended: child.status.then(({ success }) => success) };
}

/** Whether a worker task ended without an error. */
function inOrder(task: Promise<void>): Promise<boolean> {
  return task.then(() => true, (error) => {
    console.error(error);
    return false;
  });
}

/** Tells each worker that says hello its name and its work. */
async function brief(
  hello: Hello,
  jobs: Channel<Job>,
  names: string[],
): Promise<Channel<Briefing>[]> {
  const mailboxes: Channel<Briefing>[] = [];
  for (const name of names) {
    const mailbox = await hello.get({ timeout: PATIENCE });
    await mailbox.put({ name, jobs });
    mailboxes.push(mailbox);
  }
  return mailboxes;
}

/** Puts jobs and gets their answers, of which it waits for a few at a time. */
async function request(
  jobs: Channel<Job>,
  pieces: Piece[],
  replyTo: Channel<Answer>,
  progress: Progress,
): Promise<Result[]> {
  const asked = new Map<number, number>();
  const results: Result[] = [];
  const collect = async () => {
    const answer = await replyTo.get({ timeout: PATIENCE });
    results.push({ ...answer, latency: performance.now() - asked.get(answer.piece)! });
    progress.step();
  };
  for (const piece of pieces) {
    if (asked.size - results.length >= WINDOW) await collect();
    asked.set(piece.piece, performance.now());
    await jobs.put({ ...piece, replyTo });
  }
  while (results.length < asked.size) await collect();
  return results;
}

/** The text of this project's source. */
function source(): string {
  const directory = new URL("../src/", import.meta.url);
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" });
  const sources = files.filter((file) => file.endsWith(".ts")).sort();
  return sources.map((file) => readFileSync(new URL(file, directory), "utf8")).join("\n");
}

/** Cuts a text between words into pieces. */
function cut(text: string, count: number): Piece[] {
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

function equal(a: Map<string, number>, b: Map<string, number>): boolean {
  return a.size === b.size && [...a].every(([word, n]) => b.get(word) === n);
}

function claim(what: string, holds: boolean): void {
  proof.push([what, holds]);
}

function figure(n: number): string {
  return n.toLocaleString("en", { maximumFractionDigits: n < 10 ? 2 : 0 });
}

function printResults(results: Result[][], seconds: number): void {
  const answers = results.flat();
  printTable(
    ["worker", "jobs", "share", "words", "jobs/s"],
    WORKERS.map((worker) => {
      const own = answers.filter((answer) => answer.worker === worker);
      const words = merge(own.map(({ words }) => words));
      const share = `${figure(100 * own.length / answers.length)} %`;
      return [
        worker,
        figure(own.length),
        share,
        figure(sum([...words.values()])),
        figure(own.length / seconds),
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
  const { values } = parseArgs({
    options: {
      connection: { type: "string", default: "memory:" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const start = performance.now();
  await demo(values.connection);
  for (const [what, holds] of proof) console.log(`${holds ? "✔" : "✘ NOT SO:"} ${what}`);
  console.log(`\n${figure((performance.now() - start) / 1000)} s in all`);
  return proof.every(([, holds]) => holds) ? 0 : 1;
}

/** Milliseconds for the whole demo, which takes a few seconds. */
const LIMIT = 30_000;
const watchdog = setTimeout(() => end(new Error(`no end within ${LIMIT / 1000} s`)), LIMIT);
Deno.unrefTimer(watchdog);

/** Leaves no process behind. */
function end(error: unknown): never {
  console.error(`\nerror: ${error instanceof Error ? error.message : error}`);
  for (const child of processes) child.kill("SIGKILL");
  process.exit(1);
}

// There is nothing to close: the process ends when it waits for nothing more.
await main().then((code) => process.exitCode = code, end);
