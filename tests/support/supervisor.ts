import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/**
 * Runs a `supervise_*.sh` script. The script runs in a session of its own, so that the terminal's Ctrl-C reaches only
 * this process. It cleans up when its stdin ends: on {@linkcode Supervisor.close}, or when this process dies in any
 * way.
 */
export class Supervisor {
  /** What the script wrote to stderr. */
  stderr = "";
  #child: ChildProcess;
  #gone: Promise<void>;

  /**
   * @param script a file beside this one
   * @param onLine called for each line that the script writes
   */
  constructor(
    script: string,
    args: string[],
    env: Record<string, string>,
    onLine: (line: string) => void,
  ) {
    const file = fileURLToPath(new URL(script, import.meta.url));
    this.#child = spawn("/bin/sh", [file, ...args], { detached: true, env, stdio: "pipe" });
    this.#gone = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.stderr += error.message;
        resolve();
      });
      this.#child.once("close", () => resolve());
    });
    this.#child.stdin?.on("error", () => {}); // the script has ended already, which #gone reports
    this.#child.stderr?.on("data", (data) => this.stderr += data);
    createInterface({ input: this.#child.stdout! }).on("line", onLine);
  }

  /** Resolves when the script and all processes that it started are gone. */
  get gone(): Promise<void> {
    return this.#gone;
  }

  /** Sends one line to the script. */
  send(line: string): void {
    this.#child.stdin?.write(line + "\n");
  }

  /** Lets this process end although the script runs: it cleans up then, too. */
  unref(): void {
    this.#child.unref();
    for (const pipe of this.#child.stdio) (pipe as { unref?(): void } | null)?.unref?.();
  }

  /** Ends the script, which cleans up, and waits for that for up to 30 s. Idempotent. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, 30_000));
    await Promise.race([this.#gone, late]);
    clearTimeout(timer);
  }
}

/** Returns this process's environment without settings of RabbitMQ and Erlang, plus `additions`. */
export function cleanEnv(additions: Record<string, string> = {}): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !/^(RABBITMQ|ERL)_/.test(name)) env[name] = value;
  }
  return { ...env, ...additions };
}

/** Writes one line to stderr. */
export function logLine(line: string): void {
  process.stderr.write(line + "\n");
}
