// deno task homes [PIPE] [ENGINE]: runs the conformance suite on each pipe with each engine behind the home, on three
// runtimes, and prints a table of how many tests passed.

import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { engines, pipes } from "./conformance.ts";

const program = fileURLToPath(new URL("../support/run.ts", import.meta.url));
const [pipe, engine] = process.argv.slice(2);
const rows: string[] = [];
for (const onePipe of pipes.filter((one) => pipe === undefined || one === pipe)) {
  for (const one of engines.filter((one) => engine === undefined || one === engine)) {
    const file = fileURLToPath(
      new URL(`../home_${onePipe === "curve" ? "zmq" : onePipe}_test.ts`, import.meta.url),
    );
    const output = await run(`${onePipe} ${one}`, file);
    const lines = output.trimEnd().split("\n");
    const count = (runtime: string) => {
      const counts = new RegExp(`${runtime} [\\d.]+: (\\d+)(?: and (\\d+) failures)?`);
      const [, passed = "-", failed] = counts.exec(lines.at(-2) ?? "") ?? [];
      return failed === undefined ? passed : `${passed}, ${failed} FAILED`;
    };
    const skipped = /(\d+) skipped/.exec(lines.at(-1) ?? "")?.[1] ?? "0";
    const counts = ["Deno", "Bun", "Node"].map(count);
    rows.push(`| ${onePipe} | ${one} | ${counts.join(" | ")} | ${skipped} |`);
    process.exitCode ||= /, 0 failed/.test(lines.at(-1) ?? "") ? 0 : 1;
  }
}
process.stdout.write(
  [
    "",
    "| Pipe | Engine | Deno | Bun | Node | Skipped, of all |",
    "| --- | --- | --- | --- | --- | --- |",
  ]
    .concat(rows, "").join("\n"),
);

/** Runs a file of tests with one combination, prints its output, and returns it. */
function run(wanted: string, file: string): Promise<string> {
  const child = spawn(
    process.execPath,
    ["run", "-A", "--frozen", program, "test", "--on=deno,bun,node", file],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, HOMES: wanted } },
  );
  let output = "";
  child.stdout.on("data", (bytes) => {
    process.stdout.write(bytes);
    output += bytes;
  });
  return new Promise((resolve) => child.once("close", () => resolve(output)));
}
