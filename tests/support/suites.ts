// Runs the tests on the requested runtimes and brokers and writes the results to a file for run.ts:
// suites.ts RESULTS [--on=RUNTIME,…] [--brokers=one|two|all] [FILE…] [--filter TEXT] [flags of `deno test`]
//
// The full suite runs in parallel lanes (`schedule.ts`). A lane runs one file at a time and has a broker of its own, because
// tests inspect what remains on their broker and make it raise alarms. Tests that measure time (see `test.ts`) run after all
// others, two files at a time on two cores; only they run a second time if they fail, and then alone on the machine. Files named by arguments run in one lane and
// print at once; with --filter, tests that measure time run in place, once.
//
// All tests run on the first broker and the first Redis. On a further broker, only files whose tests use a broker run. With
// --brokers=two, they run only on the first runtime, without the files in ONE_BROKER. On a further Redis, only files whose
// tests use a Redis run; with --brokers=two, only those in EACH_REDIS on the first runtime.

import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, relative, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Brokers, findFurther, findSupply, type Supply, variablesOf } from "./broker.ts";
import { type BrokerResult, Lane } from "./lane.ts";
import {
  errorIn,
  type Failure,
  newReport,
  read,
  readEvents,
  readReport,
  type Report,
  TIMED,
} from "./report.ts";
import { findFurtherRedis, type RedisSupply } from "./redis_servers.ts";
import { type RunOptions, runProgram } from "./run_program.ts";
import { findRuntime, nameRuntime, type Runtime, type RuntimeName } from "./runtimes.ts";
import { type Plan, Schedule } from "./schedule.ts";
import { logLine } from "./supervisor.ts";
import {
  ALONE,
  DENO_ONLY,
  EACH_REDIS,
  LONG,
  ONE_BROKER,
  ROOT,
  testFiles,
  TESTS,
  usesBroker,
  usesLanesBroker,
  usesRedis,
  WAITING,
} from "./test_files.ts";

/** The results of the tests on one runtime and one broker. */
export interface Result extends Report {
  /** The runtime's name and version; on a further broker, also the broker's version. */
  title: string;
  /** Tests that measure time, failed, and passed in their second run. */
  again: Failure[];
}

/** The results of all tests. */
export interface Results {
  results: Result[];
  brokers: BrokerResult[];
}

/** How many files run at a time. Most files spend most of their time waiting. */
const LANES = Number(process.env.TEST_LANES || 6);

/** Environment variables. */
type Variables = Record<string, string>;

/** What to test on: a RabbitMQ, or a further Redis. `further` is its title if it is not the first RabbitMQ. */
interface Source {
  readonly further?: string;
  /** Reports whether the tests of a file use it. */
  readonly isUsedBy: (file: string) => boolean;
  /** Rejects if it is not available. */
  readonly supply: Promise<Supply | RedisSupply>;
}

/** A unit of work that runs in a process of its own. */
interface Part extends Plan {
  runtime: Runtime;
  source: Source;
  /** The name that is printed. */
  label: string;
  /** Whether tests that measure time run too. */
  timed: boolean;
  run(report: string, options: RunOptions, which: Timing): Promise<Report>;
}

/** Which tests of a part run: all but those that measure time, or only those. */
type Timing = "untimed" | "timed";

/** The variables for {@linkcode test} of `test.ts`. */
const variable = (which: Timing): Variables => ({ TEST_TIMED: which === "untimed" ? "later" : "" });

/** The variable for `decidedOnFirstBroker` of `conditions.ts`. */
const furtherVariable = ({ further }: Source): Variables => ({
  TEST_FURTHER: further === undefined ? "" : "yes",
});

async function main(file: string, args: string[]): Promise<void> {
  const names = (option(args, "on") ?? "deno").split(",") as RuntimeName[];
  const which = (option(args, "brokers") ?? "one") as Brokers;
  const asked = args.filter((arg) => !/^--(on|brokers)=/.test(arg));
  const stop = new AbortController();
  process.on("SIGINT", () => stop.abort()); // also ends the running tests, which still print
  // All runtimes are found before the first one runs: one may be missing or have to be fetched.
  const first = await findSupply(stop.signal);
  const [further, furtherRedis] = [
    findFurther(which, stop.signal),
    await findFurtherRedis(which, stop.signal),
  ];
  const found = await Promise.all(names.map((name) =>
    findRuntime(name).catch((error: Error) => {
      logLine(`error: ${error.message}`);
      return { name, title: name, error };
    })
  ));
  if (names.some((name) => name !== "deno")) {
    // The other runtimes find the packages that deno.json names in node_modules.
    const [deno] = (await findRuntime("deno")).command;
    await runProgram([deno, "install", "--quiet", "--frozen"]);
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
    if ("error" in runtime) {
      record(
        runtime.title,
        newReport({ what: "the runtime is missing", error: runtime.error.message }),
      );
    } else {
      runtimes.push(runtime);
      nameRuntime(runtime); // a test that starts it need not search for it
    }
  }
  const sources: Source[] = [
    { supply: Promise.resolve(first), isUsedBy: () => true },
    ...further.map(({ title, ready }) => ({ further: title, supply: ready, isUsedBy: usesBroker })),
    ...furtherRedis.map(({ title, ready, isUsedBy }) => ({
      further: title,
      supply: ready,
      isUsedBy,
    })),
  ];
  const restarts = asked.length === 0 || which !== "one"; // not each time that a single test is tried
  const lanes = Array.from(
    { length: asked.length === 0 ? LANES : 1 },
    () => new Lane(stop.signal, restarts, recordBroker),
  );
  try {
    if (asked.length === 0) {
      // Sorted by runtime, so that on no broker the long parts come last.
      const all = sources.flatMap((source) => partsOn(source, runtimes, which));
      const parts = runtimes.flatMap((runtime) => all.filter((part) => part.runtime === runtime));
      const isShared = which !== "all" && runtimes.length === 3;
      const share: Variables = isShared ? { TEST_SHARE: "yes" } : {};
      await runLanes(parts, lanes, share, file, record, stop.signal);
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

/** Returns the value of an option. If it is given several times, the last one counts. */
function option(args: string[], name: string): string | undefined {
  const start = `--${name}=`;
  return args.findLast((arg) => arg.startsWith(start))?.slice(start.length);
}

/** Returns the title of the tests on a runtime and a source, and their variables. A lane starts its broker if `startsBroker`. */
async function prepare(
  runtime: Runtime,
  source: Source,
  lane: Lane,
  startsBroker: boolean,
): Promise<{ title: string; variables: Variables }> {
  const supply = await source.supply;
  if ("title" in supply) {
    return { title: `${runtime.title} with ${supply.title}`, variables: { ...supply.env } };
  }
  const titleOf = (version: string) =>
    source.further === undefined ? runtime.title : `${runtime.title} with RabbitMQ ${version}`;
  if (!startsBroker) {
    return { title: titleOf(supply.version ?? ""), variables: variablesOf(supply) };
  }
  const { version, variables } = await lane.use(supply);
  return { title: titleOf(version), variables };
}

/** The reason why tests are skipped whose broker is not available. */
function unavailable({ further }: Source, error: unknown): string {
  return `${further} is not available: ${(error as Error).message}`;
}

/** Runs the tests that are named by arguments on one runtime and one broker. */
async function runAsked(
  runtime: Runtime,
  source: Source,
  lane: Lane,
  args: string[],
  results: string,
  record: Recorder,
): Promise<void> {
  const named = args.filter((arg) => !arg.startsWith("-") && existsSync(arg));
  if (source.further !== undefined) {
    const isUnused = (arg: string) => arg.endsWith("_test.ts") && !source.isUsedBy(resolve(arg));
    if (named.length === 0) args = [...args, ...testFiles().filter(source.isUsedBy)];
    else if (named.every(isUnused)) return;
    else args = args.filter((arg) => !named.includes(arg) || !isUnused(arg));
  }
  const usesNoBroker = (arg: string) => arg.endsWith("_test.ts") && !usesLanesBroker(arg);
  const startsBroker = named.length === 0 || !named.every(usesNoBroker);
  let prepared: { title: string; variables: Variables };
  try {
    prepared = await prepare(runtime, source, lane, startsBroker);
  } catch (error) {
    return record(runtime.title, { ...newReport(), skipped: [unavailable(source, error)] });
  }
  const { title, variables } = prepared;
  logLine(`the tests on ${title}`);
  const unchecked = args.includes("--no-check") ? [] : ["--no-check"]; // the types were checked before
  const run = (args: string[], which: Timing) => {
    const options = { env: { ...variables, ...furtherVariable(source), ...variable(which) } };
    return runtime.name === "deno"
      ? denoTest(runtime, [...unchecked, ...args], `${results}.xml`, options)
      : portableTests(runtime, args, `${results}.lines`, options);
  };
  if (runtime.name === "deno" && !await isChecked(runtime, args)) {
    return record(title, newReport(wrongTypes()));
  }
  const report = await run(args, filterOf(args) === "" ? "untimed" : "timed");
  const { passed, failed, skipped, timed } = report;
  if (passed + failed.length + skipped.length + timed.length === 0) {
    report.failed.push({ what: "there was no test to run", error: "" });
  }
  record(title, report);
  if (report.timed.length > 0) {
    const timed = () => run([...args, `--filter=${TIMED}`], "timed");
    await runTimed(timed, (report, again) => record(title, report, again));
  }
}

/** Adds a report to the results of a runtime and a broker. */
type Recorder = (title: string, report: Report, again?: Failure[]) => void;

/** Runs the tests that measure time, and runs them once more if one fails. */
async function runTimed(
  run: () => Promise<Report>,
  record: (report: Report, again: Failure[]) => void,
): Promise<void> {
  const first = await run();
  recordTimed(first, first.failed.length > 0 ? await run() : first, record);
}

/** Records the last of one or two runs of tests that measure time. */
function recordTimed(
  first: Report,
  last: Report,
  record: (report: Report, again: Failure[]) => void,
): void {
  const again = first.failed.filter(({ what }) => !last.failed.some((each) => each.what === what));
  record({ ...newReport(...last.failed), passed: last.passed }, again);
}

/** Runs all parts, one at a time in each lane. A part prints when it has ended. */
async function runLanes(
  parts: Part[],
  lanes: Lane[],
  share: Variables,
  results: string,
  record: Recorder,
  signal: AbortSignal,
): Promise<void> {
  const total = parts.length;
  const timed: { part: Part; title: string }[] = [];
  const skipped: { part: Part; reason: string }[] = [];
  const first = new Map<string, Report>();
  const keyOf = ({ runtime, label }: Part) => `${label} on ${runtime.title}`;
  let ended = 0;
  const ready = new Set<object>();
  for (const { source } of parts) source.supply.catch(() => {}).then(() => ready.add(source));
  const schedule = new Schedule(parts, lanes.length, (source) => ready.has(source));
  const begin = performance.now();
  const secondsSince = (start: number) => Math.round((performance.now() - start) / 1000);
  const run = async (part: Part, i: number, which: Timing, when: () => string) => {
    const { runtime, label, source } = part;
    const { title, variables } = await prepare(runtime, source, lanes[i]!, part.usesBroker);
    const [file, output] = [`${results}.${i}.report`, `${results}.${i}.out`];
    for (const each of [file, output]) rmSync(each, { force: true });
    const start = performance.now();
    const env = { ...variables, ...share, ...furtherVariable(source), ...variable(which) };
    const report = await part.run(file, { env, output }, which);
    const [took, at] = [secondsSince(start), secondsSince(begin)];
    const heading = `${label} on ${title}, ${took} s${cpuTime()} (${when()}, at ${at} s)`;
    process.stdout.write(`\n--- ${heading}\n${read(output).trim()}\n`);
    return { title, report };
  };
  logLine(`${total} parts in ${lanes.length} lanes: each part prints when it has ended`);
  await Promise.all(lanes.map(async (_, i) => {
    while (!signal.aborted) {
      const part = schedule.take(i);
      if (part === undefined) return i > 0 ? await lanes[i]!.end() : undefined;
      const without = await part.source.supply.then(
        () => "",
        (why) => unavailable(part.source, why),
      );
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
  // Counts as many skipped tests as ran on the first broker.
  for (const { part, reason } of skipped) {
    const { passed, failed, skipped, timed } = first.get(keyOf(part)) ??
      newReport({ what: reason, error: "" });
    const count = passed + failed.length + skipped.length + (part.timed ? timed.length : 0);
    const each = Array<string>(count).fill(reason);
    record(part.runtime.title, { ...newReport(), skipped: each });
  }
  // Only the first lane has a broker now. Afterwards, what keeps both cores busy or has failed runs alone.
  const failed: { part: Part; title: string; report: Report }[] = [];
  const measure = async (lane: number, isWanted: (part: Part) => boolean, beside: string) => {
    for (;;) {
      const i = timed.findIndex(({ part }) => isWanted(part));
      if (i < 0 || signal.aborted) return;
      const [{ part, title }] = timed.splice(i, 1) as [typeof timed[number]];
      const { report } = await run(part, lane, "timed", () => `${beside}: it measures time`);
      if (report.failed.length > 0) failed.push({ part, title, report });
      else record(title, { ...newReport(), passed: report.passed });
    }
  };
  const isAlone = ({ label }: Part) => basename(label) in ALONE;
  await Promise.all([
    measure(0, (part) => part.usesBroker && !isAlone(part), "beside another")
      .then(() => measure(0, (part) => !isAlone(part), "beside another")),
    measure(1, (part) => !part.usesBroker && !isAlone(part), "beside another"),
  ]);
  await measure(0, isAlone, "alone");
  for (const { part, title, report } of failed) {
    if (signal.aborted) return;
    const again = async () => (await run(part, 0, "timed", () => "again, alone")).report;
    recordTimed(report, await again(), (report, again) => record(title, report, again));
  }
}

/** The CPU time of this process's children when a part last ended, in seconds. */
let lastCpuTime = 0;

/**
 * Returns the CPU time of the children that have ended since the last call, where proc(5) shows it. When a part has
 * ended, this is the time of its processes, and that of a lane's broker which has ended before.
 */
function cpuTime(): string {
  try {
    const fields = readFileSync("/proc/self/stat", "utf8").replace(/^.*\) /s, "").split(" ");
    const seconds = (Number(fields[13]) + Number(fields[14])) / 100; // cutime and cstime
    const since = Math.round(seconds - lastCpuTime);
    lastCpuTime = seconds;
    return `, ${since} s of CPU`;
  } catch {
    return "";
  }
}

/** The parts that run on a broker. */
function partsOn(source: Source, runtimes: Runtime[], which: Brokers): Part[] {
  if (source.further === undefined) return runtimes.flatMap((runtime) => partsOf(runtime, source));
  const { isUsedBy } = source;
  if (which === "all") return runtimes.flatMap((runtime) => partsOf(runtime, source, isUsedBy));
  const decided = (file: string) =>
    isUsedBy(file) &&
    (usesRedis(file) ? basename(file) in EACH_REDIS : !(basename(file) in ONE_BROKER));
  return runtimes.slice(0, 1).flatMap((runtime) => partsOf(runtime, source, decided))
    .map((part) => ({ ...part, timed: false }));
}

/**
 * The parts of a runtime on a broker, the longest first.
 *
 * @param isWanted selects the files; without it, all parts are returned
 */
function partsOf(
  runtime: Runtime,
  source: Source,
  isWanted?: (file: string) => boolean,
): Part[] {
  const rank = (file: string) => {
    const rank = [...WAITING, ...LONG].indexOf(basename(file));
    return rank < 0 ? Infinity : rank;
  };
  const files = testFiles().filter(isWanted ?? (() => true))
    .toSorted((a, b) => rank(a) - rank(b) || 0);
  const label = (file: string) => relative(ROOT, file);
  const common = { runtime, source, timed: true };
  const plan = (file: string) => {
    const isWaiting = WAITING.includes(basename(file));
    const sharesBroker = usesLanesBroker(file);
    return {
      usesBroker: sharesBroker,
      waits: isWaiting && !(sharesBroker && source.further !== undefined),
    };
  };
  if (runtime.name !== "deno") {
    return files.filter((file) => !(basename(file) in DENO_ONLY)).map((file) => ({
      ...common,
      label: label(file),
      ...plan(file),
      run: (report, options, which) =>
        portableTest(runtime, file, which === "timed" ? TIMED : "", report, options),
    }));
  }
  const deno = async (label: string, args: string[], report: string, options: RunOptions) => {
    const { failed, ...others } = await denoTest(runtime, args, report, options);
    return {
      ...others,
      failed: failed.map(({ what, error }) => ({ what: `${label}: ${what}`, error })),
    };
  };
  return [
    // Types are checked once for all files together. For each file separately, this would take most of its time.
    ...isWanted ? [] : [{
      ...common,
      ...{ usesBroker: false, waits: false },
      label: "types, and code in documentation",
      async run(report: string, options: RunOptions) {
        if (!await isChecked(runtime, [], options)) {
          return newReport(wrongTypes(options));
        }
        return await deno(this.label, ["--no-check", `--ignore=${TESTS}`], report, options);
      },
    }],
    ...files.map((file): Part => ({
      ...common,
      label: label(file),
      ...plan(file),
      run(report, options, which) {
        const filter = which === "timed" ? [`--filter=${TIMED}`] : [];
        return deno(label(file), ["--no-check", ...filter, file], report, options);
      },
    })),
  ];
}

/** Checks the types of the tests that `args` name; without them, those of all files and of all code in documentation. */
async function isChecked(runtime: Runtime, args: string[], options?: RunOptions): Promise<boolean> {
  const check = args.length === 0
    ? ["check", "--doc", "--frozen"]
    : ["test", "--doc", "--frozen", "--no-run", ...args];
  return (await runProgram([runtime.command[0], ...check], { cwd: process.cwd(), ...options }))
    .code === 0;
}

/** The failure of {@linkcode isChecked}. */
function wrongTypes(options?: RunOptions): Failure {
  return { what: "the types of tests are wrong", error: outputOf(options) };
}

/** The part of a program's output that says why it failed, or an empty text if the program did not write to a file. */
function outputOf(options: RunOptions | undefined): string {
  return errorIn(options?.output === undefined ? "" : read(options.output));
}

/** Runs `deno test` as this project does; the caller's `args` come last. */
async function denoTest(
  runtime: Runtime,
  args: string[],
  report: string,
  options: RunOptions = {},
): Promise<Report> {
  const frozen = args.some((arg) => arg.startsWith("--frozen")) ? [] : ["--frozen"];
  const { code, ending } = await runProgram(
    [runtime.command[0], "test", "-A", "--doc", ...frozen, `--junit-path=${report}`, ...args],
    { cwd: process.cwd(), ...options, ...options.output && { progress: options.output } },
  );
  return readReport(
    report,
    code === 0 ? undefined : ending,
    filterOf(args),
    () => outputOf(options),
  );
}

/** Runs the tests on a runtime without `Deno.test`, each file in a process of its own. */
async function portableTests(
  runtime: Runtime,
  args: string[],
  report: string,
  options: RunOptions,
): Promise<Report> {
  const { files, filter } = selection(args);
  const total = newReport();
  for (const file of files) {
    process.stdout.write(`\nrunning ${relative(ROOT, file)} on ${runtime.title}\n`);
    rmSync(report, { force: true });
    const part = await portableTest(runtime, file, filter, report, options);
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
  options: RunOptions = {},
): Promise<Report> {
  const program = fileURLToPath(new URL("run_file.ts", import.meta.url));
  const { code, ending } = await runProgram([...runtime.command, program, file, report, filter], {
    ...options,
    progress: report,
  });
  const exit = code === 0 ? undefined : ending;
  return readEvents(report, relative(ROOT, file), exit, () => outputOf(options));
}

/** The files that were named, or all files, and the filter on test names. */
function selection(args: string[]): { files: string[]; filter: string } {
  const asked: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--filter") i++;
    else if (!arg.startsWith("-")) asked.push(resolve(arg));
    else if (!arg.startsWith("--filter=")) {
      throw new Error(`${arg} is not supported on this runtime; use --filter TEXT and file names`);
    }
  }
  const files = testFiles().filter((file) => !(basename(file) in DENO_ONLY));
  return { files: asked.length > 0 ? asked : files, filter: filterOf(args) };
}

/** The text that the names of the requested tests must contain. */
function filterOf(args: string[]): string {
  const i = args.findLastIndex((arg) => arg === "--filter" || arg.startsWith("--filter="));
  if (i < 0) return "";
  return args[i] === "--filter" ? args[i + 1] ?? "" : args[i]!.slice("--filter=".length);
}

if (import.meta.main) {
  const [results, ...args] = process.argv.slice(2) as [string, ...string[]];
  await main(results, args);
}
