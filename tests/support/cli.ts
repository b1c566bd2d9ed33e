// Runs the program `channelts` in a process of its own.

import { type ChildProcess, spawn } from "node:child_process";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import process from "node:process";
import { within } from "../conformance/fixture.ts";
import { findRuntime, type Runtime } from "./runtimes.ts";
import { ROOT } from "./test_files.ts";

/** The options of {@linkcode runCli} and {@linkcode startCli}. */
export interface CliOptions {
  readonly runtime?: Runtime;
  /** What is on stdin; default: nothing. */
  readonly input?: string | Uint8Array;
  /** Variables added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** How the program has ended. */
export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly bytes: Uint8Array;
  readonly stderr: string;
}

/** Returns the command of the program: an executable and its arguments. */
export async function cliCommand(runtime?: Runtime): Promise<readonly [string, ...string[]]> {
  const { command } = runtime ?? await findRuntime("deno");
  return [...command, join(ROOT, "cli.ts")];
}

/** The environment of the program: that of this process, without a connection and with what is given. */
export function cliEnv(env: Readonly<Record<string, string>> = {}): Record<string, string> {
  const all = { ...process.env, NO_COLOR: "1", CHANNELTS_URI: undefined, ...env };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** Runs the program with arguments, and returns how it has ended. */
export async function runCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  await using cli = await startCli(args, options);
  cli.process.stdin!.end(options.input ?? "");
  return await cli.ended;
}

/** Starts the program with arguments, and leaves its stdin open. Disposal kills it. */
export async function startCli(args: readonly string[], options: CliOptions = {}): Promise<Cli> {
  const [program, ...flags] = await cliCommand(options.runtime);
  return new Cli(spawn(program, [...flags, ...args], { env: cliEnv(options.env) }), args.join(" "));
}

/** The program as it runs. */
export class Cli implements AsyncDisposable {
  readonly process: ChildProcess;
  /** Resolves when it has ended. */
  readonly ended: Promise<CliResult>;
  #stdout: Buffer[] = [];
  #stderr = "";
  #heard: (() => void)[] = [];

  constructor(child: ChildProcess, name: string) {
    this.process = child;
    child.stdin!.on("error", () => {}); // the program has ended
    child.stdout!.on("data", (chunk: Buffer) => this.#hear(() => this.#stdout.push(chunk)));
    child.stderr!.on("data", (chunk: Buffer) => this.#hear(() => this.#stderr += chunk));
    const closed = new Promise<CliResult>((resolve) => {
      child.on("close", (code) => {
        this.#hear(() => {});
        const bytes = Buffer.concat(this.#stdout);
        resolve({ code, bytes, stdout: bytes.toString(), stderr: this.#stderr });
      });
    });
    this.ended = within(closed, 60_000).catch((error) => {
      throw new Error(`channelts ${name}: ${error.message}; it has printed: ${this.#stderr}`);
    });
    this.ended.catch(() => {}); // a test may not read it
  }

  #hear(note: () => void): void {
    note();
    for (const heard of this.#heard.splice(0)) heard();
  }

  get stdout(): string {
    return Buffer.concat(this.#stdout).toString();
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Sends a signal. Deno's `ChildProcess.kill` would report the signal as the end, also if the program exits by itself. */
  signal(name: "SIGINT" | "SIGTERM" | "SIGKILL"): void {
    process.kill(this.process.pid!, name);
  }

  /** Resolves when the condition holds after something was printed. */
  async until(condition: (cli: Cli) => boolean): Promise<void> {
    while (!condition(this)) {
      if (this.process.exitCode !== null) throw new Error(`it has ended: ${this.#stderr}`);
      await within(new Promise<void>((resolve) => this.#heard.push(resolve)), 60_000);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill("SIGKILL");
    }
    await this.ended.catch(() => {});
  }
}
