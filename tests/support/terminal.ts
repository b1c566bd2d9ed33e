// A program in a pseudo-terminal, which `script` of util-linux provides, and a terminal emulator, which says what a
// person would see.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findProgram } from "./installation.ts";
import { noNpm, npmPackages } from "./npm.ts";

/** The reason why there is no pseudo-terminal, for `skip` of `test.ts`. */
export const noTerminal: string | false = noNpm ||
  (process.platform !== "linux" || findProgram("script") === undefined) &&
    "script of util-linux is not on the PATH";

/** The part of the emulator that is used here; see @xterm/headless. */
interface Emulator {
  readonly buffer: {
    readonly active: {
      readonly type: "normal" | "alternate";
      readonly length: number;
      readonly baseY: number;
      getLine(y: number): EmulatorLine | undefined;
    };
  };
  readonly modes: { readonly wraparoundMode: boolean };
  write(data: Uint8Array): void;
  resize(columns: number, rows: number): void;
  dispose(): void;
}

interface EmulatorLine {
  translateToString(trimRight: boolean, start: number, end: number): string;
  getCell(
    x: number,
  ): { getFgColor(): number; isFgPalette(): boolean; isBold(): number } | undefined;
}

/** The size of a terminal. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** A terminal with a program in it. Disposal ends the program. */
export class Terminal implements AsyncDisposable {
  /** All that the program has written. */
  output = "";
  /** Resolves with the exit code of the program. */
  readonly exited: Promise<number | null>;
  readonly #emulator: Emulator;
  readonly #script: ChildProcess;
  readonly #folder: string;
  #size: Size;

  private constructor(
    emulator: Emulator,
    command: readonly string[],
    size: Size,
    env: Environment,
  ) {
    this.#emulator = emulator;
    this.#size = size;
    this.#folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-terminal-"));
    const quoted = command.map((each) => `'${each.replaceAll("'", `'\\''`)}'`).join(" ");
    const start =
      `tty >'${this.#file}'; stty cols ${size.columns} rows ${size.rows}; exec ${quoted}`;
    const { NO_COLOR: _, ...inherited } = process.env;
    this.#script = spawn("script", ["-qfec", start, "/dev/null"], {
      env: { ...inherited, SHELL: "/bin/sh", TERM: "xterm-256color", ...env },
      stdio: "pipe",
    });
    this.#script.stdin!.on("error", () => {}); // it has ended
    this.#script.stdout!.on("data", (data: Uint8Array) => {
      this.output += new TextDecoder().decode(data);
      emulator.write(data);
    });
    this.exited = new Promise((resolve, reject) => {
      this.#script.once("error", reject);
      this.#script.once("close", (code) => resolve(code));
    });
  }

  /** Starts a program in a new terminal. */
  static async start(
    command: readonly string[],
    { columns = 80, rows = 24, env = {} }: Partial<Size> & { env?: Environment } = {},
  ): Promise<Terminal> {
    const require = createRequire(join(await npmPackages("terminal"), "node_modules", "x.js"));
    const { Terminal: Emulator } = require("@xterm/headless");
    const emulator = new Emulator({ cols: columns, rows, allowProposedApi: true }) as Emulator;
    return new Terminal(emulator, command, { columns, rows }, env);
  }

  get #file(): string {
    return join(this.#folder, "tty");
  }

  /** The lines of the screen, without those that are empty at the end. */
  get lines(): string[] {
    const { active } = this.#emulator.buffer;
    const { columns, rows } = this.#size;
    const lines: string[] = [];
    for (let y = 0; y < rows; y++) {
      lines.push(active.getLine(active.baseY + y)?.translateToString(true, 0, columns) ?? "");
    }
    while (lines.at(-1) === "") lines.pop();
    return lines;
  }

  get text(): string {
    return this.lines.join("\n");
  }

  /** Whether the program shows the alternate screen. */
  get isAlternate(): boolean {
    return this.#emulator.buffer.active.type === "alternate";
  }

  /** Whether long lines wrap, and the cursor is there, as a shell expects. */
  get isOrdinary(): boolean {
    const isCursorShown =
      this.output.lastIndexOf("\x1b[?25l") <= this.output.lastIndexOf("\x1b[?25h");
    return !this.isAlternate && this.#emulator.modes.wraparoundMode && isCursorShown;
  }

  /** Returns the number of the colour of a character (ECMA-48: 1 is red), or undefined if it has none. */
  color(line: number, column: number): number | undefined {
    const { active } = this.#emulator.buffer;
    const cell = active.getLine(active.baseY + line)?.getCell(column);
    return cell?.isFgPalette() ? cell.getFgColor() : undefined;
  }

  /** Types keys. Ctrl-C is `\x03`. */
  type(keys: string): void {
    this.#script.stdin!.write(keys);
  }

  /** Changes the size. The system tells the program. */
  async resize(size: Size): Promise<void> {
    this.#size = size;
    this.#emulator.resize(size.columns, size.rows);
    const tty = readFileSync(this.#file, "utf8").trim();
    const stty = spawn("stty", ["-F", tty, "cols", `${size.columns}`, "rows", `${size.rows}`]);
    await new Promise((resolve, reject) => {
      stty.once("error", reject);
      stty.once("close", resolve);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#script.kill("SIGKILL"); // the program gets SIGHUP from its terminal
    await this.exited;
    this.#emulator.dispose();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

type Environment = Readonly<Record<string, string>>;
