import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";

/** Bytes that the process has from the system, and bytes of live objects. */
export interface Memory {
  readonly rss: number;
  readonly heap: number;
}

/** Measures after garbage collection, where the runtime was started with `--expose-gc`. */
export async function memory(): Promise<Memory> {
  const { gc } = globalThis as { gc?: () => void };
  for (let i = 0; i < 4; i++) {
    gc?.();
    await pause(50); // finalizers run, and memory goes back
  }
  const { rss, heapUsed } = process.memoryUsage();
  return { rss, heap: heapUsed };
}

/** Bytes of live objects and of buffers, after garbage collection. */
export async function held(): Promise<number> {
  await memory();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MB`;
}
