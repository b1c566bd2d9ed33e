import { Channel, type ChannelTimeoutError } from "@channelts/channel";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { type Child, type ChildExit, type ChildOptions, startChild } from "./support/child.ts";
import { waitForConsumers } from "./support/consumers.ts";
import type { freePorts, waitUntil } from "./support/net.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

/** Milliseconds for which a channel outlasts a test that fails. */
const expires = 60_000;

function run(program: string, args: string[], options: ChildOptions = {}): Child {
  return startChild(new URL(`programs/${program}.ts`, import.meta.url), { args, ...options });
}

/** A channel under a new name, which is deleted in the end. */
async function withChannel<T>(
  use: (channel: Channel<T>, name: string) => Promise<void>,
  connection: string = broker,
): Promise<void> {
  const name = `test ${randomUUID()}`;
  await using channel = new Channel<T>({ name, connection, expires });
  try {
    await channel.depth();
    await use(channel, name);
  } finally {
    await new Channel({ name, connection, expires }).delete();
  }
}

/** How a child ends by itself. */
async function ending(child: Child, timeout: number): Promise<ChildExit> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it still runs after ${timeout} ms`)), timeout);
  });
  try {
    return await Promise.race([child.exited, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function endsInOrder(child: Child, timeout = 5000): Promise<void> {
  const exit = await ending(child, timeout);
  assert.deepEqual(exit, { code: 0, signal: null }, child.stderr);
  assert.equal(child.stderr, "");
}

/** `amqp://` addresses of the broker by name and by number; undefined where it is not on this machine. */
function addresses(): { byName: string; byNumber: string } | undefined {
  const url = new URL(broker);
  if (url.hostname !== "localhost" && url.hostname !== "127.0.0.1") return undefined;
  url.hostname = "localhost";
  const byName = url.href;
  url.hostname = "127.0.0.1";
  return { byName, byNumber: url.href };
}

Deno.test("two producers and three consumers move 3,000 values, each once, and one closeAll ends all five", async () => {
  await withChannel<number>(async (channel, name) => {
    const count = 1500;
    await using producers = new Children(
      [0, 1].map((i) => run("producer", [broker, name, String(i * count), String(count)])),
    );
    await using consumers = new Children([1, 2, 3].map(() => run("consumer", [broker, name])));
    for (const producer of producers.all) assert.equal(await producer.next(), "ready");
    await waitForConsumers(broker, name, 3);

    for (const producer of producers.all) producer.send("go");
    for (const producer of producers.all) assert.equal(await producer.next(), "done");
    const shares = consumers.all.map((): number[] => []);
    const collected = consumers.all.map(async (consumer, i) => {
      for await (const value of consumer.lines) shares[i]!.push(value as number);
    });
    await waitUntil(() => shares.flat().length >= 2 * count, 20_000);
    await channel.closeAll();
    for (const producer of producers.all) {
      assert.deepEqual(await producer.next(), { reason: "closeAll" });
    }
    for (const child of [...producers.all, ...consumers.all]) await endsInOrder(child);
    await Promise.all(collected);

    const values = shares.flat().sort((a, b) => a - b);
    assert.deepEqual(values, Array.from({ length: 2 * count }, (_, i) => i));
    const sizes = shares.map((share) => share.length);
    console.log(sizes);
  });
});

/** Children that are killed where the test does not see them end. */
class Children implements AsyncDisposable {
  readonly all: readonly Child[];

  constructor(all: readonly Child[]) {
    this.all = all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.all) await child[Symbol.asyncDispose]();
  }
}
