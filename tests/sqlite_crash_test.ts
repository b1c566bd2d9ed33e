// Processes that are killed at random moments: confirmed values exist, and each is delivered once, unless marked.
// CRASH_ROUNDS=200 makes the test long.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Channel, ChannelTimeoutError } from "../mod.ts";
import { pause, random, until } from "./conformance/fixture.ts";
import { type Child, startChild } from "./support/child.ts";
import { checkFile, count, sqliteDirectory } from "./support/sqlite_file.ts";

const rounds = Number(process.env.CRASH_ROUNDS ?? 12);
const directory = sqliteDirectory();
const path = join(directory, "crash.db");
const connection = `sqlite:${path}`;
const name = "crash";

/** How many numbers one producer may put. */
const span = 1_000_000;

Deno.test(`sqlite: ${rounds} killed processes lose no confirmed value and duplicate only values that they held`, async () => {
  const running: Child[] = [];
  const logs: string[] = [];
  const start = (kind: "producer" | "consumer"): Child => {
    const log = join(directory, `${kind} ${logs.length}`);
    logs.push(log);
    const program = new URL(`programs/crash_${kind}.ts`, import.meta.url);
    return startChild(program, { args: [connection, name, log, String(span * logs.length)] });
  };
  const kind = (i: number) => i % 2 === 0 ? "producer" : "consumer";
  const lines = (kind: string) =>
    logs.filter((log) => log.includes(kind) && existsSync(log))
      .flatMap((log) => readFileSync(log, "utf8").trim().split("\n").filter(Boolean));
  const rest: string[] = [];

  try {
    for (let i = 0; i < 4; i++) running[i] = start(kind(i));
    await until(() => logs.some((log) => log.includes("consumer") && existsSync(log)), 20_000);
    for (let round = 0; round < rounds; round++) {
      await until(() => lines("producer").length > round * 6, 20_000);
      await pause(random(200));
      const i = random(4);
      running[i]!.kill();
      await running[i]!.exited;
      checkFile(path);
      running[i] = start(kind(i));
    }
    for (const child of running) child.kill();
    for (const child of running) await child.exited;
    const channel = new Channel<number>({ name, connection });
    for (;;) { // no other process is left: values that the last ones held are returned when the file is opened
      const left = await channel.receive({ timeout: 0 }).catch((error) => {
        if (!(error instanceof ChannelTimeoutError)) throw error;
      });
      if (left === undefined) break;
      rest.push(`${left.value}${left.redelivered ? "!" : ""}`);
      left.accept();
    }
    await until(() => count(path, "messages") === 0);
    checkFile(path);
    await channel.close();
  } finally {
    for (const child of running) await child[Symbol.asyncDispose]();
    await pause(60); // the connection becomes idle
  }

  const confirmed = lines("producer");
  const delivered = [...lines("consumer"), ...rest];
  const first = delivered.filter((line) => !line.endsWith("!"));
  const all = new Set(delivered.map((line) => line.replace("!", "")));
  process.stdout.write(
    `${confirmed.length} puts confirmed, ${all.size} values delivered, ` +
      `${delivered.length - all.size} of them again\n`,
  );
  assert.deepEqual(confirmed.filter((n) => !all.has(n)), [], "values were lost");
  assert.equal(new Set(first).size, first.length, "a duplicate was not marked");
  assert.ok(confirmed.length > rounds * 5, `only ${confirmed.length} were put`);
});
