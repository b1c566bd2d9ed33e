import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { CliError } from "./cli_error.ts";

/** How a program has ended. */
export interface Ended {
  readonly output: Uint8Array;
  /** Why it has failed: `ended with code 1`; undefined if it has not. */
  readonly failure: string | undefined;
}

/** Milliseconds after SIGTERM until SIGKILL. */
const killAfter = 5000;

/** The programs that run. They are ended with this process. */
const running = new Set<ChildProcess>();

/**
 * Runs a program. It has a process group of its own, so that Ctrl-C in a terminal does not end it before its work is
 * done. Its stderr is that of this process.
 *
 * @param input the bytes of its stdin; a program that does not read them is no error
 * @param signal ends the program, by SIGTERM
 * @throws {CliError} if it cannot be started
 */
export function runChild(
  [program, ...args]: readonly [string, ...string[]],
  input: Uint8Array,
  signal: AbortSignal,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "inherit"],
      detached: process.platform !== "win32",
    });
    if (running.size === 0) process.on("exit", endAll);
    running.add(child);
    const chunks: Uint8Array[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = () => {
      end(child, "SIGTERM");
      timer ??= setTimeout(() => end(child, "SIGKILL"), killAfter);
    };
    const settled = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      running.delete(child);
      if (running.size === 0) process.off("exit", endAll);
    };
    child.on("error", (cause) => {
      settled();
      reject(new CliError(`${program} cannot be run: ${cause.message}`, { cause }));
    });
    child.on("close", (code, name) => {
      settled();
      const failure = name !== null
        ? `was ended by ${name}`
        : code !== 0
        ? `ended with code ${code}`
        : undefined;
      resolve({ output: joined(chunks), failure });
    });
    child.stdout!.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    child.stdin!.on("error", () => {}); // the program has not read all of its input
    child.stdin!.end(input);
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
  });
}

function end(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === "win32") child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch {
    child.kill(signal); // the runtime has given it no process group of its own, or it has ended
  }
}

function endAll(): void {
  for (const child of running) end(child, "SIGTERM");
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
