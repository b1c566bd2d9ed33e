// Runs the tests on runtimes and brokers, and writes what came of them to a file, for run.ts:
// suites.ts RESULTS [--on=RUNTIME,…] [--brokers=one|two|all] [FILE…] [--filter TEXT] [flags of `deno test`]
//
// All tests run side by side, in lanes: a lane runs a file at a time, and has its broker to itself, because tests look
// at what is left there and have it raise alarms. Tests that are declared to measure time (`test.ts`) run after all
// others, with nothing beside them; they alone run once more if they fail. What is asked for by arguments runs in one
// lane, and prints at once; with --filter, those that measure time run in their place, once.
//
// The first broker is for all tests. On another one run the files of tests that use a broker: with --brokers=two on the
// first runtime alone, and without those of which the broker does not decide what happens.

import { spawn } from "node:child_process";
import {
  closeSync,
  globSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Brokers, findFurther, findSupply, type Supply } from "./broker.ts";
import { say } from "./keeper.ts";
import { type BrokerResult, Lane } from "./lane.ts";
import { newReport, readEvents, readReport, type Report, TEST_TIMEOUT, TIMED } from "./report.ts";
import { findRuntime, type Runtime, type RuntimeName } from "./runtimes.ts";

/** What came of the tests on one runtime, and on the first broker or another one. */
export interface Result extends Report {
  /** The runtime's name and version, and those of another broker than the first. */
  title: string;
  /** Tests that measure time, failed, and passed in their second run. */
  again: string[];
}

/** What came of all. */
export interface Results {
  results: Result[];
  brokers: BrokerResult[];
}

/** Files of tests that Bun and Node do not run unless they are asked to, and why. */
const DENO_ONLY: Record<string, string> = {
  "connect_test.ts": "waits for a minute, most of it for brokers that are stopped and started",
  "bundle_test.ts": "has Deno bundle the codec",
  "ended_connections_test.ts":
    "commands its broker for a minute, and no runtime decides what that answers",
  "examples_test.ts": "runs the examples as the README says: by Deno",
  "drain_races_test.ts": "asks what a broker does in a race, which no runtime decides",
  "exit_test.ts": "starts the other runtimes itself",
  "faults_test.ts": "waits for two minutes for a private broker, its restarts and its heartbeats",
  "go_test.ts":
    "compares channels with Go's, which the conformance suite does on each runtime, too",
  "growth_test.ts": "measures what does not depend on the runtime",
  "heap_test.ts": "tests what does not depend on the runtime",
  "topology_races_test.ts": "asks what a broker does in a race, which no runtime decides",
  "turns_test.ts": "starts the other runtimes itself",
  "guides_test.ts": "has Deno check the guides' snippets",
  "least_privilege_test.ts": "asks what a broker refuses to whom, which no runtime decides",
  "stopped_listener_test.ts": "stops a process with signals, and asks the broker",
  "leaks_test.ts": "starts the other runtimes itself",
  "model_test.ts": "looks for what other tests have not thought of, for as long as there is time",
  "outbox_test.ts": "asks what becomes of puts when connections are lost, which no runtime decides",
  "processes_test.ts": "asks how processes divide values, which no runtime decides",
  "queues_test.ts": "asks what a broker keeps, which no runtime decides",
  "refusals_test.ts": "asks what a broker refuses, which no runtime decides",
  "readme_test.ts": "has Deno check and run the README's code",
  "sizes_test.ts": "asks what a broker refuses, which no runtime decides",
  "soak_test.ts": "waits for half a minute for a private broker and its mishaps",
  "cluster_test.ts": "waits for a minute for three private brokers and their cluster",
  "runtimes_test.ts": "starts the other runtimes itself",
  "unhandled_test.ts": "starts the other runtimes itself",
};

/** Those that mostly wait, for brokers of their own: never two at a time, unless nothing else is left. */
const WAITING = [
  "faults_test.ts",
  "connect_test.ts",
  "cluster_test.ts",
  "soak_test.ts",
  "exit_test.ts",
];

/** Those that take longest: they begin first, so that none of them is the last. */
const LONG = [
  "amqp_test.ts",
  "outbox_test.ts",
  "codec_test.ts",
  "examples_test.ts",
  "sqlite_test.ts",
  "memory_test.ts",
  "connection_test.ts",
  "tls_test.ts",
  "sqlite_processes_test.ts",
  "processes_test.ts",
  "model_test.ts",
  "requests_test.ts",
];

/** Files of tests that use a broker, do not run on a second one unless all are to, and why. */
const ONE_BROKER: Record<string, string> = {
  "connection_test.ts": "asks what users are told of a connection, which no version decides",
  "examples_test.ts":
    "runs the examples, which have no more to do with the broker than other tests",
  "exit_test.ts": "asks when a runtime ends",
  "go_test.ts": "compares channels with Go's, which memory decides",
  "leaks_test.ts": "asks what a runtime keeps",
  "model_test.ts": "looks for what other tests have not thought of, for as long as there is time",
  "processes_test.ts": "asks how processes divide values, which amqp_test.ts does, too",
  "soak_test.ts": "looks for what other tests have not thought of, for as long as there is time",
  "tls_test.ts": "asks what TLS libraries say",
};

/** How many files of tests run at a time: most of them wait most of their time. */
const LANES = Number(process.env.TEST_LANES || 4);

/** How many lanes are enough for two processors without the one in which nothing happens for most of the time. */
const many = 4;

const TESTS = fileURLToPath(new URL("..", import.meta.url));
const ROOT = resolve(TESTS, "..");

/** Variables of a process. */
type Variables = Record<string, string>;

/** A RabbitMQ to run on, and what it is beside the first one: nothing for that. */
interface Source {
  readonly further?: string;
  /** Rejects where it cannot be had. */
  readonly supply: Promise<Supply>;
}

/** What runs in a process of its own. */
interface Part {
  runtime: Runtime;
  source: Source;
  /** What it runs, for people. */
  label: string;
  /** Whether those that measure time run, too. */
  timed: boolean;
  run(report: string, how: How, which: Which): Promise<Report>;
}

/** Which tests of a part: all but those that measure time, or those. */
type Which = "untimed" | "timed";

/** What {@linkcode test} of `test.ts` is told. */
const variable = (which: Which): Variables => ({ TEST_TIMED: which === "untimed" ? "later" : "" });

/** How {@linkcode run} runs a program. */
interface How {
  cwd?: string;
  env?: Variables;
  /** A file that is to take what it prints. */
  output?: string;
  /** A file that it writes as it goes on: it is killed when it has not done so for too long. */
  progress?: string;
}

async function main(file: string, args: string[]): Promise<void> {
  const names = (option(args, "on") ?? "deno").split(",") as RuntimeName[];
  const which = (option(args, "brokers") ?? "one") as Brokers;
  const asked = args.filter((arg) => !/^--(on|brokers)=/.test(arg));
  const stop = new AbortController();
  process.on("SIGINT", () => stop.abort()); // which ends the tests that run, too: they still print
  // All are found before the first runs: one may have to be fetched, or be missing.
  const first = await findSupply(stop.signal);
  const further = findFurther(which, stop.signal);
  const found = await Promise.all(names.map((name) =>
    findRuntime(name).catch((error: Error) => {
      say(`error: ${error.message}`);
      return { name, title: name, error };
    })
  ));
  if (names.some((name) => name !== "deno")) {
    // node_modules, which is where the others find what deno.json names.
    const [deno] = (await findRuntime("deno")).command;
    await run([deno, "install", "--quiet", "--frozen"]);
  }
  const all: Results = { results: [], brokers: [] };
  const save = () => writeFileSync(file, JSON.stringify(all));
  const record: Recorder = (title, report, again = []) => {
    let result = all.results.find((each) => each.title === title);
    if (!result) all.results.push(result = { title, ...newReport(), again: [] });
    result.passed += report.passed;
    result.failed.push(...report.failed);
    result.skipped.push(...report.skipped);
    result.timed.push(...report.timed);
    result.again.push(...again);
    save();
  };
  const recordBroker = (broker: BrokerResult) => {
    const result = all.brokers.find(({ version }) => version === broker.version);
    if (!result) all.brokers.push(broker);
    else {
      result.restarted += broker.restarted;
      result.failed.push(...broker.failed);
    }
    save();
  };
  const runtimes: Runtime[] = [];
  for (const runtime of found) {
    if ("error" in runtime) record(runtime.title, newReport(runtime.error.message));
    else runtimes.push(runtime);
  }
  const sources: Source[] = [
    { supply: Promise.resolve(first) },
    ...further.map(({ title, ready }) => ({ further: title, supply: ready })),
  ];
  const restarts = asked.length === 0 || which !== "one"; // not each time that a test is tried
  const lanes = Array.from(
    { length: asked.length === 0 ? LANES : 1 },
    () => new Lane(stop.signal, restarts, recordBroker),
  );
  try {
    if (asked.length === 0) {
      // By runtime: what takes long is not the last on any broker.
      const all = sources.flatMap((source) => partsOn(source, runtimes, which));
      const parts = runtimes.flatMap((runtime) => all.filter((part) => part.runtime === runtime));
      await runLanes(parts, lanes, file, record, stop.signal);
    } else {
      for (const source of sources) {
        for (const runtime of runtimes) {
          if (!stop.signal.aborted) await runAsked(runtime, source, lanes[0]!, asked, file, record);
        }
      }
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    await Promise.all(lanes.map((lane) => lane.end()));
  }
}

/** The value of an option: of the last of several. */
function option(args: string[], name: string): string | undefined {
  const start = `--${name}=`;
  return args.findLast((arg) => arg.startsWith(start))?.slice(start.length);
}

/** A runtime and a broker, for people. */
function titleOf(runtime: Runtime, { further }: Source, version: string): string {
  return further === undefined ? runtime.title : `${runtime.title} with RabbitMQ ${version}`;
}

/** Why tests are skipped whose broker cannot be had. */
function missing({ further }: Source, error: unknown): string {
  return `${further} could not be had: ${(error as Error).message}`;
}

/** Runs the tests that arguments ask for on a runtime and a broker. */
async function runAsked(
  runtime: Runtime,
  source: Source,
  lane: Lane,
  args: string[],
  results: string,
  record: Recorder,
): Promise<void> {
  let supply: Supply;
  try {
    supply = await source.supply;
  } catch (error) {
    return record(runtime.title, { ...newReport(), skipped: [missing(source, error)] });
  }
  const { version, variables } = await lane.use(supply);
  const title = titleOf(runtime, source, version);
  say(`the tests on ${title}`);
  const unchecked = args.includes("--no-check") ? [] : ["--no-check"]; // they are checked before
  const run = (args: string[], which: Which) => {
    const how = { env: { ...variables, ...variable(which) } };
    return runtime.name === "deno"
      ? denoTest(runtime, [...unchecked, ...args], `${results}.xml`, how)
      : portableTests(runtime, args, `${results}.lines`, how);
  };
  if (runtime.name === "deno" && !await isChecked(runtime, args)) {
    return record(title, newReport("the types of tests are wrong"));
  }
  const report = await run(args, filterOf(args) === "" ? "untimed" : "timed");
  if (report.passed + report.failed.length + report.timed.length === 0) {
    report.failed.push("there was no test to run");
  }
  record(title, report);
  if (report.timed.length > 0) {
    const timed = () => run([...args, `--filter=${TIMED}`], "timed");
    await runTimed(timed, (report, again) => record(title, report, again));
  }
}

/** Adds to what came of the tests on a runtime and a broker. */
type Recorder = (title: string, report: Report, again?: string[]) => void;

/** Runs tests that measure time: once more if one fails. */
async function runTimed(
  run: () => Promise<Report>,
  record: (report: Report, again: string[]) => void,
): Promise<void> {
  const first = await run();
  const last = first.failed.length > 0 ? await run() : first;
  const again = first.failed.filter((what) => !last.failed.includes(what));
  record({ ...newReport(...last.failed), passed: last.passed }, again);
}

/** Runs all tests, as many parts at a time as there are lanes; each prints when it has ended. */
async function runLanes(
  parts: Part[],
  lanes: Lane[],
  results: string,
  record: Recorder,
  signal: AbortSignal,
): Promise<void> {
  const isWaiting = ({ label }: Part) => WAITING.includes(basename(label));
  const total = parts.length;
  const timed: { part: Part; title: string }[] = [];
  const skipped: { part: Part; reason: string }[] = [];
  const first = new Map<string, Report>();
  const keyOf = ({ runtime, label }: Part) => `${label} on ${runtime.title}`;
  let ended = 0;
  const run = async (part: Part, i: number, which: Which, when: () => string) => {
    const { runtime, label, source } = part;
    const { version, variables } = await lanes[i]!.use(await source.supply);
    const title = titleOf(runtime, source, version);
    const [file, output] = [`${results}.${i}.report`, `${results}.${i}.out`];
    for (const each of [file, output]) rmSync(each, { force: true });
    const start = performance.now();
    const env = { ...variables, ...variable(which) };
    const report = await part.run(file, { env, output }, which);
    const seconds = Math.round((performance.now() - start) / 1000);
    const heading = `${label} on ${title}, ${seconds} s (${when()})`;
    process.stdout.write(`\n--- ${heading}\n${readFileSync(output, "utf8").trim()}\n`);
    return { title, report };
  };
  say(`${total} parts in ${lanes.length} lanes: each prints when it has ended`);
  await Promise.all(lanes.map(async (_, i) => {
    while (!signal.aborted) {
      // The first lane has those that wait, one after the other; of many lanes, it has nothing else.
      const next = parts.findIndex((part) => isWaiting(part) === (i === 0));
      if (next < 0 && i === 0 && lanes.length >= many) return;
      const [part] = parts.splice(Math.max(next, 0), 1);
      if (part === undefined) return;
      const without = await part.source.supply.then(() => "", (why) => missing(part.source, why));
      if (without !== "") {
        ended++;
        skipped.push({ part, reason: without });
        continue;
      }
      const { title, report } = await run(part, i, "untimed", () => `${++ended} of ${total}`);
      if (part.source.further === undefined) first.set(keyOf(part), report);
      record(title, part.timed ? report : { ...report, timed: [] });
      if (part.timed && report.timed.length > 0) timed.push({ part, title });
    }
  }));
  // As many as ran on the first broker.
  for (const { part, reason } of skipped) {
    const { passed, failed, skipped, timed } = first.get(keyOf(part)) ?? newReport(reason);
    const count = passed + failed.length + skipped.length + (part.timed ? timed.length : 0);
    const each = Array<string>(count).fill(reason);
    record(part.runtime.title, { ...newReport(), skipped: each });
  }
  await Promise.all(lanes.map((lane, i) => i > 0 || timed.length === 0 ? lane.end() : undefined));
  for (const { part, title } of timed) {
    if (signal.aborted) return;
    await runTimed(
      async () => (await run(part, 0, "timed", () => "alone: it measures time")).report,
      (report, again) => record(title, report, again),
    );
  }
}

/** What of the tests runs on a broker. */
function partsOn(source: Source, runtimes: Runtime[], which: Brokers): Part[] {
  if (source.further === undefined) return runtimes.flatMap((runtime) => partsOf(runtime, source));
  if (which === "all") return runtimes.flatMap((runtime) => partsOf(runtime, source, usesBroker));
  const decided = (file: string) => usesBroker(file) && !(basename(file) in ONE_BROKER);
  return runtimes.slice(0, 1).flatMap((runtime) => partsOf(runtime, source, decided))
    .map((part) => ({ ...part, timed: false }));
}

/** Whether the tests in a file use a broker, by what it names. */
function usesBroker(file: string): boolean {
  return /\bBROKER\b|\bstart(PrivateBroker|Cluster)\b/.test(readFileSync(file, "utf8"));
}

/**
 * Tests of a runtime on a broker, those first that take longest.
 *
 * @param isWanted tells the files; without it, it is all there is to test
 */
function partsOf(runtime: Runtime, source: Source, isWanted?: (file: string) => boolean): Part[] {
  const rank = (file: string) => {
    const rank = [...WAITING, ...LONG].indexOf(basename(file));
    return rank < 0 ? Infinity : rank;
  };
  const files = testFiles().filter(isWanted ?? (() => true))
    .toSorted((a, b) => rank(a) - rank(b) || 0);
  const label = (file: string) => relative(ROOT, file);
  const common = { runtime, source, timed: true };
  if (runtime.name !== "deno") {
    return files.filter((file) => !(basename(file) in DENO_ONLY)).map((file) => ({
      ...common,
      label: label(file),
      run: (report, how, which) =>
        portableTest(runtime, file, which === "timed" ? TIMED : "", report, how),
    }));
  }
  const deno = async (label: string, args: string[], report: string, how: How) => {
    const { failed, ...others } = await denoTest(runtime, args, report, how);
    return { ...others, failed: failed.map((what) => `${label}: ${what}`) };
  };
  return [
    // Types are checked once, for all files together: else it were most of what each of them costs.
    ...isWanted ? [] : [{
      ...common,
      label: "types, and code in documentation",
      async run(report: string, how: How) {
        if (!await isChecked(runtime, [], how)) return newReport("the types of tests are wrong");
        return await deno(this.label, ["--no-check", `--ignore=${TESTS}`], report, how);
      },
    }],
    ...files.map((file): Part => ({
      ...common,
      label: label(file),
      run(report, how, which) {
        const filter = which === "timed" ? [`--filter=${TIMED}`] : [];
        return deno(label(file), ["--no-check", ...filter, file], report, how);
      },
    })),
  ];
}

/** Checks the types of tests, once for all files and for the Workers that they start, each of which would do so. */
async function isChecked(runtime: Runtime, args: string[], how?: How): Promise<boolean> {
  const check = ["test", "--doc", "--frozen", "--no-run", ...args];
  return (await run([runtime.command[0], ...check], { cwd: process.cwd(), ...how })).code === 0;
}

/** `deno test` as this project runs it; `args` of the caller come last. */
async function denoTest(
  runtime: Runtime,
  args: string[],
  report: string,
  how: How = {},
): Promise<Report> {
  const frozen = args.some((arg) => arg.startsWith("--frozen")) ? [] : ["--frozen"];
  const { code, ending } = await run(
    [runtime.command[0], "test", "-A", "--doc", ...frozen, `--junit-path=${report}`, ...args],
    { cwd: process.cwd(), ...how, ...how.output && { progress: how.output } },
  );
  return readReport(report, code === 0 ? undefined : ending, filterOf(args));
}

/** The tests on a runtime that has no `Deno.test`: each file in a process of its own. */
async function portableTests(
  runtime: Runtime,
  args: string[],
  report: string,
  how: How,
): Promise<Report> {
  const { files, filter } = selection(args);
  const total = newReport();
  for (const file of files) {
    process.stdout.write(`\nrunning ${relative(ROOT, file)} on ${runtime.title}\n`);
    rmSync(report, { force: true });
    const part = await portableTest(runtime, file, filter, report, how);
    if (filter !== "" && part.passed + part.failed.length + part.skipped.length === 0) continue;
    total.passed += part.passed;
    total.failed.push(...part.failed);
    total.skipped.push(...part.skipped);
    total.timed.push(...part.timed);
  }
  return total;
}

async function portableTest(
  runtime: Runtime,
  file: string,
  filter: string,
  report: string,
  how: How = {},
): Promise<Report> {
  const program = fileURLToPath(new URL("run_file.ts", import.meta.url));
  const { code, ending } = await run([...runtime.command, program, file, report, filter], {
    ...how,
    progress: report,
  });
  return readEvents(report, relative(ROOT, file), code === 0 ? undefined : ending);
}

/** The files that were asked for, or all; and what the tests' names must contain. */
function selection(args: string[]): { files: string[]; filter: string } {
  const asked: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--filter") i++;
    else if (!arg.startsWith("-")) asked.push(resolve(arg));
    else if (!arg.startsWith("--filter=")) {
      throw new Error(`${arg} is not known here; known are --filter TEXT, and files`);
    }
  }
  const files = testFiles().filter((file) => !(basename(file) in DENO_ONLY));
  return { files: asked.length > 0 ? asked : files, filter: filterOf(args) };
}

/** What the names of the tests that were asked for must contain. */
function filterOf(args: string[]): string {
  const i = args.findLastIndex((arg) => arg === "--filter" || arg.startsWith("--filter="));
  if (i < 0) return "";
  return args[i] === "--filter" ? args[i + 1] ?? "" : args[i]!.slice("--filter=".length);
}

function testFiles(): string[] {
  return globSync("**/*_test.ts", { cwd: TESTS }).map((file) => join(TESTS, file)).sort();
}

/** Runs a program to its end. */
function run(
  [program, ...args]: string[],
  { cwd = ROOT, env, output, progress }: How = {},
): Promise<{ code: number | null; ending: string }> {
  return new Promise((resolve, reject) => {
    const prints = output === undefined ? "inherit" : openSync(output, "a");
    const child = spawn(program!, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", prints, prints],
    });
    if (prints !== "inherit") closeSync(prints);
    let silent = false;
    const start = Date.now();
    const watch = progress && setInterval(() => {
      const last = statSync(progress, { throwIfNoEntry: false })?.mtimeMs ?? start;
      if (Date.now() - Math.max(last, start) < TEST_TIMEOUT + 30_000) return;
      silent = true;
      process.kill(child.pid!, "SIGKILL");
    }, 1000);
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      clearInterval(watch || undefined);
      const ending = silent
        ? "its process did nothing for too long, and was killed,"
        : `its process ended with ${signal ?? `code ${code}`}`;
      resolve({ code: silent ? 1 : code, ending });
    });
  });
}

if (import.meta.main) {
  const [results, ...args] = process.argv.slice(2) as [string, ...string[]];
  await main(results, args);
}
