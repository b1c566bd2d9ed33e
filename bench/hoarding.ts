/** Measures how long a process that got quickly and has stopped keeps values that it has read ahead. */
import assert from "node:assert/strict";
import process from "node:process";
import { startChild } from "../tests/support/child.ts";
import { Channel } from "../mod.ts";
import { putMany } from "./clients/client.ts";
import { openRaw } from "./clients/raw.ts";
import { quantile } from "./compare.ts";
import { heading, progress, record, table } from "./output.ts";

const TRIALS = 30;
/** How many values the other process gets, after which its read-ahead is large. */
const GOT = 3000;
/**
 * How many values are left. All of them are sent to the other process, at the latest when its last acknowledgements
 * make room.
 */
const LEFT = 100;

export async function benchHoarding(connection: string): Promise<void> {
  heading("a process that gets fast, and stops");
  const inspector = await openRaw(connection);
  const name = `bench-hoarding-${crypto.randomUUID()}`;
  const ch = new Channel<number>({ name, connection });
  await ch.depth();
  const child = startChild(new URL("hoarding_peer.ts", import.meta.url), {
    args: [connection, name],
  });
  await child.next();
  const waits: number[] = [];
  const lasts: number[] = [];
  for (let trial = -3; trial < TRIALS; trial++) { // the first ones warm up
    progress(`hoarding: trial ${trial} of ${TRIALS}`);
    let n = 0;
    await putMany(GOT + LEFT, () => ch.put(n++));
    while (await inspector.depth(name) < GOT + LEFT);
    child.send(GOT);
    const stopped = await child.next() as number;
    const got = [await ch.get()];
    const first = performance.timeOrigin + performance.now() - stopped;
    while (got.length < LEFT) got.push(await ch.get());
    const last = performance.timeOrigin + performance.now() - stopped;
    const expected = Array.from({ length: LEFT }, (_, i) => GOT + i);
    assert.deepEqual(got.sort((a, b) => a - b), expected, "each value once");
    if (trial < 0) continue;
    waits.push(first);
    lasts.push(last);
  }
  await child[Symbol.asyncDispose]();
  await ch.delete();
  await inspector.close();

  const title = "from its last get to another process's get of what it held, in ms";
  const row = (label: string, times: number[]) => {
    const text = [0.5, 0, 1].map((q) => quantile(times, q).toFixed(1));
    record(title, label, `${text[0]} (${text[1]}–${text[2]})`);
    return [label, ...text];
  };
  table(title, [
    ["", "median", "least", "most"],
    row("first of 100 values", waits),
    row("last of 100 values", lasts),
  ]);
}

if (import.meta.main) await benchHoarding(process.env.BROKER!);
