// Invariants: stdout has only data. Everything else goes to stderr: with --quiet only errors.

import process from "node:process";
import { env } from "../shared/host.ts";
import { CliError } from "./cli_error.ts";
import { printable } from "./printable.ts";

/** The reader of stdout has ended, so that nothing can be written to it any more. */
export class OutputClosedError extends CliError {
  override readonly name = "OutputClosedError";
}

type Stream = Pick<NodeJS.WriteStream, "write" | "isTTY" | "columns" | "rows">;

/** The SGR parameters of what is coloured (ECMA-48, 8.3.117). */
const styles = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
} as const;

export type Style = keyof typeof styles;

/** What a command writes. */
export class Output {
  readonly #isQuiet: boolean;
  /** The lines for stderr that wait, while the screen of the terminal is drawn. */
  #held: string[] | undefined;
  #failure: unknown;

  constructor(isQuiet: boolean) {
    this.#isQuiet = isQuiet;
    // Node reports a reader that has ended by the callback of the write and by this event, which would be uncaught.
    process.stdout.on("error", this.#failed);
    process.stderr.on("error", ignore);
  }

  readonly #failed = (error: unknown): void => {
    this.#failure ??= error;
  };

  /** Stops listening to the streams. */
  end(): void {
    process.stdout.off("error", this.#failed);
    process.stderr.off("error", ignore);
  }

  /** Whether stdout is a terminal: only then a command draws, colours or rewrites lines there. */
  get isTerminal(): boolean {
    return process.stdout.isTTY === true;
  }

  /** The size of the terminal of stdout; 80 columns and 24 rows if it is none. */
  get size(): { readonly columns: number; readonly rows: number } {
    return { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 };
  }

  /** Writes data. Resolves when the system has taken it. @throws {OutputClosedError} if the reader has ended */
  write(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: Error | null) => {
        const cause = error ?? this.#failure;
        if (cause === undefined || cause === null) resolve();
        else reject(new OutputClosedError("the reader of stdout has ended", { cause }));
      };
      if (this.#failure !== undefined) return done();
      process.stdout.write(data, done);
    });
  }

  /** Writes a line of data. */
  line(text: string): Promise<void> {
    return this.write(`${text}\n`);
  }

  /** Writes a line for people to stderr, unless the option --quiet is given. */
  note(text: string): void {
    if (this.#isQuiet) return;
    if (this.#held === undefined) process.stderr.write(`${text}\n`);
    else {
      this.#held.push(text);
      if (this.#held.length > mostHeld) this.#held.shift();
    }
  }

  /** Keeps notes and warnings back, since stderr is usually the terminal whose screen is drawn now. */
  hold(): void {
    this.#held ??= [];
  }

  /** Writes the last of the notes and warnings that were kept back. */
  unhold(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const text of held) this.note(text);
  }

  /** Writes a warning to stderr, unless the option --quiet is given. */
  warn(text: string): void {
    this.note(`channelts: ${styled(process.stderr, "yellow", "warning")}: ${visible(text)}`);
  }

  /** Writes an error to stderr. */
  error(text: string): void {
    process.stderr.write(`${styled(process.stderr, "red", "channelts")}: ${visible(text)}\n`);
  }

  /** Returns a text in a style for stdout; unchanged if stdout is no terminal or NO_COLOR is set. */
  style(style: Style, text: string): string {
    return styled(process.stdout, style, text);
  }
}

/** How many notes are kept back. */
const mostHeld = 10;

function ignore(): void {}

/** Escapes what a terminal would obey: a server, a home or a broker may have written a part of the text. */
function visible(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

function styled(stream: Stream, style: Style, text: string): string {
  if (!hasColor(stream)) return text;
  const [on, off] = styles[style];
  return `\x1b[${on}m${text}\x1b[${off}m`;
}

/** See https://no-color.org. */
function hasColor(stream: Stream): boolean {
  return stream.isTTY === true && !env("NO_COLOR") && env("TERM") !== "dumb";
}
