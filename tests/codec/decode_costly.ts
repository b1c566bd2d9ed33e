// What decoding a costly message takes: decode_costly.ts KIND SIZE, run with a garbage collector to call.

import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { CodecError, decode } from "../../src/codec/mod.ts";
import { send } from "../support/child_side.ts";
import { COSTLY } from "./costly.ts";

/** In bytes, of a value that was decoded. */
export interface Cost {
  readonly accepted: boolean;
  /** What is left after a collection of garbage, by what the engine tells. */
  readonly kept: number;
  /** By how much the process grew meanwhile at most, by what the system tells; garbage included. */
  readonly peak: number;
}

const runtime = globalThis as unknown as { gc?(): void; Bun?: { gc(force: boolean): void } };

async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    runtime.Bun ? runtime.Bun.gc(true) : runtime.gc!();
    await setTimeout(5); // what is freed by other threads
  }
}

function used(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Where the system tells no peak, what is used right now. */
function peakOfProcess(): number {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    return 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)![1]);
  } catch {
    return process.memoryUsage().rss;
  }
}

function tryToDecode(message: Uint8Array): unknown {
  try {
    return decode(message);
  } catch (error) {
    if (error instanceof CodecError) return error;
    throw error;
  }
}

const [kind, size] = process.argv.slice(2);
tryToDecode(COSTLY.get(kind!)!(1000)); // so that what is loaded and compiled does not count
const message = COSTLY.get(kind!)!(Number(size));
await collectGarbage();
const usedBefore = used();
const peakBefore = Math.max(process.memoryUsage().rss, peakOfProcess());
const value = tryToDecode(message);
const peak = peakOfProcess() - peakBefore;
await collectGarbage();
const kept = used() - usedBefore;
send({ accepted: !(value instanceof CodecError), kept, peak } satisfies Cost);
