// deno-lint-ignore-file no-console
/** `deno task bench [memory|amqp|latency …]`: every benchmark, or the named ones. */
import { cpus } from "node:os";
import process from "node:process";
import { benchAmqp } from "./amqp.ts";
import { benchLatency } from "./latency.ts";
import { benchMemory } from "./memory.ts";

const uri = process.env.BROKER ?? "";
const benches: Record<string, () => Promise<void>> = {
  memory: benchMemory,
  latency: () => benchLatency(uri),
  amqp: () => benchAmqp(uri),
};

console.log(`Deno ${Deno.version.deno}, ${cpus().length} × ${cpus()[0]?.model ?? "CPU"}`);
const names = Deno.args.length > 0 ? Deno.args : Object.keys(benches);
for (const name of names) {
  const bench = benches[name];
  if (bench === undefined) {
    console.error(`no benchmark ${name}; there are ${Object.keys(benches).join(", ")}`);
    process.exitCode = 2;
  } else {
    await bench();
  }
}
