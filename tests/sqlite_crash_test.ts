// Processes that are killed at random moments: what was put is there, and what was taken comes once.
// CRASH_ROUNDS=200 makes it long.

import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { Channel, ChannelTimeoutError } from "../mod.ts";
import { pause, random, soon, until } from "./conformance/scene.ts";
import { type Child, startChild } from "./support/child.ts";
import { checkFile, count, sqliteDirectory } from "./support/sqlite_file.ts";

const rounds = Number(process.env.CRASH_ROUNDS ?? 12);
const path = join(sqliteDirectory(), "crash.db");
const connection = `sqlite:${path}`;

/** Numbers that one producer may put. */
const span = 1_000_000;

Deno.test(`${rounds} processes that are killed lose nothing that was put, and double only what they held`, async () => {
  const name = "crash";
  const confirmed = new Set<number>();
  const delivered = new Map<number, number>();
  const doubled: number[] = [];
  const running: Child[] = [];
  const reading: Promise<void>[] = [];
  let producers = 0;

  const deliver = (n: number, redelivered: boolean) => {
    const times = delivered.get(n) ?? 0;
    delivered.set(n, times + 1);
    if (times > 0 && !redelivered) doubled.push(n);
  };
  const start = (isProducer: boolean): Child => {
    const program = new URL(
      `programs/crash_${isProducer ? "producer" : "consumer"}.ts`,
      import.meta.url,
    );
    const first = String(span * producers);
    if (isProducer) producers++;
    const child = startChild(program, { args: [connection, name, first] });
    reading.push((async () => {
      for await (const told of child.lines) {
        if (isProducer) confirmed.add(told as number);
        else deliver(...told as [number, boolean]);
      }
    })());
    return child;
  };

  try {
    for (let i = 0; i < 4; i++) running[i] = start(i % 2 === 0);
    await until(() => delivered.size > 0, 10_000);
    for (let round = 0; round < rounds; round++) {
      await pause(random(200));
      const i = random(4);
      running[i]!.kill();
      await running[i]!.exited;
      checkFile(path);
      running[i] = start(i % 2 === 0);
    }
    for (const i of [0, 2]) running[i]!.kill();
    const channel = new Channel<number>({ name, connection });
    await until(async () => await channel.depth() === 0, 20_000);
    for (const i of [1, 3]) running[i]!.kill();
    for (const child of running) await child.exited;
    await soon(Promise.all(reading));
    // What those held that were killed last; it may take two seconds.
    for (;;) {
      const left = await channel.receive({ timeout: 2000 }).catch((error) => {
        if (!(error instanceof ChannelTimeoutError)) throw error;
      });
      if (left === undefined) break;
      deliver(left.value, left.redelivered);
      left.accept();
    }
    await channel.depth(); // and so all is written
    assert.equal(count(path, "messages"), 0);
    checkFile(path);
    await channel.close();
  } finally {
    for (const child of running) await child[Symbol.asyncDispose]();
    await pause(60); // the connection rests
  }
  const lost = [...confirmed].filter((n) => !delivered.has(n));
  assert.deepEqual(lost, [], "values were lost");
  assert.deepEqual(doubled, [], "values came twice without a word");
  const again = [...delivered.values()].filter((times) => times > 1).length;
  process.stdout.write(
    `${confirmed.size} puts confirmed, ${delivered.size} values delivered, ${again} of them again\n`,
  );
  assert.ok(confirmed.size > rounds * 5, `only ${confirmed.size} were put`);
});
