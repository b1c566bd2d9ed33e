import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";

/** The process's resident memory and its live objects, in bytes. */
export interface Memory {
  readonly rss: number;
  readonly heap: number;
}

/** Measures after garbage collection, if the runtime was started with `--expose-gc`. */
export async function memory(): Promise<Memory> {
  const { gc } = globalThis as { gc?: () => void };
  for (let i = 0; i < 4; i++) {
    gc?.();
    await pause(50); // finalizers run, and memory is returned
  }
  const { rss, heapUsed } = process.memoryUsage();
  return { rss, heap: heapUsed };
}

/** Returns the bytes of live objects and buffers after garbage collection. */
export async function held(): Promise<number> {
  await memory();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MB`;
}
