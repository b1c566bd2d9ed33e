// What another program that may use the same Redis, or a server that is none, cannot do: crash or hang a process, lose the values of
// others, or leave a channel of no use.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import {
  Channel,
  ChannelConnectionError,
  ChannelError,
  ChannelReferenceError,
  ChannelTimeoutError,
} from "../mod.ts";
import { type Reply, ReplyReader } from "../src/transports/redis/connection/reply_reader.ts";
import { keyOf } from "../src/transports/redis/channel_key.ts";
import { type ScriptName, scriptsFor } from "../src/transports/redis/scripts/mod.ts";
import { connectionsRest, numbers, rejection, until, within } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { PlayedServer } from "./support/played_server.ts";
import { startRedis } from "./support/redis.ts";
import { type Admin, redisSetup, withAdmin } from "./support/redis_setup.ts";

const redis = await startRedis();
redis.unref();
const { uri } = redis;

/** Resolves when the operation is over, whatever its outcome. Fails if it rejects with anything but an error of a channel. */
async function outcome(operation: Promise<unknown>): Promise<string> {
  try {
    await within(operation);
    return "resolved";
  } catch (error) {
    assert.ok(error instanceof ChannelError, String(error));
    return error.message;
  }
}

/** Returns the names under which processes subscribe. */
async function sessionChannels(admin: Admin): Promise<string[]> {
  const all = await admin.sendCommand(["PUBSUB", "CHANNELS", "channelts:*"]);
  return (all as unknown as string[]).map(String);
}

const words = fc.constantFrom(
  "lend",
  "room",
  "due",
  "announced",
  "x",
  "",
  "constructor",
  "__proto__",
);
const word = fc.oneof(
  fc.constantFrom("", "0", "1", "-1", "+1", "-2", "NaN", "1e309", "0000000000000001", "-"),
  fc.nat(40).map(String),
  fc.string({ maxLength: 20 }),
);
/** Texts that scripts do not send, but for lies that a value is lent, there is room, or something is due. */
const lie = fc.tuple(fc.nat(3).map(String), words, fc.array(word, { maxLength: 4 }), fc.string())
  .map(([link, verb, rest, bytes]) => `${[link, verb, ...rest].join(" ")}\n${bytes}`);

Deno.test("hostile redis: false notifications lose no value, and leave none with a process that does not have it", async () => {
  const channel = (n: number) =>
    new Channel<number>({ name: "notified", connection: `${uri}?name=${n}`, capacity: 5 });
  const [putting, getting] = [channel(1), channel(2)];
  const count = 300;
  const got = new Set<number>();
  await withAdmin(uri, async (admin) => {
    await Promise.all([putting.depth(), getting.depth()]);
    const texts = fc.sample(lie, { numRuns: 600, seed: 7 });
    const names = await sessionChannels(admin);
    assert.equal(names.length, 2);
    let isOver = false;
    const lying = (async () => {
      for (let i = 0; !isOver; i++) {
        const session = names[i % names.length]!;
        await admin.publish(session, texts[i % texts.length]!);
        // A claim that waits is told of a value that nobody has put.
        if (i % 10 === 0) {
          await admin.publish(session, `1 lend 0000000000000001 -${i / 10} -\n["",0]\n`);
        }
      }
    })();
    const puts = (async () => {
      for (const n of numbers(count)) await putting.put(n);
    })();
    while (got.size < count) {
      try {
        const value = await within(getting.get());
        if (typeof value === "number") got.add(value);
      } catch (error) {
        assert.ok(error instanceof ChannelError, String(error)); // a lie was no value
      }
    }
    await within(puts);
    isOver = true;
    await lying;
  });
  const { loans, depth } = await getting.stats();
  assert.deepEqual({ loans, depth }, { loans: 0, depth: 0 });
  await putting.delete();
  await Promise.all([putting.close(), getting.close()]);
  await connectionsRest();
});

Deno.test("hostile redis: a process survives any text that is published to its session, and its channels can be used again", async () => {
  const open = () => new Channel<number>({ name: "texts", connection: uri });
  const ch = open();
  await withAdmin(uri, async (admin) => {
    await ch.depth();
    const [session] = await sessionChannels(admin);
    const waiting = [ch.get(), Array.fromAsync(ch)].map(outcome);
    for (const verb of ["over", "closed", "gone"]) await admin.publish(session!, `1 ${verb}\n`);
    await Promise.all(waiting);
    for (const size of [1e3, 1e6]) {
      await admin.publish(session!, "1 " + "x".repeat(size));
      await admin.publish(session!, `1 lend ${"9 ".repeat(size / 2)}\n`);
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
        await admin.sendCommand(["PUBLISH", session!, Buffer.from(bytes)]);
      }),
      { numRuns: 200 },
    );
  });
  const again = open();
  await within(again.put(1));
  assert.equal(await within(again.get()), 1);
  await again.delete();
  await Promise.all([ch.close(), again.close()]);
  await connectionsRest();
});

Deno.test("hostile redis: who subscribes to the session of a process hears what is lent to it, and keeps what it holds when it has died", async () => {
  const jobs = new Channel<string>({ name: "spied", connection: uri });
  await jobs.put("held");
  await withAdmin(uri, async (admin) => {
    await using child = startChild(new URL("redis/holder.ts", import.meta.url), {
      args: [uri, "spied", "spied too"],
    });
    // It holds one value, and waits for another one.
    await until(async () => (await jobs.stats()).loans === 1);
    const waiting = new Channel<string>({ name: "spied too", connection: uri });
    await until(async () => (await waiting.stats()).consumers === 1);
    const [taker] = await admin.zRange(`${keyOf("spied too")}:takers`, 0, 0);
    const session = `channelts:${taker!.split("/")[0]}`;
    await withAdmin(uri, async (spy) => {
      const heard: string[] = [];
      await spy.subscribe(session, (text) => void heard.push(text));
      await waiting.put("secret");
      await until(() => heard.some((text) => text.includes("secret")));
      child.kill();
      await rejection(jobs.get({ timeout: 1500 }), ChannelTimeoutError);
    });
  });
  assert.equal(await within(jobs.get()), "held");
  const rest = new Channel<string>({ name: "spied too", connection: uri });
  assert.equal(await within(rest.get()), "secret");
  await Promise.all([jobs, rest].map((each) => each.delete()));
  await connectionsRest();
});

const parts = ["meta", "ready", "bodies", "loans", "tries", "terms", "ends", "delayed"];
const others = ["takers", "askers", "links", "putters"];

/** Ways to write into a key. */
const writings: readonly [what: string, write: (key: string) => string[]][] = [
  ["a string", (key) => ["SET", key, "x"]],
  ["a list", (key) => ["LPUSH", key, "x"]],
  ["a hash", (key) => ["HSET", key, "0000000000000001", "x", "x", "", "/", "x"]],
  [
    "a sorted set",
    (key) => ["ZADD", key, "0", "x", "0", "0000000000000001", "0", "a b c", "0", ""],
  ],
];

Deno.test("hostile redis: whatever is written into the keys of a channel, its operations end, and other channels work", async () => {
  await withAdmin(uri, async (admin) => {
    const other = new Channel<number>({ name: "other", connection: uri });
    for (const part of [...parts, ...others]) {
      for (const [what, write] of writings) {
        const name = `keys ${part} ${what}`;
        const ch = new Channel<number>({ name, connection: uri, capacity: 3 });
        await ch.put(1);
        await ch.put(2, { delay: 60_000 });
        const delivery = await ch.receive();
        await admin.del(`${keyOf(name)}:${part}`);
        await admin.sendCommand(write(`${keyOf(name)}:${part}`));
        const ends = [
          ch.put(3, { expires: 60_000, timeout: 50 }), // a lie that the channel is full
          ch.get({ timeout: 50 }),
          ch.get({ timeout: 0 }),
          ch.depth(),
          ch.stats(),
        ];
        await Promise.all(ends.map(outcome));
        delivery.accept();
        await outcome(ch.closeAll());
        await ch.close();
        await admin.del([...parts, ...others].map((each) => `${keyOf(name)}:${each}`));
      }
    }
    await other.put(7);
    assert.equal(await other.get(), 7);
    await other.delete();
    await other.close();
  });
  await connectionsRest();
});

Deno.test("hostile redis: entries that are not of the scripts leave a channel in use", async () => {
  const name = "entries";
  const key = keyOf(name);
  await withAdmin(uri, async (admin) => {
    const open = (n: number) =>
      new Channel<number>({ name, connection: `${uri}?name=${n}`, capacity: 2 });
    const [ch, second] = [open(1), open(2)];
    await ch.put(1, { expires: 60_000 });
    const delivery = await second.receive();
    const members = ["x", "", "a b c", "/", "/ /", "x/1 y", "x/1 0000000000000009 +1", "0 0 0 0"];
    const scored = members.flatMap((each) => ["-5", each]);
    const fields = members.flatMap((each) => [each, "x"]);
    for (const part of ["ready", "loans", "ends", "delayed", "takers", "askers"]) {
      await admin.sendCommand(["ZADD", `${key}:${part}`, ...scored]);
    }
    for (const part of ["bodies", "tries", "terms", "links", "putters"]) {
      await admin.sendCommand(["HSET", `${key}:${part}`, ...fields]);
    }
    await admin.sendCommand(["HSET", `${key}:tries`, "0000000000000001", "x"]);
    delivery.release();
    // The entries of `delayed` that have bytes are values, though not of this library.
    const got: unknown[] = [];
    const takeAll = () =>
      until(async () => {
        const taken = await ch.get({ timeout: 100 }).catch((error) => error as Error);
        got.push(taken);
        return taken instanceof ChannelTimeoutError;
      });
    await takeAll();
    assert.ok(got.includes(1));
    await admin.sendCommand(["HDEL", `${key}:bodies`, ...members]); // which count as values
    for (const n of [2, 3]) await within(ch.put(n));
    await takeAll();
    assert.deepEqual(got.filter((each) => typeof each === "number"), [1, 2, 3]);
    await ch.delete();
    assert.deepEqual(await admin.keys(`${key}*`), []);
    await Promise.all([ch.close(), second.close()]);
  });
  await connectionsRest();
});

Deno.test("hostile redis: a waiting value without bytes is skipped", async () => {
  const name = "bodiless";
  const ch = new Channel<string>({ name, connection: uri });
  for (const value of ["a", "b", "c"]) await ch.put(value);
  await withAdmin(uri, async (admin) => {
    await admin.hDel(`${keyOf(name)}:bodies`, "0000000000000001");
  });
  assert.deepEqual([await within(ch.get()), await within(ch.get())], ["b", "c"]);
  assert.equal(await ch.depth(), 0);
  await ch.delete();
  await ch.close();
  await connectionsRest();
});

Deno.test("hostile redis: no reference in a message makes a process connect to a Redis that it has not configured", async () => {
  const name = "references";
  {
    await using there = await PlayedServer.start(() => {});
    await using known = await PlayedServer.start(() => {});
    await using raw = await redisSetup(uri).raw(name);
    const ch = new Channel<unknown>({ name, connection: uri });
    const address = `redis://user:secret@127.0.0.1:${there.port}/0`;
    const reference = { __channel__: true, name: "inner", connection_args: { uri: address } };
    const body = new TextEncoder().encode(JSON.stringify(reference));
    await raw.put({ body, contentType: "application/json" });
    const inner = await within(ch.get()) as Channel<number>; // on the Redis that carried it
    await within(inner.put(1));
    assert.equal(await within(inner.get()), 1);
    await inner.delete();
    // As this library writes one of a channel elsewhere.
    const elsewhere = `redis://127.0.0.1:${known.port}`;
    await ch.put(new Channel({ name: "inner", connection: elsewhere }));
    const message = (await raw.get())!;
    const at = Buffer.from(message.body).indexOf(String(known.port));
    assert.ok(at > 0);
    const forged = Buffer.from(message.body);
    forged.write(String(there.port).padStart(String(known.port).length, "0"), at);
    await raw.put({ ...message, body: new Uint8Array(forged) });
    await rejection(within(ch.get()), ChannelReferenceError);
    assert.deepEqual([there.sockets.length, known.sockets.length], [0, 0]);
    await ch.delete();
    await Promise.all([ch.close(), inner.close()]);
  }
  await connectionsRest();
});

const names = new Map(scriptsFor().map(({ name, sha }) => [sha, name]));

/** The replies that a link can work with. */
const fine: Partial<Record<ScriptName, string>> = {
  attach: "*11\r\n$1\r\ne\r\n:-1\r\n:0\r\n:0\r\n:0\r\n$0\r\n\r\n:-1\r\n*0\r\n:0\r\n:0\r\n:0\r\n",
  put: "*1\r\n:1\r\n",
  take: "*3\r\n:0\r\n:1\r\n:-1\r\n",
  tick: "*2\r\n:-1\r\n:0\r\n",
  ask: "*2\r\n:0\r\n:-1\r\n",
  stats: "*6\r\n:0\r\n:0\r\n:0\r\n:0\r\n:-1\r\n:0\r\n",
};

const nonsense = [
  ":1\r\n",
  "$-1\r\n",
  "$3\r\nabc\r\n",
  "*0\r\n",
  "+OK\r\n",
  "_\r\n",
  "*8\r\n_\r\n_\r\n_\r\n_\r\n_\r\n_\r\n_\r\n_\r\n",
  "*6\r\n:0\r\n:0\r\n:-1\r\n:1\r\n:2\r\n:3\r\n",
  "*2\r\n,1.5\r\n#t\r\n",
  "*1\r\n*1\r\n*1\r\n:1\r\n",
  ">3\r\n+message\r\n+c\r\n:1\r\n",
  ">3\r\n+message\r\n+c\r\n*1\r\n_\r\n",
];

/** Plays a Redis that answers everything well but one script. */
function playing(script: ScriptName, says: string) {
  return PlayedServer.start((socket) => {
    const answer = (command: readonly Reply[]): string => {
      const [name, first] = command.map(String);
      switch (name) {
        case "SUBSCRIBE":
          return `>3\r\n+subscribe\r\n+${first}\r\n:1\r\n`;
        case "SCRIPT":
          return `*${names.size}\r\n${":1\r\n".repeat(names.size)}`;
        case "INFO":
          return "$0\r\n\r\n";
        case "EVALSHA": {
          const each = names.get(first!)!;
          return each === script ? says : fine[each] ?? ":0\r\n";
        }
      }
      return "*0\r\n";
    };
    const reader = new ReplyReader({
      replied: (command) => void socket.write(answer(command)),
      pushed() {},
    });
    socket.on("data", (bytes: Buffer) => reader.read(bytes));
  });
}

Deno.test("hostile redis: a server whose replies are nonsense ends operations with errors of channels, and nothing else", async () => {
  const scripts = ["attach", "put", "take", "depth", "stats", "announce", "drain"] as const;
  await Promise.all(scripts.map(async (script) => {
    for (const says of nonsense) {
      await using server = await playing(script, says);
      const connection = `redis://127.0.0.1:${server.port}`;
      const ch = new Channel<number>({ name: "jobs", connection, retryTimeout: 50 });
      const ends: Promise<unknown>[] = [
        ch.put(1, { timeout: 50 }), // a lie that the channel is full
        ch.get({ timeout: 50 }),
        ch.receive({ timeout: 50 }),
      ];
      // A push that is none ends the connection. What was not answered is asked again on the next one.
      if (!says.startsWith(">")) ends.push(ch.get({ timeout: 0 }), ch.depth(), ch.stats());
      await Promise.all(ends.map(outcome));
      if (says.startsWith(">")) ch.closeAll({ drain: true }).catch(() => {});
      else await outcome(ch.closeAll({ drain: true }));
      await ch.close();
    }
  }));
  await connectionsRest();
});

Deno.test("hostile redis: an operation at which the server ends each connection is repeated with growing pauses, and ends", async () => {
  const operations: Record<string, (ch: Channel<number>) => Promise<unknown>> = {
    depth: (ch) => ch.depth(),
    stats: (ch) => ch.stats(),
    drain: (ch) => ch.closeAll({ drain: true }),
    put: (ch) => ch.put(1),
  };
  await Promise.all(
    Object.entries(operations).map(async ([script, run]) => {
      await using server = await playing(script as ScriptName, "no reply\r\n"); // which ends the connection
      const connection = `redis://127.0.0.1:${server.port}`;
      const ch = new Channel<number>({ name: "jobs", connection, retryTimeout: 50 });
      const error = await rejection(within(run(ch), 60_000), ChannelConnectionError);
      assert.match(error.message, /the connection to \S+ was lost: /, script);
      assert.ok(server.sockets.length <= 12, `${script}: ${server.sockets.length} connections`);
      await ch.close();
    }),
  );
  await connectionsRest();
});

Deno.test("hostile redis: replies that never end take memory in proportion to what has arrived, and no time", async () => {
  const beginnings = [
    "*1000000000\r\n",
    "$536870912\r\n",
    "%1000000000\r\n",
    "*1\r\n".repeat(17),
    "*1000000\r\n" + "*0\r\n".repeat(1000),
  ];
  await Promise.all(beginnings.map(async (says) => {
    await using server = await playing("take", says);
    const connection = `redis://127.0.0.1:${server.port}?heartbeat=1`;
    const ch = new Channel<number>({ name: "jobs", connection, retryTimeout: 500 });
    const before = Deno.memoryUsage().rss;
    // The connection ends by the heartbeat, and the get goes on on the next one.
    const given = new AbortController();
    const getting = ch.get({ signal: given.signal }).catch(() => {}); // it was aborted, or has lost too many connections
    await until(() => server.sockets.length > 1);
    given.abort();
    await getting;
    assert.ok(Deno.memoryUsage().rss - before < 100e6, says.slice(0, 20));
    await ch.close();
  }));
  await connectionsRest();
});
