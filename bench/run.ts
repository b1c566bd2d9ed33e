// deno-lint-ignore-file no-console
/**
 * `deno task bench [NAME …] [--on=deno,bun,node] [OPTIONS]` runs every benchmark or the named ones. Each is a program
 * of its own, which gets the options. Arguments after a first `codec` are for that benchmark. Benchmarks that need a
 * broker use the one in `BROKER`, or one is started.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findRuntime, type RuntimeName } from "../tests/support/runtimes.ts";
import { type Result, summarize } from "./output.ts";

interface Bench {
  /** The runtimes on which it runs by default. */
  readonly on: readonly RuntimeName[];
  readonly needsBroker: boolean;
}

const everywhere = ["deno", "bun", "node"] as const;
const benches: Record<string, Bench> = {
  memory: { on: ["deno"], needsBroker: false },
  amqp: { on: everywhere, needsBroker: true },
  latency: { on: everywhere, needsBroker: true },
  anonymous: { on: everywhere, needsBroker: true },
  request: { on: everywhere, needsBroker: true },
  hoarding: { on: everywhere, needsBroker: true },
  handles: { on: ["deno"], needsBroker: true },
  flatness: { on: ["deno"], needsBroker: false },
  endurance: { on: ["deno"], needsBroker: true },
  sqlite: { on: everywhere, needsBroker: true },
  redis: { on: everywhere, needsBroker: true },
  homes: { on: everywhere, needsBroker: true },
  zmtp: { on: everywhere, needsBroker: false },
  select: { on: ["deno"], needsBroker: true },
  codec: { on: everywhere, needsBroker: false },
  telemetry: { on: ["deno"], needsBroker: false },
};

/** The flags that make a runtime provide `gc()`, without which memory cannot be measured. */
const gcFlag: Record<RuntimeName, string> = {
  deno: "--v8-flags=--expose-gc",
  bun: "--expose-gc",
  node: "--expose-gc",
};

async function main(args: string[]): Promise<void> {
  const isCodec = args[0] === "codec";
  const on = args.find((arg) => arg.startsWith("--on="))?.slice("--on=".length).split(",");
  const rest = args.filter((arg) => !arg.startsWith("--on="));
  const options = isCodec ? rest.slice(1) : rest.filter((arg) => arg.startsWith("--"));
  const named = isCodec ? ["codec"] : rest.filter((arg) => !arg.startsWith("--"));
  const names = named.length > 0 ? named : Object.keys(benches);
  const unknown = names.find((name) => !Object.hasOwn(benches, name)) ??
    on?.find((name) => !Object.hasOwn(gcFlag, name));
  if (unknown !== undefined) {
    const all = [...Object.keys(benches), ...everywhere].join(", ");
    console.error(`no benchmark or runtime ${unknown}; there are ${all}`);
    process.exitCode = 2;
  } else if (!process.env.BROKER && names.some((name) => benches[name]!.needsBroker)) {
    const deno = await findRuntime("deno");
    const [, ...flags] = deno.command;
    await runToEnd([
      ...deno.command,
      pathOf("../tests/support/run.ts"),
      ...flags,
      pathOf("run.ts"),
      ...args,
    ]);
  } else {
    await runAll(names, on as RuntimeName[] | undefined, options);
  }
}

async function runAll(
  names: readonly string[],
  on: readonly RuntimeName[] | undefined,
  options: readonly string[],
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "channelts-bench-"));
  const resultsFile = join(folder, "results");
  try {
    for (const name of names) {
      for (const runtime of on ?? benches[name]!.on) {
        const found = await findRuntime(runtime).catch((error: Error) => {
          console.error(`${name} not on ${runtime}: ${error.message}`);
          process.exitCode = 1;
        });
        if (!found) continue;
        const [program, ...flags] = found.command;
        const [run, rest] = runtime === "deno" ? [["run"], flags.slice(1)] : [[], flags];
        const file = pathOf(`${name}.ts`);
        const command = [program, ...run, gcFlag[runtime], ...rest, file, ...options];
        // What a bench that is stopped leaves in its temporary folder is removed with this one.
        await runToEnd(command, { BENCH_RESULTS: resultsFile, TMPDIR: folder });
      }
    }
    summarize(results(resultsFile)); // of several runtimes
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function results(file: string): Result[] {
  try {
    return readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return []; // nothing was measured
    throw error;
  }
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

/** Runs a program until it ends. A signal to this process is passed on to it. */
function runToEnd(
  [program, ...args]: readonly string[],
  env: Record<string, string> = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, { stdio: "inherit", env: { ...process.env, ...env } });
    const stop = (signal: NodeJS.Signals) => child.kill(signal);
    const signals = ["SIGHUP", "SIGINT", "SIGTERM"] as const;
    for (const signal of signals) process.on(signal, stop);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      for (const name of signals) process.off(name, stop);
      if (code !== 0) process.exitCode = code ?? 1;
      if (signal === null) resolve();
      else reject(new Error(`stopped by ${signal}`));
    });
  });
}

await main(process.argv.slice(2)).catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
