// deno-lint-ignore-file no-console
import { appendFileSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";
import type { Figure } from "./compare.ts";

/** A line of a table, as cells. */
export type Row = readonly string[];

/** What one measure came to on this runtime, for the table of all runtimes. */
export interface Result {
  readonly runtime: string;
  readonly title: string;
  readonly label: string;
  readonly text: string;
}

/** Shows what is being done, on a terminal; without an argument, nothing any more. */
export function progress(text = ""): void {
  if (!process.stderr.isTTY) return;
  const width = (process.stderr.columns ?? 80) - 1;
  process.stderr.write(`\r\x1b[K${text.slice(0, width)}`);
}

/** Prints a table: the first column to the left, numbers to the right. */
export function table(title: string, rows: readonly Row[]): void {
  progress();
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("   ")
  );
  console.log(`\n${title}\n${lines.map((line) => `  ${line.trimEnd()}\n`).join("")}`.trimEnd());
}

/** Prints what contenders reached, and hands it to the program that runs this. */
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
    tell(title, label, `${thousands(rate)} /s${i > 0 ? ` (${middle.toFixed(2)})` : ""}`)
  );
}

/** Hands a result to the program that runs this, where one does. */
export function tell(title: string, label: string, text: string): void {
  const file = process.env.BENCH_RESULTS;
  const result: Result = { runtime: runtime(), title, label, text };
  if (file) appendFileSync(file, JSON.stringify(result) + "\n");
}

/** Prints a table that has a column for each runtime; nothing of what one runtime did alone. */
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

/** "Bun 1.4.5". */
export function runtime(): string {
  const { versions } = process as { versions: Record<string, string | undefined> };
  if (versions.bun) return `Bun ${versions.bun}`;
  return versions.deno ? `Deno ${versions.deno}` : `Node ${versions.node}`;
}

/** Says what ran and where. */
export function heading(what: string): void {
  console.log(`\n${what} on ${runtime()}, ${cpus().length} × ${cpus()[0]?.model ?? "CPU"}`);
}

/** Says a thing below a table. */
export function note(text: string): void {
  progress();
  console.log(`  ${text}`);
}
