import process from "node:process";
import { env } from "../shared/host.ts";

/** A line on the terminal of stderr that is written again and again. On no terminal, nothing is written. */
export class Progress {
  readonly #isShown: boolean;
  #isEmpty = true;
  #isOver = false;

  constructor(isQuiet: boolean) {
    this.#isShown = !isQuiet && process.stderr.isTTY === true && env("TERM") !== "dumb";
  }

  show(text: string): void {
    if (!this.#isShown || this.#isOver) return;
    this.#isEmpty = false;
    process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns || 80) - 1)}`);
  }

  /** Removes the line, for good. */
  end(): void {
    this.#isOver = true;
    if (!this.#isEmpty) process.stderr.write("\r\x1b[K");
  }
}
