// One file, several processes, on several runtimes.
import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Channel } from "../mod.ts";
import { numbers, pause, until, within } from "./conformance/fixture.ts";
import { type Child, type ChildOptions, startChild } from "./support/child.ts";
import { findRuntime } from "./support/runtimes.ts";
import {
  checkFile,
  count,
  sqliteDirectory,
  stopOutsideTransaction,
  withFile,
} from "./support/sqlite_file.ts";
import { test } from "./support/test.ts";
import { decidedOnDeno, noDeno } from "./support/conditions.ts";

const directory = sqliteDirectory();
const path = join(directory, "channels.db");
const connection = `sqlite:${path}`;

function run(program: string, args: string[], options: ChildOptions = {}): Child {
  return startChild(new URL(`programs/${program}.ts`, import.meta.url), { args, ...options });
}

async function withChannel<T>(use: (channel: Channel<T>, name: string) => Promise<void>) {
  const name = crypto.randomUUID();
  const channel = new Channel<T>({ name, connection });
  try {
    await channel.depth();
    await use(channel, name);
    checkFile(path);
  } finally {
    await channel.close();
    await new Channel({ name, connection }).delete();
    await pause(60); // it becomes idle
  }
}

async function endsInOrder(child: Child): Promise<void> {
  const exit = await within(child.exited);
  assert.deepEqual(exit, { code: 0, signal: null }, child.stderr);
  assert.doesNotMatch(child.stderr, /error/i);
}

test(
  "sqlite: a producer and consumers on three runtimes share a file, and one closeAll ends them",
  {
    skip: decidedOnDeno,
  },
  async () => {
    const runtimes = await Promise.all((["deno", "bun", "node"] as const).map(findRuntime));
    await withChannel<number>(async (channel, name) => {
      const each = 600;
      await using go = new Channel<true>({ connection });
      await go.depth();
      const producers = runtimes.map((runtime, i) =>
        run("producer", [connection, name, go.name, String(i * each), String(each)], { runtime })
      );
      const consumers = runtimes.map((runtime) => run("consumer", [connection, name], { runtime }));
      try {
        for (const producer of producers) assert.equal(await producer.next(), "ready");
        await until(() => count(path, "waiters") >= 3);
        for (const _ of producers) await go.put(true);
        const shares = consumers.map((): number[] => []);
        const collected = consumers.map(async (consumer, i) => {
          for await (const value of consumer.lines) shares[i]!.push(value as number);
        });
        await until(() => shares.flat().length >= 3 * each, 20_000);
        for (const producer of producers) assert.equal(await producer.next(), "done");
        await channel.closeAll();
        for (const producer of producers) {
          assert.deepEqual(await producer.next(), { reason: "closeAll" });
        }
        for (const child of [...producers, ...consumers]) await endsInOrder(child);
        await Promise.all(collected);
        assert.deepEqual(shares.flat().sort((a, b) => a - b), numbers(3 * each));
        for (const share of shares) {
          for (const i of numbers(3)) { // each producer's values are in order
            const mine = share.filter((n) => Math.floor(n / each) === i);
            assert.deepEqual(mine, mine.toSorted((a, b) => a - b));
          }
        }
      } finally {
        for (const child of [...producers, ...consumers]) await child[Symbol.asyncDispose]();
      }
    });
  },
);

const ways: [way: string, limit: number][] = [["exit", 400], ["throw", 1500], ["kill", 1500]];
for (const [way, limit] of ways) {
  test(`sqlite: a value held by a process that ends by ${way} is available within ${limit} ms`, {
    timed: "the documentation promises this time",
  }, async () => {
    await withChannel<number>(async (channel, name) => {
      await using child = run("ending_holder", [connection, name, way]);
      await until(() => count(path, "waiters") === 1);
      await channel.put(7);
      const waiting = channel.receive();
      assert.deepEqual(await child.next(), [7, 1]);
      const exited = child.exited.then(() => performance.now());
      const delivery = await within(waiting);
      const took = performance.now() - await exited;
      assert.ok(took < limit, `it took ${took} ms`);
      assert.deepEqual([delivery.value, delivery.redelivered], [7, true]);
      assert.ok(delivery.attempts === 2, `attempts: ${delivery.attempts}`);
      delivery.accept();
      await until(() => count(path, "sessions") === 1);
    });
  });
}

Deno.test("sqlite: a process that computes for seconds keeps the values that it holds", async () => {
  await withChannel<number>(async (channel, name) => {
    await channel.put(7);
    await using child = run("ending_holder", [connection, name, "accept", "3000"]);
    assert.deepEqual(await child.next(), [7, 1]);
    await assert.rejects(channel.get({ timeout: 2500 }), { name: "ChannelTimeoutError" });
    assert.equal(await child.next(), "accepted");
    await endsInOrder(child);
    assert.equal(count(path, "messages"), 0);
  });
});

Deno.test("sqlite: a value that was delivered to a waiting process as it was killed goes to another one", async () => {
  await withChannel<string>(async (channel, name) => {
    await using frozen = run("getter", [connection, name]);
    await until(() => count(path, "waiters") === 1);
    await stopOutsideTransaction(frozen, path);
    await channel.put("for whoever lives");
    frozen.kill("SIGKILL");
    assert.equal(await channel.get({ timeout: 20_000 }), "for whoever lives");
  });
});

Deno.test("sqlite: values survive without attached handles, also in a file of killed processes", async () => {
  await withChannel<number>(async (channel, name) => {
    await channel.put(7);
    {
      await using child = run("holder", [connection, name]);
      assert.deepEqual(await child.next(), { value: 7, attempts: 1, redelivered: false });
      await channel.close();
      await pause(60);
    }
    const again = new Channel<number>({ name, connection });
    assert.equal(await again.get({ timeout: 0 }), 7);
    await again.close();
  });
});

for (
  const [act, reported] of Object.entries({
    "put": {},
    "put without await": {},
    "get of its own put": { result: "to itself" },
    "timed-out get": { result: "ChannelTimeoutError" },
    "get at once": { result: "ChannelTimeoutError" },
    "iteration": {},
    "attach": { result: 0 },
  })
) {
  Deno.test(`sqlite: a process ends by itself after its last operation: ${act}`, async () => {
    await withChannel<string>(async (channel, name) => {
      await using child = run("last", [act, connection, name]);
      assert.deepEqual(await child.next(), reported);
      await endsInOrder(child);
      if (act.startsWith("put")) assert.equal(await channel.get({ timeout: 0 }), "the last put");
      await until(() => count(path, "messages") === 0);
      // the session of this process is gone, too
      if (act === "iteration") await until(() => count(path, "sessions") === 0);
      else assert.equal(count(path, "sessions"), 1);
    });
  });
}

Deno.test("sqlite: an idle handle that others wake up keeps no process alive", async () => {
  await withChannel<string>(async (_, name) => {
    await using child = run("idle", [connection, "300"]);
    assert.equal(await child.next(), "attached");
    const idle = new Channel({ name: "idle", connection });
    await idle.closeAll();
    assert.equal(await child.next(), "nothing to do");
    await endsInOrder(child);
    await new Channel({ name: "idle", connection }).delete();
    assert.ok(name);
  });
});

Deno.test("sqlite: a killed process leaves a file only for a short time", async () => {
  await withChannel<string>(async (_, name) => {
    await using child = run("getter", [connection, name]);
    await until(() => count(path, "waiters") === 1);
    const files = readdirSync(directory).length;
    child.kill();
    await until(() => readdirSync(directory).length === files - 2);
  });
});

test(
  "sqlite: on Deno it needs permission to read and write its directory, nothing else, and never prompts",
  { skip: noDeno },
  async () => {
    const inside = `sqlite:${join(directory, "permitted.db")}`;
    const granted = [`--allow-read=${directory}`, `--allow-write=${directory}`];
    const attempt = async (runtimeArgs: string[], uri = inside) => {
      await using child = run("permitted", [uri], { runtimeArgs });
      const reported = await child.next();
      await child.exited;
      assert.equal(child.stderr, "");
      return reported as { got?: string; error?: string; message?: string };
    };
    assert.deepEqual(await attempt(granted), { got: "a value" });
    for (const one of granted) {
      const { error, message } = await attempt([one]);
      assert.equal(error, "ChannelConfigError");
      for (const flag of granted) assert.ok(message!.includes(flag), message);
    }
    const { error } = await attempt(granted, "sqlite:");
    assert.equal(error, "ChannelConfigError");
  },
);

test("sqlite: processes on three runtimes get every broadcast and end with the channel", {
  skip: decidedOnDeno,
}, async () => {
  const runtimes = await Promise.all((["deno", "bun", "node"] as const).map(findRuntime));
  await withChannel<number>(async (channel, name) => {
    const listeners = runtimes.map((runtime) => run("listener", [connection, name], { runtime }));
    try {
      for (const listener of listeners) assert.equal(await listener.next(), "listens");
      for (const n of [1, 2]) {
        await pause(300); // longer than an unused file stays open
        await channel.broadcast(n);
      }
      await channel.closeAll();
      for (const listener of listeners) {
        for (const reported of [1, 2, "over"]) assert.equal(await listener.next(), reported);
        await endsInOrder(listener);
      }
    } finally {
      for (const listener of listeners) await listener[Symbol.asyncDispose]();
    }
  });
});

test(
  "sqlite: a stopped process later gets only the newest broadcasts, and the end of the channel",
  {
    skip: decidedOnDeno,
  },
  async () => {
    await withFile(directory, async (channel, path, connection) => {
      const { name } = channel;
      await using child = run("counting_listener", [connection, name]);
      assert.equal(await child.next(), "listens");
      await stopOutsideTransaction(child, path);
      const [total, body] = [3000, "x".repeat(10_000)];
      const sizes: number[] = [];
      for (const _ of [1, 2]) {
        for (const n of numbers(total)) await channel.broadcast({ n, body });
        sizes.push(statSync(path).size);
      }
      assert.ok(sizes[0]! < 12_000_000, `a file of ${sizes} bytes`);
      assert.ok(sizes[1]! < sizes[0]! * 1.1, `files of ${sizes} bytes`); // the space is reused
      assert.ok(count(path, "mail") <= 1);
      await channel.closeAll();
      const late = new Channel({ name, connection });
      await late.broadcast({ n: -1, body: "" }); // after the end
      await late.close();
      child.kill("SIGCONT");
      const received: number[] = [];
      let missed = 0;
      for (let reported; Array.isArray(reported = await child.next());) {
        missed = reported[1];
        if (reported[0] === true) break;
        received.push(reported[0]);
      }
      assert.ok(received.length > 500, `${received.length} were kept`);
      assert.deepEqual(received, numbers(received.length, total - received.length));
      assert.equal(missed, 2 * total - received.length);
      await endsInOrder(child);
      assert.equal(count(path, "announcements"), 0);
    });
  },
);

test(
  "sqlite: a stopped process later notices the event that it waits for, after a flood of broadcasts",
  {
    skip: decidedOnDeno,
  },
  async () => {
    await withFile(directory, async (channel, path, connection) => {
      const { name } = channel;
      const [full, gone] = [crypto.randomUUID(), crypto.randomUUID()];
      const small = new Channel<number>({ name: full, connection, capacity: 1 });
      await small.put(0);
      await using child = run("stopped_waiter", [connection, name, full, gone]);
      assert.equal(await child.next(), "waits");
      await until(() => count(path, "putters") === 1);
      await stopOutsideTransaction(child, path);
      for (const ch of [channel, small]) {
        await Promise.all(numbers(2500).map((n) => ch.broadcast(n)));
      }
      assert.equal(await small.get(), 0);
      await channel.closeAll({ drain: true });
      await new Channel({ name: gone, connection }).delete();
      for (const ch of [channel, small]) {
        await Promise.all(numbers(2500).map((n) => ch.broadcast(n)));
      }
      child.kill("SIGCONT");
      const reported = [await child.next(), await child.next(), await child.next()];
      assert.deepEqual(reported.sort(), ["deleted", "drained", "put"]);
      assert.equal(await small.get(), 1);
      await endsInOrder(child);
      await small.delete();
      await until(() => count(path, "announcements") === 0 && count(path, "links") <= 1);
    });
  },
);

test("sqlite: a stopped process later gets the broadcasts that preceded a delete", {
  skip: decidedOnDeno,
}, async () => {
  await withFile(directory, async (channel, path, connection) => {
    const { name } = channel;
    await using child = run("counting_listener", [connection, name]);
    assert.equal(await child.next(), "listens");
    await stopOutsideTransaction(child, path);
    for (const n of numbers(3)) await channel.broadcast({ n });
    await channel.delete();
    child.kill("SIGCONT");
    for (const n of numbers(3)) assert.deepEqual(await child.next(), [n, 0]);
    assert.deepEqual(await child.next(), [true, 0]);
    await endsInOrder(child);
    assert.equal(count(path, "announcements"), 0);
    assert.equal(count(path, "links"), 0);
  });
});

test("sqlite: announcements kept for a stopped process are removed when it is killed", {
  skip: decidedOnDeno,
}, async () => {
  await withFile(directory, async (channel, path, connection) => {
    const { name } = channel;
    await using child = run("counting_listener", [connection, name]);
    assert.equal(await child.next(), "listens");
    await stopOutsideTransaction(child, path);
    for (const n of numbers(3)) await channel.broadcast({ n });
    assert.equal(count(path, "announcements"), 3);
    child.kill();
    await until(() => count(path, "announcements") + count(path, "mail") === 0);
  });
});
