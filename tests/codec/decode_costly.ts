// Measures the cost of decoding a message: decode_costly.ts KIND SIZE, with an exposed garbage collector.

import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { decode } from "../../src/encoding/cbor/mod.ts";
import { decode as decodeJson } from "../../src/encoding/json/mod.ts";
import { send } from "../support/child_side.ts";
import { linkOptions, putOn } from "../support/link.ts";
import { COSTLY, COSTLY_JSON, COSTLY_REFERENCES } from "./costly.ts";

/** The cost of a decoded value, in bytes. */
export interface Cost {
  readonly accepted: boolean;
  /** The memory that is left after a garbage collection, as the engine reports. */
  readonly kept: number;
  /** The maximum growth of the process, as the system reports, garbage included. */
  readonly peak: number;
  /** In milliseconds. */
  readonly took: number;
}

const runtime = globalThis as unknown as { gc?(): void; Bun?: { gc(force: boolean): void } };

async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    runtime.Bun ? runtime.Bun.gc(true) : runtime.gc!();
    await setTimeout(5); // memory that other threads free
  }
}

function used(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The peak, or the current use if the system reports no peak. */
function peakOfProcess(): number {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    return 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)![1]);
  } catch {
    return process.memoryUsage().rss;
  }
}

/** The value of a message, or `refused` if it is rejected. */
async function outcome(message: Uint8Array): Promise<unknown> {
  try {
    if (COSTLY_REFERENCES.has(kind!)) return await got(message);
    return COSTLY.has(kind!) ? decode(message) : decodeJson(message);
  } catch (error) {
    if (!(error instanceof Error && isRefusal(error))) throw error;
    return refused;
  }
}

const refused = Symbol("refused");

function isRefusal(error: Error): boolean {
  return ["CodecError", "JsonError", "ChannelDecodeError"].includes(error.name);
}

/** The value of a message that contains references. */
async function got(body: Uint8Array): Promise<unknown> {
  const { Channel } = await import("../../mod.ts");
  const { MemoryTransport } = await import("../../src/transports/memory/transport.ts");
  const transport = new MemoryTransport("memory:costly");
  const channel = new Channel({ name: "costly", connection: transport });
  const link = await transport.open("costly", linkOptions);
  await putOn(link, { body, contentType: body[0] === 0x5b ? "" : "application/cbor" });
  return await channel.get();
}

const [kind, size] = process.argv.slice(2);
const make = (COSTLY.get(kind!) ?? COSTLY_JSON.get(kind!) ?? COSTLY_REFERENCES.get(kind!))!;
await outcome(make(1000)); // loads and compiles the code, which then does not count
const message = make(Number(size));
await collectGarbage();
const usedBefore = used();
const peakBefore = Math.max(process.memoryUsage().rss, peakOfProcess());
const start = performance.now();
const value = await outcome(message);
const took = performance.now() - start;
const peak = peakOfProcess() - peakBefore;
await collectGarbage();
const kept = used() - usedBefore;
send({ accepted: value !== refused, kept, peak, took } satisfies Cost);
