import { writeFileSync } from "node:fs";
import process from "node:process";

/** The outcome of each fault in each state, written to the file that FAULT_TABLE names. */
export class Table {
  readonly #rows: { fault: string; state: string; outcome: string }[] = [];

  add(fault: string, state: string, outcome: string): void {
    this.#rows.push({ fault, state, outcome });
  }

  write(): void {
    const file = process.env.FAULT_TABLE;
    if (!file) return;
    const lines = ["", "| fault | state | outcome |", "| --- | --- | --- |"];
    for (const { fault, state, outcome } of this.#rows) {
      lines.push(`| ${fault} | ${state} | ${outcome.replaceAll("|", "\\|").split("\n")[0]} |`);
    }
    writeFileSync(file, lines.join("\n").trimStart() + "\n");
  }
}
