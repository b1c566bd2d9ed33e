// deno-lint-ignore-file no-console
import { appendFileSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";
import type { Figure } from "./compare.ts";

/** A row of a table, as cells. */
export type Row = readonly string[];

/** One result on this runtime, for the table of all runtimes. */
export interface Result {
  readonly runtime: string;
  readonly title: string;
  readonly label: string;
  readonly text: string;
}

/** Shows the current activity on a terminal; without an argument, clears it. */
export function progress(text = ""): void {
  if (!process.stderr.isTTY) return;
  const width = (process.stderr.columns ?? 80) - 1;
  process.stderr.write(`\r\x1b[K${text.slice(0, width)}`);
}

/** Prints a table: the first column is left-aligned, the others right-aligned. */
export function table(title: string, rows: readonly Row[]): void {
  progress();
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("   ")
  );
  console.log(`\n${title}\n${lines.map((line) => `  ${line.trimEnd()}\n`).join("")}`.trimEnd());
}

/** Prints the results of contenders and passes them to the parent program. */
export function report(title: string, figures: readonly Figure[]): void {
  const several = figures.length > 1;
  table(title, [
    ["", "median", ...several ? [`× ${figures[0]!.label}`, "least–most"] : []],
    ...figures.map(({ label, rate, ratio: [middle, least, most] }, i) => [
      label,
      `${thousands(rate)} /s`,
      ...i === 0 ? [] : [middle.toFixed(2), `${least.toFixed(2)}–${most.toFixed(2)}`],
    ]),
  ]);
  figures.forEach(({ label, rate, ratio: [middle] }, i) =>
    record(title, label, `${thousands(rate)} /s${i > 0 ? ` (${middle.toFixed(2)})` : ""}`)
  );
}

/** Passes a result to the parent program, if there is one. */
export function record(title: string, label: string, text: string): void {
  const file = process.env.BENCH_RESULTS;
  const result: Result = { runtime: runtime(), title, label, text };
  if (file) appendFileSync(file, JSON.stringify(result) + "\n");
}

/** Prints a table with a column for each runtime, without results that only one runtime has. */
export function summarize(results: readonly Result[]): void {
  const runtimes = [...new Set(results.map(({ runtime }) => runtime))];
  if (runtimes.length > 1) console.log("\nAll runtimes");
  for (const title of new Set(results.map(({ title }) => title))) {
    const mine = results.filter((result) => result.title === title);
    if (mine.every(({ runtime }) => runtime === mine[0]!.runtime)) continue;
    const labels = [...new Set(mine.map(({ label }) => label))];
    table(title, [
      ["", ...runtimes],
      ...labels.map((label) => [
        label,
        ...runtimes.map((name) =>
          mine.find((each) => each.label === label && each.runtime === name)?.text ?? "–"
        ),
      ]),
    ]);
  }
}

export function thousands(n: number): string {
  return Math.round(n).toLocaleString("en");
}

/** The runtime's name and version: "Bun 1.4.5". */
export function runtime(): string {
  const { versions } = process as { versions: Record<string, string | undefined> };
  if (versions.bun) return `Bun ${versions.bun}`;
  return versions.deno ? `Deno ${versions.deno}` : `Node ${versions.node}`;
}

/** Prints what runs and on which machine. */
export function heading(what: string): void {
  console.log(`\n${what} on ${runtime()}, ${cpus().length} × ${cpus()[0]?.model ?? "CPU"}`);
}

/** Prints a line below a table. */
export function note(text: string): void {
  progress();
  console.log(`  ${text}`);
}
