// Invariants: the terminal is as it was when the screen has ended, and also if the process exits before. A line that is
// wider than the terminal is cut off by the terminal, which knows the widths of characters.

import { writeSync } from "node:fs";
import process from "node:process";
import type { Output } from "../output.ts";

// Control sequences of xterm: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
/** The alternate screen, no cursor, no wrapping of lines. */
const begin = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const end = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const home = "\x1b[H";
const eraseRestOfLine = "\x1b[K";
const eraseBelow = "\x1b[J";

/** The terminal's alternate screen, drawn again and again, as programs such as `top` do. */
export class LiveScreen {
  readonly #output: Output;
  #lines: readonly string[] = [];
  readonly #onExit = () => {
    writeSync(1, end);
  };
  readonly #onResize = () => void this.#draw().catch(() => {}); // the next `show` rejects, too

  private constructor(output: Output) {
    this.#output = output;
    process.on("exit", this.#onExit);
    process.stdout.on("resize", this.#onResize);
  }

  static async begin(output: Output): Promise<LiveScreen> {
    const screen = new LiveScreen(output);
    output.hold();
    await output.write(begin);
    return screen;
  }

  /** Shows lines. Those that do not fit are counted in the last one. */
  async show(lines: readonly string[]): Promise<void> {
    this.#lines = lines;
    await this.#draw();
  }

  #draw(): Promise<void> {
    const { rows } = this.#output.size;
    const hidden = this.#lines.length - rows;
    const shown = hidden > 0
      ? [...this.#lines.slice(0, rows - 1), `… ${hidden + 1} more channels`]
      : this.#lines;
    // What is erased after a line that fills the terminal would be its last character.
    const text = shown.map((line) => eraseRestOfLine + line).join("\r\n");
    const below = shown.length < rows ? `\r\n${eraseBelow}` : "";
    return this.#output.write(home + text + below);
  }

  /** Gives the terminal back. */
  async end(): Promise<void> {
    process.stdout.off("resize", this.#onResize);
    await this.#output.write(end);
    process.off("exit", this.#onExit);
    this.#output.unhold();
  }
}
