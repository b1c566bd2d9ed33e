// Starts the workers of demo.ts.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { Worker as Thread } from "node:worker_threads";
import { Connection } from "../mod.ts";
import type { Start } from "./worker.ts";

/** A worker as the demo sees it. */
export interface Worker {
  readonly title: string;
  /** Resolves with whether the worker ended without an error. */
  readonly ended: Promise<boolean>;
  kill(): void;
}

/** The command that runs a TypeScript file. */
export interface Runtime {
  readonly title: string;
  readonly command: readonly string[];
}

const program = fileURLToPath(new URL("worker.ts", import.meta.url));

/** Returns Deno, and the other installed runtimes that can run a worker on this connection. */
export async function find(connection: string): Promise<Runtime[]> {
  const isFile = connection.startsWith("sqlite:");
  const others = [
    { name: "Bun", program: "bun", since: isFile ? [1, 4] : [1, 2] },
    { name: "Node", program: "node", since: [22, 18] }, // the first version that runs TypeScript
  ];
  const found = await Promise.all(others.map(async ({ name, program, since }) => {
    const version = await versionOf(program);
    const title = `${name} ${version?.join(".")}`;
    return version && compare(version, since) >= 0 ? [{ title, command: [program] }] : [];
  }));
  return [{ title: `Deno ${Deno.version.deno}`, command: denoFor(connection) }, ...found.flat()];
}

async function versionOf(program: string): Promise<number[] | undefined> {
  try {
    const { stdout } = await promisify(execFile)(program, ["--version"], { timeout: 5000 });
    return /(\d+)\.(\d+)\.(\d+)/.exec(stdout)?.slice(1).map(Number);
  } catch {
    return undefined; // it is not installed
  }
}

function compare([major = 0, minor = 0]: number[], [sinceMajor = 0, sinceMinor = 0]: number[]) {
  return major - sinceMajor || minor - sinceMinor;
}

/** Returns Deno's command with exactly the permissions that the connection needs. */
function denoFor(connection: string): string[] {
  let permissions = ["--allow-net"];
  if (connection.startsWith("sqlite:")) {
    const { address } = new Connection(connection); // with the absolute path
    const directory = dirname(decodeURIComponent(address.slice("sqlite:".length)));
    permissions = [`--allow-read=${directory}`, `--allow-write=${directory}`];
  }
  return [Deno.execPath(), "run", "--no-prompt", "--quiet", ...permissions];
}

/** Starts a worker process. */
export function startProcess({ title, command }: Runtime, start: Start): Worker {
  const { name, connection, hello } = start;
  const [executable, ...args] = command;
  const child = spawn(executable!, [...args, program, name, connection, hello], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return {
    title: `a ${title} process`,
    ended: ending(child),
    kill: () => child.kill("SIGKILL"),
  };
}

/** Starts a worker in a thread of this process. */
export function startThread(start: Start): Worker {
  const thread = new Thread(program, { workerData: start });
  return {
    title: "a Worker of this process",
    ended: ending(thread),
    kill: () => thread.terminate(),
  };
}

function ending(worker: ChildProcess | Thread): Promise<boolean> {
  return new Promise((resolve) => {
    worker.once("error", (error: Error) => {
      process.stderr.write(`${error.stack}\n`);
      resolve(false);
    });
    worker.once("exit", (code: number | null) => resolve(code === 0));
  });
}
