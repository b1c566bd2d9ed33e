// deno-lint-ignore-file no-console
import process from "node:process";

/** A progress line; prints nothing if the output is not a terminal. */
export class Progress {
  readonly #total: number;
  #done = 0;
  #shown = 0;
  readonly #awaited = new Map<number, () => void>();

  constructor(total: number) {
    this.#total = total;
  }

  /** Counts one more piece of work. */
  step(): void {
    this.#done++;
    this.#awaited.get(this.#done)?.();
    const tenth = Math.floor(40 * this.#done / this.#total);
    if (!process.stdout.isTTY || tenth === this.#shown) return;
    this.#shown = tenth;
    const bar = "█".repeat(tenth).padEnd(40, "░");
    process.stdout.write(`\r   ${bar} ${this.#done.toLocaleString("en")}`);
  }

  /** Resolves when `count` pieces of work are done. */
  reached(count: number): Promise<void> {
    return new Promise((resolve) => this.#awaited.set(count, resolve));
  }

  /** Removes the line. */
  end(): void {
    if (process.stdout.isTTY) process.stdout.write("\r\x1b[K");
  }
}

/** Prints rows below their titles: the first column is left-aligned, the others right-aligned. */
export function printTable(titles: string[], rows: string[][]): void {
  const all = [titles, ...rows];
  const widths = titles.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  for (const row of all) {
    const cells = row.map((cell, i) =>
      i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)
    );
    console.log(`   ${cells.join("   ")}`);
  }
  console.log();
}

/** The value below which this share of the numbers lies. */
export function quantile(numbers: number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}
