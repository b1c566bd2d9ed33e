import process from "node:process";

/** What came of each fault in each state: printed at the end where FAULT_TABLE is set. */
export class Table {
  readonly #rows: { fault: string; state: string; outcome: string }[] = [];

  add(fault: string, state: string, outcome: string): void {
    this.#rows.push({ fault, state, outcome });
  }

  print(): void {
    if (!process.env.FAULT_TABLE) return;
    const lines = ["", "| fault | state | outcome |", "| --- | --- | --- |"];
    for (const { fault, state, outcome } of this.#rows) {
      lines.push(`| ${fault} | ${state} | ${outcome.replaceAll("|", "\\|").split("\n")[0]} |`);
    }
    process.stdout.write(lines.join("\n") + "\n");
  }
}
