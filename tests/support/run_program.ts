import { spawn } from "node:child_process";
import { closeSync, openSync, statSync } from "node:fs";
import process from "node:process";
import { TEST_TIMEOUT } from "./report.ts";
import { ROOT } from "./test_files.ts";

/** The options of {@linkcode runProgram}. */
export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** A file that receives the program's output. */
  output?: string;
  /**
   * A file that the program writes while it makes progress. The program is killed if it does not write for too long.
   */
  progress?: string;
}

/** Runs a program until it ends. Resolves with its exit code and with a text that says how it ended. */
export function runProgram(
  [program, ...args]: string[],
  { cwd = ROOT, env, output, progress }: RunOptions = {},
): Promise<{ code: number | null; ending: string }> {
  return new Promise((resolve, reject) => {
    const prints = output === undefined ? "inherit" : openSync(output, "a");
    const child = spawn(program!, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", prints, prints],
    });
    if (prints !== "inherit") closeSync(prints);
    let silent = false;
    const start = Date.now();
    const watch = progress && setInterval(() => {
      const last = statSync(progress, { throwIfNoEntry: false })?.mtimeMs ?? start;
      if (Date.now() - Math.max(last, start) < TEST_TIMEOUT + 30_000) return;
      silent = true;
      process.kill(child.pid!, "SIGKILL");
    }, 1000);
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      clearInterval(watch || undefined);
      const ending = silent
        ? "its process made no progress and was killed"
        : `its process ended with ${signal ?? `code ${code}`}`;
      resolve({ code: silent ? 1 : code, ending });
    });
  });
}
