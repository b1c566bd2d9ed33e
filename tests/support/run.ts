// The program of `deno task test`: `run.ts COMMAND ARGS…` runs `deno COMMAND ARGS…` with a broker in `BROKER`.
// `run.ts test [--on=deno,bun,node] [--brokers=one|two|all] ARGS…` runs the tests on these runtimes and brokers
// (`suites.ts`) and ends with the line "N passed, N failed[, N skipped]" over all of them. However it ends, it leaves
// nothing that it started.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { findSupply, variablesOf } from "./broker.ts";
import { type Failure, failureLines } from "./report.ts";
import { logLine } from "./supervisor.ts";
import type { Results } from "./suites.ts";

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** How many lines of errors the end of the output has at most, over all failures, and of one error. */
const MOST_ERROR_LINES = { all: 60, each: 15, least: 3 };

/**
 * How many tests may measure time: only they run a second time. A case of the conformance suite counts once for each
 * transport, and all of them run if the tests run on one runtime.
 */
const MOST_TIMED = 50;

// Runs "$@" as the leader ($$) of a session of its own, to which programs started by tests belong too. When stdin ends,
// the session is killed. If the leader still runs at that time, the runner is gone, so its folder $0 is removed too, as
// soon as nothing writes to it: the brokers in it, which are no part of the session, end at the same time.
const GUARD = `
exec 3<&0
{
  read -r _ <&3
  if kill -0 $$; then
    trap '' TERM
    kill -TERM 0
    for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 0.5; rm -rf "$0" && break; done
  fi
  kill -KILL 0
} > /dev/null 2>&1 &
exec 3<&-
exec "$@" < /dev/null`;

async function main(args: string[]): Promise<number> {
  const stop = new AbortController();
  for (const name of Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]) {
    process.on(name, () => stop.abort(name)); // a second signal changes nothing: stopping is bounded
  }
  const start = performance.now();
  let broker: AsyncDisposable | undefined;
  let folder: string | undefined;
  try {
    const test = args[0] === "test";
    const supply = test ? undefined : await findSupply(stop.signal);
    const started = broker = await supply?.start(stop.signal);
    folder = mkdtempSync(join(tmpdir(), "channelts-run-")); // created last, because the guard does not run yet
    const results = join(folder, "results.json");
    const command = test ? suites(results, args.slice(1)) : args;
    const variables = supply && started ? variablesOf(supply, started) : {};
    const code = await runDeno(command, variables, folder, stop.signal);
    if (stop.signal.aborted) return stoppedBy(stop.signal.reason);
    return test ? summary(results, code, (performance.now() - start) / 1000) : code;
  } catch (error) {
    if (stop.signal.aborted) return stoppedBy(stop.signal.reason);
    logLine(`error: ${(error as Error).message}`);
    return 1;
  } finally {
    await broker?.[Symbol.asyncDispose]();
    if (folder) await remove(folder);
  }
}

/** Removes a folder, to which a program that has just been killed may write for a moment. */
async function remove(folder: string): Promise<void> {
  for (let tries = 10;; tries--) {
    try {
      return rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (tries === 0) throw error;
      await pause(500);
    }
  }
}

function stoppedBy(name: keyof typeof SIGNALS): number {
  logLine(`stopped by ${name}`);
  return SIGNALS[name];
}

/** Deno's arguments that run the tests. */
function suites(results: string, args: string[]): string[] {
  const program = fileURLToPath(new URL("suites.ts", import.meta.url));
  return ["run", "-A", "--frozen", program, results, ...args];
}

/** Prints the results of the tests on each runtime and, in the last line, of all. */
function summary(file: string, code: number, seconds: number): number {
  let { results, brokers }: Results = { results: [], brokers: [] };
  try {
    ({ results, brokers } = JSON.parse(readFileSync(file, "utf8")));
  } catch {
    // there is no file: the tests ended before the first result
  }
  let [passed, failed] = [0, 0];
  const lines = [""];
  const failures: [heading: string, Failure][] = [];
  const parts: string[] = [];
  const reasons = new Map<string, Map<string, number>>();
  const timed = new Set<string>();
  for (const { title, ...report } of results) {
    passed += report.passed;
    failed += report.failed.length;
    for (const name of report.timed) timed.add(name);
    for (const reason of report.skipped) {
      const counts = reasons.get(reason) ?? new Map<string, number>();
      reasons.set(reason, counts.set(title, (counts.get(title) ?? 0) + 1));
    }
    for (const failure of report.again) failures.push([`SECOND CHANCE on ${title}`, failure]);
    for (const failure of report.failed) failures.push([`FAILED on ${title}`, failure]);
    const also = report.failed.length > 0 ? ` and ${report.failed.length} failures` : "";
    parts.push(`${title}: ${report.passed}${also}`);
  }
  for (const [reason, counts] of reasons) {
    const where = [...counts].map(([title, count]) => `${count} on ${title}`).join(", ");
    lines.push(`SKIPPED: ${reason} (${where})`);
  }
  for (const { version, restarted, failed: wrong } of brokers) {
    passed += restarted;
    failed += wrong.length;
    for (const error of wrong) {
      failures.push(["FAILED", { what: `a node of RabbitMQ ${version} after its tests`, error }]);
    }
  }
  const restarted = brokers.reduce((sum, { restarted }) => sum + restarted, 0);
  if (brokers.length > 0) {
    const nodes = restarted > 0 ? `; after their tests ${restarted} restarted cleanly` : "";
    lines.push(`BROKERS: RabbitMQ ${brokers.map(({ version }) => version).join(", ")}${nodes}`);
  }
  const skipped = results.flatMap((result) => result.skipped).length;
  if (timed.size > 0) {
    lines.push(`TIMED: ${timed.size} tests measure time and ran after all others`);
  }
  const fail = (what: string) => {
    failed++;
    failures.push(["FAILED", { what, error: "" }]);
  };
  if (timed.size > MOST_TIMED) fail(`more than ${MOST_TIMED} tests are declared to measure time`);
  if (code !== 0) fail(`the test run ended early with code ${code}`);
  if (passed + failed === 0) failed++;
  // Failures come last: who reads only the end of the output sees the errors.
  const { all, each, least } = MOST_ERROR_LINES;
  const most = Math.max(least, Math.min(each, Math.floor(all / failures.length)));
  for (const [heading, failure] of failures) lines.push(...failureLines(heading, failure, most));
  lines.push(
    `${parts.join(", ")}, in ${Math.round(seconds)} s`,
    `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`,
  );
  process.stdout.write(lines.join("\n"));
  return failed > 0 ? 1 : 0;
}

/**
 * The variables that name the temporary folder. What a program leaves in it is removed with it, however it ends. Node
 * keeps compiled modules in it, since a process that compiles the library takes a second of CPU time to start.
 */
function temporary(folder: string): Record<string, string> {
  const place: Record<string, string> = process.platform === "win32"
    ? { TEMP: folder, TMP: folder }
    : { TMPDIR: folder };
  return { NODE_COMPILE_CACHE: join(folder, "node"), ...place };
}

async function runDeno(
  command: string[],
  variables: Record<string, string>,
  folder: string,
  signal: AbortSignal,
): Promise<number> {
  const child = spawn("/bin/sh", ["-c", GUARD, folder, process.execPath, ...command], {
    detached: true,
    stdio: ["pipe", "inherit", "inherit"],
    env: { ...process.env, ...variables, ...temporary(folder), TEST_FOLDER: folder },
  });
  const killSession = (name: "SIGINT" | "SIGKILL") => {
    try {
      process.kill(-child.pid!, name);
    } catch {
      // the session is gone
    }
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    killSession("SIGINT");
    timer = setTimeout(() => killSession("SIGKILL"), 10_000); // the tests' brokers are removed in this time
  };
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop);
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
  signal.removeEventListener("abort", stop);
  clearTimeout(timer);
  killSession("SIGKILL"); // ends the guard and what a failed test left
  return code;
}

process.exit(await main(process.argv.slice(2)));
