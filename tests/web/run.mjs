// Runs scripts that set `result`, each in a virtual machine that has no more than Vercel's edge functions, and then in
// Node itself: run.mjs FILE… Prints the results as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import { runInThisContext } from "node:vm";

const { EdgeVM } = createRequire(`${process.cwd()}/`)("@edge-runtime/vm");
const results = [];
for (const file of process.argv.slice(2)) {
  const script = readFileSync(file, "utf8");
  const edge = new EdgeVM();
  edge.evaluate(script);
  results.push(await edge.context.result);
  runInThisContext(script);
  results.push(await globalThis.result);
}
process.stdout.write(JSON.stringify(results));
