import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { until } from "../conformance/fixture.ts";

/** How long a program may take to print a line or to end, in milliseconds: it only ends a hang. */
const LIMIT = 30_000;

/** What Node 22 prints when it runs TypeScript, and when it loads `node:sqlite`. */
const NODE_WARNING = /^\(node:\d+\) ExperimentalWarning: .*\n|^\(Use `node --trace-warnings .*\n/gm;

/** The command of Deno that runs an example of this folder. */
export function example(file: string, ...args: string[]): string[] {
  const path = fileURLToPath(new URL(`../../examples/${file}`, import.meta.url));
  return [process.execPath, "run", "-A", "--frozen", path, ...args];
}

/** A running example. Disposal kills it, and the processes that it has named in its output. */
export class Program implements AsyncDisposable {
  /** The lines that it has printed so far. */
  readonly lines: string[] = [];
  readonly #process: ChildProcess;
  readonly #command: string;
  readonly #closed: Promise<void>;
  #stderr = "";
  #end: { code: number | null; signal: string | null } | undefined;

  constructor(
    [executable, ...args]: readonly string[],
    env: Record<string, string> = {},
    cwd?: string,
    stdin: "ignore" | "pipe" = "ignore",
  ) {
    this.#command = args.join(" ");
    this.#process = spawn(executable!, args, {
      stdio: [stdin, "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", ...env },
      ...cwd !== undefined && { cwd },
    });
    createInterface({ input: this.#process.stdout! }).on("line", (line) => this.lines.push(line));
    this.#process.stderr!.on("data", (data) => this.#stderr += data);
    this.#closed = new Promise((resolve) => {
      this.#process.once("error", (error) => {
        this.#stderr += error.message;
        resolve();
      });
      this.#process.once("exit", (code, signal) => this.#end = { code, signal });
      this.#process.once("close", () => resolve());
    });
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** What it has printed, for messages of failures. */
  get output(): string {
    return [`$ ${this.#command}`, ...this.lines.slice(-100), this.#stderr].join("\n");
  }

  /** Waits until a line matches, and returns the match of the first one. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    const found = () =>
      this.lines.map((line) => pattern.exec(line)).find((match) => match !== null);
    await until(() => found() !== undefined || this.#end !== undefined, LIMIT).catch(() => {});
    const match = found();
    if (match) return match;
    throw new Error(`no line matches ${pattern}:\n${this.output}`);
  }

  /** Waits for its end, which must be an orderly one, and returns its output. */
  async done(): Promise<string> {
    await until(() => this.#end !== undefined, LIMIT).catch(() => {
      throw new Error(`it does not end:\n${this.output}`);
    });
    await this.#closed;
    const isQuiet = this.#stderr.replaceAll(NODE_WARNING, "") === "";
    if (this.#end!.code !== 0 || !isQuiet) {
      throw new Error(`it has ended with ${JSON.stringify(this.#end)}:\n${this.output}`);
    }
    return this.lines.join("\n");
  }

  /** Writes a line to its input, which must be a pipe. */
  write(line: string): void {
    this.#process.stdin!.write(`${line}\n`);
  }

  /** Ends its input, which must be a pipe. */
  endInput(): void {
    this.#process.stdin!.end();
  }

  kill(signal: "SIGKILL" | "SIGTERM"): void {
    if (this.#end === undefined) process.kill(this.pid, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#end === undefined) {
      this.kill("SIGKILL");
      const named = this.lines.join("\n").matchAll(/^(?:worker|fetcher|server|process) (\d+)/gm);
      for (const pid of new Set([...named].map((match) => Number(match[1])))) killed(pid);
    }
    await this.#closed;
  }
}

/** Kills a process as `kill -9` does, unless it has ended. */
export function killed(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
