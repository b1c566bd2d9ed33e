import { Channel, ChannelTimeoutError } from "../mod.ts";
import { connectionsRest } from "./conformance/fixture.ts";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { type Child, type ChildExit, type ChildOptions, startChild } from "./support/child.ts";
import { waitForConsumers } from "./support/consumers.ts";
import { freePorts, waitUntil } from "./support/net.ts";
import { test } from "./support/test.ts";
import { noLocalBroker } from "./support/conditions.ts";

const isNode = !process.versions.deno && !process.versions.bun;

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

/** How long a channel outlasts a failed test, in milliseconds. */
const expires = 60_000;

function run(program: string, args: string[], options: ChildOptions = {}): Child {
  return startChild(new URL(`programs/${program}.ts`, import.meta.url), { args, ...options });
}

/** Calls `use` with a new channel, and deletes the channel. */
async function withChannel<T>(
  use: (channel: Channel<T>, name: string) => Promise<void>,
  connection: string = broker,
): Promise<void> {
  const name = `test ${randomUUID()}`;
  const channel = new Channel<T>({ name, connection, expires });
  try {
    await channel.depth();
    await use(channel, name);
  } finally {
    await channel.close();
    await new Channel({ name, connection, expires }).delete();
    await connectionsRest();
  }
}

/** Returns how a child ends by itself. */
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

async function endsInOrder(child: Child, timeout = 20_000): Promise<void> {
  const exit = await ending(child, timeout);
  assert.deepEqual(exit, { code: 0, signal: null }, child.stderr);
  assert.equal(child.stderr, "");
}

/** The broker's `amqp://` addresses by name and by number, if it is on this machine. */
function addresses(): { byName: string; byNumber: string } {
  const url = new URL(broker);
  url.hostname = "localhost";
  const byName = url.href;
  url.hostname = "127.0.0.1";
  return { byName, byNumber: url.href };
}

Deno.test("two producers and three consumers move 3,000 values, each once, and one closeAll ends all five", async () => {
  await withChannel<number>(async (channel, name) => {
    const count = 1500;
    await using go = new Channel<true>({ connection: broker });
    await go.depth();
    await using producers = new Children(
      [0, 1].map((i) => run("producer", [broker, name, go.name, String(i * count), String(count)])),
    );
    await using consumers = new Children([1, 2, 3].map(() => run("consumer", [broker, name])));
    for (const producer of producers.all) assert.equal(await producer.next(), "ready");
    await waitForConsumers(broker, name, 3);

    for (const _ of producers.all) await go.put(true);
    for (const producer of producers.all) assert.equal(await producer.next(), "done");
    const shares = consumers.all.map((): number[] => []);
    const collected = consumers.all.map(async (consumer, i) => {
      for await (const value of consumer.lines) shares[i]!.push(value as number);
    });
    assert.ok(await waitUntil(() => shares.flat().length >= 2 * count, 60_000));
    await channel.closeAll();
    for (const producer of producers.all) {
      assert.deepEqual(await producer.next(), { reason: "closeAll" });
    }
    for (const child of [...producers.all, ...consumers.all]) await endsInOrder(child);
    await Promise.all(collected);

    const values = shares.flat().sort((a, b) => a - b);
    assert.deepEqual(values, Array.from({ length: 2 * count }, (_, i) => i));
  });
});

/** Children that are killed if the test does not see them end. */
class Children implements AsyncDisposable {
  readonly all: readonly Child[];

  constructor(all: readonly Child[]) {
    this.all = all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.all) await child[Symbol.asyncDispose]();
  }
}

test(
  "a process replies on a channel that it got in a message, whatever its address of the broker is",
  {
    skip: noLocalBroker,
  },
  async () => {
    const { byName, byNumber } = addresses();
    await withChannel<unknown>(async (jobs, name) => {
      await using replier = run("replier", [byNumber, name]);
      await using replies = new Channel<{ square: number; more: Channel<string> }>({
        connection: byName,
      });
      for (const n of [6, 7]) {
        await jobs.put({ n, replyTo: replies });
        const { square, more } = await replies.get({ timeout: 10_000 });
        assert.equal(square, n * n);
        // The reverse direction is relative, too: a channel of the replier, reached through this process's address.
        await more.put(`thanks for ${square}`);
        await more.close();
        assert.equal(await replier.next(), `thanks for ${square}`);
      }
      await jobs.closeAll();
      await endsInOrder(replier);
    }, byName);
  },
);

Deno.test("a value sent to a process that is killed in its get goes to another process", async () => {
  await withChannel<string>(async (channel, name) => {
    await using frozen = run("getter", [broker, name]);
    await waitForConsumers(broker, name, 1);
    frozen.kill("SIGSTOP");
    await channel.put("for whoever lives");
    // The broker has sent the value: it is no longer in the queue, and no process has it.
    assert.ok(await waitUntil(async () => await channel.depth() === 0, 20_000));
    await assert.rejects(channel.get({ timeout: 200 }), ChannelTimeoutError);

    await using other = run("getter", [broker, name]);
    await waitForConsumers(broker, name, 2);
    frozen.kill("SIGKILL");
    assert.equal(await other.next(), "for whoever lives");
    await endsInOrder(other);
    assert.equal((await frozen.exited).signal, "SIGKILL");
    await assert.rejects(frozen.next(), /ended with SIGKILL; its last message: nothing/);
    assert.equal(await channel.depth(), 0);
  });
});

Deno.test("a put into a reply channel resolves although its receiver deletes the channel at once", async () => {
  await withChannel<Channel<number>>(async (jobs, name) => {
    await using answerer = run("answerer", [broker, name]);
    for (let i = 0; i < 100; i++) {
      await using reply = new Channel<number>({ connection: broker });
      await jobs.put(reply);
      assert.equal(await reply.get({ timeout: 10_000 }), 42);
    }
    await jobs.closeAll();
    assert.deepEqual(await answerer.next(), { answered: 100, rejected: [] });
    await endsInOrder(answerer);
  });
});

/** The time in milliseconds in which a process must end after its last operation. */
const exitLimit = 5000;

/** Runs last.ts, which must end shortly after its operation. Returns its messages. */
async function last(act: string, connection: string, name: string): Promise<unknown[]> {
  await using child = run("last", [act, connection, name]);
  const reported: unknown[] = [];
  for (;;) {
    const message = await child.next();
    reported.push(message);
    if (typeof message === "object") break;
  }
  await endsInOrder(child, exitLimit);
  return reported;
}

for (
  const [act, reported] of Object.entries({
    "put": {},
    "get of its own put": { result: "to itself" },
    "timed-out get": { result: "ChannelTimeoutError" },
    "get at once": { result: "ChannelTimeoutError" },
    "aborted get": { result: "TimeoutError" },
    "iteration": {},
    "attach": { result: 0 },
  })
) {
  const skip = act === "aborted get" && isNode &&
    "on Node, neither AbortSignal.timeout nor a get on memory: keeps a process alive";
  test(
    `on memory a process ends by itself after its last operation: ${act}`,
    { skip },
    async () => {
      assert.deepEqual(await last(act, "memory:", "a channel"), [reported]);
    },
  );
  Deno.test(`on a broker a process ends by itself after its last operation: ${act}`, async () => {
    await withChannel<string>(async (_, name) => {
      assert.deepEqual(await last(act, broker, name), [reported]);
    });
  });
}

Deno.test("the last value that a process put is in the channel when it has ended", async () => {
  for (const act of ["put", "put without await"]) {
    await withChannel<string>(async (channel, name) => {
      await last(act, broker, name);
      assert.equal(await channel.get({ timeout: 20_000 }), "the last put", act);
    });
  }
});

Deno.test("the last value that a process got is not redelivered when it has ended", async () => {
  await withChannel<string>(async (channel, name) => {
    await channel.put("the only one");
    assert.deepEqual(await last("get", broker, name), [{ result: "the only one" }]);
    await assert.rejects(channel.get({ timeout: 500 }), ChannelTimeoutError);

    // The process waits this time, so the value arrives through a consumer.
    await using child = run("last", ["get", broker, name]);
    await waitForConsumers(broker, name, 1);
    await channel.put("the next one");
    assert.deepEqual(await child.next(), { result: "the next one" });
    await endsInOrder(child, exitLimit);
    await assert.rejects(channel.get({ timeout: 500 }), ChannelTimeoutError);
  });
});

Deno.test("a process ends by itself when another process's closeAll has ended its iteration", async () => {
  await withChannel<string>(async (channel, name) => {
    await using child = run("consumer", [broker, name]);
    await waitForConsumers(broker, name, 1);
    await channel.put("one");
    assert.equal(await child.next(), "one");
    await channel.closeAll();
    await endsInOrder(child, exitLimit);
  });
});

Deno.test("a process ends soon after a get that timed out on an unreachable broker", async () => {
  const [port] = await freePorts(1);
  const reported = await last(
    "late get of an unreachable broker",
    `amqp://127.0.0.1:${port}`,
    "any",
  );
  assert.deepEqual(reported, [{ result: "ChannelConnectionError" }]);
});

Deno.test("a process ends soon after close() although its broker is unreachable", async () => {
  const [port] = await freePorts(1);
  assert.deepEqual(await last("close while connecting", `amqp://127.0.0.1:${port}`, "any"), [{}]);
});

Deno.test("a process that waits for broadcasts stays alive, and ends with the channel", async () => {
  await withChannel<number>(async (channel, name) => {
    await using listeners = new Children([1, 2].map(() => run("listener", [broker, name])));
    for (const listener of listeners.all) assert.equal(await listener.next(), "listens");
    for (const n of [1, 2]) {
      await new Promise((resolve) => setTimeout(resolve, 300)); // longer than an idle connection stays open
      await channel.broadcast(n);
    }
    await channel.closeAll();
    for (const listener of listeners.all) {
      for (const reported of [1, 2, "over"]) assert.equal(await listener.next(), reported);
      await endsInOrder(listener);
    }
  });
});
