import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Runtime } from "./runtimes.ts";

/** The program `channelts` as a file. */
const program = fileURLToPath(new URL("../../cli.ts", import.meta.url));

/** The options of {@linkcode startCommand}. */
export interface CommandOptions {
  readonly connection?: string;
  readonly runtime?: Runtime;
  /** What is written to stdin, which then ends. */
  readonly input?: string | Uint8Array;
}

/** How a command ended, and what it printed. */
export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Returns the command that runs the program, on the runtime of this process by default. */
export function commandOf(args: readonly string[], runtime?: Runtime): string[] {
  const own = process.versions.deno ? [process.execPath, "run", "-A"] : [process.execPath];
  return [...runtime?.command ?? own, program, ...args];
}

/** A command of the program that runs. Disposal kills it. */
export class RunningCommand implements AsyncDisposable {
  stdout = "";
  stderr = "";
  readonly result: Promise<CommandResult>;
  readonly #process: ChildProcess;

  constructor(args: readonly string[], { connection, runtime, input = "" }: CommandOptions) {
    const [executable, ...rest] = commandOf(args, runtime);
    this.#process = spawn(executable!, rest, {
      env: { ...process.env, ...connection === undefined ? {} : { CHANNELTS_URI: connection } },
      stdio: "pipe",
    });
    this.#process.stdin!.on("error", () => {}); // it has ended, which `result` tells
    this.#process.stdin!.end(input);
    this.#process.stdout!.setEncoding("utf8").on("data", (data) => this.stdout += data);
    this.#process.stderr!.setEncoding("utf8").on("data", (data) => this.stderr += data);
    this.result = new Promise((resolve, reject) => {
      this.#process.once("error", reject);
      this.#process.once("close", (code) => {
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  /** Sends a signal, unless the command has ended. */
  kill(signal: "SIGINT" | "SIGTERM" | "SIGKILL"): void {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      process.kill(this.#process.pid!, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.result;
  }
}

/** Starts a command of the program `channelts`. */
export function startCommand(
  args: readonly string[],
  options: CommandOptions = {},
): RunningCommand {
  return new RunningCommand(args, options);
}

/** Runs a command to its end. */
export async function runCommand(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  await using command = new RunningCommand(args, options);
  return await command.result;
}
