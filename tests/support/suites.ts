// Runs the tests on runtimes, one after the other, and writes what came of them to a file, for run.ts:
// suites.ts RESULTS RUNTIME,… [FILE…] [--filter TEXT] [flags of `deno test`]

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
import { say } from "./keeper.ts";
import { readEvents, readReport, type Report, TEST_TIMEOUT } from "./report.ts";
import { findRuntime, type Runtime, type RuntimeName } from "./runtimes.ts";

/** What came of the tests on one runtime. */
export interface Result extends Report {
  /** The runtime's name and version. */
  title: string;
  seconds: number;
}

/** Files of tests that Bun and Node do not run unless they are asked to, and why. */
const DENO_ONLY: Record<string, string> = {
  "connect_test.ts": "waits for a minute, most of it for brokers that are stopped and started",
  "bundle_test.ts": "has Deno bundle the codec",
  "examples_test.ts": "runs the examples as the README says: by Deno",
  "exit_test.ts": "starts the other runtimes itself",
  "faults_test.ts": "waits for two minutes for a private broker, its restarts and its heartbeats",
  "readme_test.ts": "has Deno check and run the README's code",
  "soak_test.ts": "waits for half a minute for a private broker and its mishaps",
  "cluster_test.ts": "waits for a minute for three private brokers and their cluster",
  "runtimes_test.ts": "starts the other runtimes itself",
};

/** Those that mostly wait, for brokers of their own: they run beside all others. */
const BESIDE = [
  "cluster_test.ts",
  "connect_test.ts",
  "exit_test.ts",
  "faults_test.ts",
  "soak_test.ts",
];

const TESTS = fileURLToPath(new URL("..", import.meta.url));
const ROOT = resolve(TESTS, "..");

async function main(results: string, names: RuntimeName[], args: string[]): Promise<void> {
  // All are found before the first runs: one may have to be fetched, or be missing.
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
  const all: Result[] = [];
  // When all is to run: the files that wait run beside the others.
  const deno = found.find((runtime) => runtime.name === "deno" && !("error" in runtime));
  const beside = deno !== undefined && args.length === 0
    ? startBeside(deno as Runtime, `${results}.beside`)
    : undefined;
  for (const runtime of found) {
    say(`the tests on ${runtime.title}`);
    const start = performance.now();
    const report = "error" in runtime
      ? { passed: 0, failed: [runtime.error.message] }
      : runtime.name === "deno"
      ? await denoTest(
        runtime,
        beside ? [`--ignore=${BESIDE.map(pathOf)}`] : args,
        `${results}.xml`,
      )
      : await portableTests(runtime, args, `${results}.lines`);
    if (report.passed + report.failed.length === 0) report.failed.push("there was no test to run");
    const seconds = (performance.now() - start) / 1000;
    all.push({ title: runtime.title, ...report, seconds });
    writeFileSync(results, JSON.stringify(all));
  }
  if (beside === undefined) return;
  say("waiting for the tests that run beside");
  all.push(await beside);
  writeFileSync(results, JSON.stringify(all));
}

/** Runs the files of {@linkcode BESIDE}; what they print comes at the end. */
async function startBeside(runtime: Runtime, file: string): Promise<Result> {
  const start = performance.now();
  const output = openSync(`${file}.out`, "w");
  const [deno] = runtime.command;
  const { code } = await run(
    [deno, "test", "-A", "--frozen", `--junit-path=${file}.xml`, ...BESIDE.map(pathOf)],
    { output },
  );
  closeSync(output);
  const seconds = (performance.now() - start) / 1000;
  say("the tests that ran beside");
  process.stdout.write(readFileSync(`${file}.out`));
  return { title: `${runtime.title}, beside`, ...readReport(`${file}.xml`, code ?? 1), seconds };
}

function pathOf(name: string): string {
  return join(TESTS, name);
}

/** `deno test` as this project runs it; `args` of the caller come last. */
async function denoTest(runtime: Runtime, args: string[], report: string): Promise<Report> {
  const frozen = args.some((arg) => arg.startsWith("--frozen")) ? [] : ["--frozen"];
  const { code } = await run(
    [runtime.command[0], "test", "-A", "--doc", ...frozen, `--junit-path=${report}`, ...args],
    { cwd: process.cwd() },
  );
  return readReport(report, code ?? 1);
}

/** The tests on a runtime that has no `Deno.test`: each file in a process of its own. */
async function portableTests(runtime: Runtime, args: string[], report: string): Promise<Report> {
  const { files, filter } = selection(args);
  const total: Report = { passed: 0, failed: [] };
  for (const file of files) {
    const label = relative(ROOT, file);
    process.stdout.write(`\nrunning ${label} on ${runtime.title}\n`);
    rmSync(report, { force: true });
    const program = fileURLToPath(new URL("run_file.ts", import.meta.url));
    const { code, ending } = await run([...runtime.command, program, file, report, filter], {
      progress: report,
    });
    const { passed, failed } = readEvents(report, label, code === 0 ? undefined : ending);
    if (filter === "" || passed + failed.length > 0) {
      total.passed += passed;
      total.failed.push(...failed);
    }
  }
  return total;
}

/** The files that were asked for, or all; and what the tests' names must contain. */
function selection(args: string[]): { files: string[]; filter: string } {
  const asked: string[] = [];
  let filter = "";
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--filter") filter = args[++i] ?? "";
    else if (arg.startsWith("--filter=")) filter = arg.slice("--filter=".length);
    else if (!arg.startsWith("-")) asked.push(resolve(arg));
    else throw new Error(`${arg} is not known here; known are --filter TEXT, and files`);
  }
  const files = globSync("**/*_test.ts", { cwd: TESTS })
    .map((file) => join(TESTS, file)).sort()
    .filter((file) => !(basename(file) in DENO_ONLY));
  return { files: asked.length > 0 ? asked : files, filter };
}

/**
 * Runs a program to its end.
 *
 * @param options.progress a file that it writes as it goes on: it is killed when it has not done so for too long
 * @param options.output a file's descriptor, for what it prints
 */
function run(
  [program, ...args]: string[],
  { cwd = ROOT, progress, output }: { cwd?: string; progress?: string; output?: number } = {},
): Promise<{ code: number | null; ending: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, {
      cwd,
      stdio: ["ignore", output ?? "inherit", output ?? "inherit"],
    });
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
  const [results, names, ...args] = process.argv.slice(2) as [string, string, ...string[]];
  await main(results, names.split(",") as RuntimeName[], args);
}
