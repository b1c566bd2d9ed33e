// deno-lint-ignore-file no-console
/**
 * `deno task bench [memory|latency|amqp|codec …]`: every benchmark, or the named ones. What follows a first `codec`
 * is for that one. Those that need a broker take the one in `BROKER`, or start one.
 */
import { spawn } from "node:child_process";
import { cpus } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findRuntime, type RuntimeName } from "../tests/support/runtimes.ts";
import { benchAmqp } from "./amqp.ts";
import { benchLatency } from "./latency.ts";
import { benchMemory } from "./memory.ts";

const uri = process.env.BROKER ?? "";
const benches: Record<string, () => Promise<void>> = {
  memory: benchMemory,
  latency: () => benchLatency(uri),
  amqp: () => benchAmqp(uri),
  codec: () => benchCodecEverywhere([]),
};
const NEED_BROKER = ["latency", "amqp"];

async function main(args: string[]): Promise<void> {
  if (args[0] === "codec") return await benchCodecEverywhere(args.slice(1));
  const names = args.length > 0 ? args : Object.keys(benches);
  const unknown = names.find((name) => !Object.hasOwn(benches, name));
  if (unknown !== undefined) {
    console.error(`no benchmark ${unknown}; there are ${Object.keys(benches).join(", ")}`);
    process.exitCode = 2;
  } else if (uri === "" && names.some((name) => NEED_BROKER.includes(name))) {
    const deno = await findRuntime("deno");
    const [, ...flags] = deno.command;
    const self = [...flags, pathOf("run.ts"), ...names];
    await run([...deno.command, pathOf("../tests/support/run.ts"), ...self]);
  } else {
    console.log(`${(await findRuntime("deno")).title}, ${cpus().length} × ${cpus()[0]?.model}`);
    for (const name of names) await benches[name]!();
  }
}

/** The codec's benchmark is a program of its own, for each runtime. */
async function benchCodecEverywhere(args: string[]): Promise<void> {
  for (const name of ["deno", "bun", "node"] satisfies RuntimeName[]) {
    try {
      await run([...(await findRuntime(name)).command, pathOf("codec.ts"), ...args]);
    } catch (error) {
      console.error(`not on ${name}: ${(error as Error).message}`);
      process.exitCode = 1;
    }
  }
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

/** Runs a program to its end, which a signal to this one brings about. */
function run([program, ...args]: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, { stdio: "inherit" });
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

await main(process.argv.slice(2));
