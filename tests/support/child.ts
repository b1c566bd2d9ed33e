import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Runtime } from "./runtimes.ts";

/** The options of {@linkcode startChild}. */
export interface ChildOptions {
  /** The program's arguments. */
  args?: string[];
  /** Variables added to this process's environment; undefined removes a variable. */
  env?: Record<string, string | undefined>;
  /** Flags of the runtime. On Deno they replace `-A`, for example by single permissions. */
  runtimeArgs?: string[];
  /** The runtime to use, if not this process's. */
  runtime?: Runtime;
}

/** How a child ended. */
export interface ChildExit {
  code: number | null;
  signal: string | null;
}

/**
 * Runs a TypeScript program in a process of its own, by default on the runtime of this process. Parent and child
 * exchange lines of JSON; `child_side.ts` is the child's end. Disposal kills the child and waits for it.
 *
 * @param program a URL, usually `new URL("program.ts", import.meta.url)`
 */
export function startChild(program: URL, options: ChildOptions = {}): Child {
  return new Child(program, options);
}

/** A program started by {@linkcode startChild}. */
export class Child implements AsyncDisposable {
  /** Resolves when the child has ended and all its output has been read. */
  readonly exited: Promise<ChildExit>;
  #name: string;
  #process: ChildProcess;
  #messages: unknown[] = [];
  #waiting: ((over: boolean) => void)[] = [];
  #exit: ChildExit | undefined;
  #lastLine = "nothing";
  #noise = "";
  #stderr = "";

  constructor(program: URL, options: ChildOptions) {
    const file = fileURLToPath(program);
    const own = process.versions.deno
      ? [process.execPath, "run", ...options.runtimeArgs ?? ["-A"]]
      : [process.execPath, ...options.runtimeArgs ?? []];
    const [executable, ...flags] = options.runtime?.command ?? own;
    const env: Record<string, string> = {};
    for (const [name, value] of Object.entries({ ...process.env, ...options.env })) {
      if (value !== undefined) env[name] = value;
    }
    this.#name = file.split("/").at(-1)!;
    this.#process = spawn(executable!, [...flags, file, ...options.args ?? []], {
      env,
      stdio: "pipe",
    });
    this.#process.stdin!.on("error", () => {}); // the child is gone, which `exited` reports
    this.#process.stderr!.on("data", (data) => this.#stderr += data);
    createInterface({ input: this.#process.stdout! }).on("line", (line) => this.#receive(line));
    this.exited = new Promise((resolve) => {
      const end = (code: number | null, signal: string | null) => {
        this.#exit = { code, signal };
        for (const wake of this.#waiting.splice(0)) wake(true);
        resolve(this.#exit);
      };
      this.#process.once("close", end);
      this.#process.once("error", (error) => {
        this.#stderr += error.message;
        end(null, null);
      });
    });
  }

  /** The child's process id. */
  get pid(): number {
    return this.#process.pid!;
  }

  /** What the child has written to stderr so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Sends a message: one line of JSON on the child's stdin. */
  send(message: unknown): void {
    this.#process.stdin!.write(JSON.stringify(message) + "\n");
  }

  /**
   * Takes the child's next message.
   *
   * @param timeout milliseconds
   * @throws after the timeout, or when the child ends without a message: the error holds the child's state, its last
   * message and its output
   */
  async next(timeout = 20_000): Promise<unknown> {
    const message = await this.#take(timeout);
    if (message.length > 0) return message[0];
    const state = this.#exit
      ? `ended with ${this.#exit.signal ?? `code ${this.#exit.code}`}`
      : `runs, and sent nothing for ${timeout} ms`;
    const parts = [
      `no message from ${this.#name}: it ${state}; its last message: ${this.#lastLine}`,
    ];
    if (this.#noise) parts.push(`other output:\n${this.#noise}`);
    if (this.#stderr) parts.push(`stderr:\n${this.#stderr.slice(-4000)}`);
    throw new Error(parts.join("\n").trim());
  }

  /** The child's messages, until it ends. */
  get lines(): AsyncIterable<unknown> {
    return this.#lines();
  }

  /** Sends the child a signal, unless it has ended. */
  kill(signal: "SIGKILL" | "SIGTERM" | "SIGINT" | "SIGSTOP" | "SIGCONT" = "SIGKILL"): void {
    // process.kill is used because Deno's ChildProcess sends only one signal, and so cannot kill a stopped child.
    try {
      if (!this.#exit) process.kill(this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // it has just ended
    }
  }

  /** Ends the child's stdin: a program that uses `child_side.ts` then exits. */
  end(): void {
    this.#process.stdin!.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.exited;
  }

  async *#lines(): AsyncGenerator<unknown> {
    for (;;) {
      const message = await this.#take();
      if (message.length === 0) return;
      yield message[0];
    }
  }

  /** Returns one message in an array, or an empty array after the timeout or when the child has ended. */
  async #take(timeout?: number): Promise<unknown[]> {
    const deadline = timeout === undefined ? Infinity : Date.now() + timeout;
    while (this.#messages.length === 0 && !this.#exit) {
      if (!await this.#arrival(deadline - Date.now())) break;
    }
    return this.#messages.splice(0, 1);
  }

  #arrival(timeout: number): Promise<boolean> {
    return new Promise((resolve) => {
      const wake = (news: boolean) => {
        clearTimeout(timer);
        resolve(news);
      };
      const timer = Number.isFinite(timeout)
        ? setTimeout(() => {
          this.#waiting = this.#waiting.filter((one) => one !== wake);
          resolve(false);
        }, timeout)
        : undefined;
      this.#waiting.push(wake);
    });
  }

  #receive(line: string): void {
    try {
      this.#messages.push(JSON.parse(line));
    } catch {
      this.#noise += line + "\n"; // a program may print lines that are not JSON
      return;
    }
    this.#lastLine = line;
    for (const wake of this.#waiting.splice(0)) wake(true);
  }
}
