import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import process from "node:process";
import { inspect } from "node:util";
import {
  Channel,
  ChannelConfigError,
  ChannelConnectionError,
  Connection,
  type ConnectionOptions,
} from "../mod.ts";
import {
  connectionsRest,
  numbers,
  pause,
  rejection,
  until,
  within,
} from "./conformance/fixture.ts";
import { startPrivateBroker } from "./support/broker.ts";
import { startChild } from "./support/child.ts";
import { controlFromEnv } from "./support/control.ts";
import { evalJson } from "./support/erlang.ts";
import { collector } from "./support/garbage.ts";
import { type Gateway, startGateway } from "./support/gateway.ts";
import { test } from "./support/test.ts";
import { decidedOnDeno, noCollector, noControl } from "./support/conditions.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

const secret = "hunter2";

/** Calls `use` with a new channel on this connection, and deletes the channel. */
async function withChannel<T>(
  connection: Connection,
  use: (ch: Channel<T>) => Promise<void>,
): Promise<void> {
  const name = `test ${randomUUID()}`;
  const ch = new Channel<T>({ name, connection, expires: 60_000 });
  try {
    await use(ch);
  } finally {
    await ch.close();
    await new Channel({ name, connection: broker, expires: 60_000 }).delete();
    await connectionsRest();
  }
}

Deno.test("connection: an invalid option is rejected at once, without showing its value", () => {
  const here = "amqp://localhost:1";
  const bad: [string | URL, Record<string, unknown>][] = [
    ...["username", "password", "name"].flatMap((option) =>
      [5, null, [secret], { secret }].map((value): [string, Record<string, unknown>] => [
        here,
        { [option]: value },
      ])
    ),
    ...["ca", "cert", "key", "servername"].flatMap((
      option,
    ): [string, Record<string, unknown>][] => [
      [here, { [option]: secret }], // for amqps only
      ["amqps://localhost:1", { [option]: 5 }],
      ["amqps://localhost:1", { [option]: null }],
      ["amqps://localhost:1", { [option]: [secret, 5] }],
    ]),
    ["amqps://localhost:1", { cert: [secret] }],
    ...[-1, NaN, secret, null].map((retryTimeout): [string, Record<string, unknown>] => [
      here,
      { retryTimeout },
    ]),
    [here, { pasword: secret }],
    ["memory:", { password: secret }],
    ["memory:", { name: "x" }],
    [`amqp://user:${secret}@host:x`, {}],
    [`ftp://user:${secret}@host`, {}],
    [new URL(`http://user:${secret}@host`), {}],
    ["", {}],
    [5 as unknown as string, {}],
  ];
  for (const [uri, options] of bad) {
    const shown = `${uri} ${JSON.stringify(options)}`;
    try {
      new Connection(uri, options);
    } catch (error) {
      assert.ok(error instanceof ChannelConfigError, `${shown}: ${error}`);
      if (options.retryTimeout !== secret) { // this option is not a credential
        assert.doesNotMatch(inspect(error, { showHidden: true, depth: 9 }), /hunter2/, shown);
      }
      assert.doesNotMatch(error.message, /\.$/);
      continue;
    }
    assert.fail(`accepted: ${shown}`);
  }
});

Deno.test("connection: an invalid logger or hook is rejected at once", () => {
  const bad = [{ logger: 5 }, { logger: "x" }, { ondisconnect: 5 }, { onreconnect: {} }];
  for (const options of bad) {
    assert.throws(
      () => new Connection("amqp://localhost:1", options as unknown as ConnectionOptions),
      ChannelConfigError,
      JSON.stringify(options),
    );
  }
});

Deno.test("connection: its address and its printed form contain no credentials", () => {
  const options = { username: "me", password: secret, name: "billing" };
  const connection = new Connection(`amqp://user:${secret}@localhost:1/v?heartbeat=5`, options);
  assert.equal(connection.address, "amqp://localhost:1/v");
  assert.doesNotMatch(inspect(connection, { showHidden: true, depth: 9 }), /hunter2/);
  assert.doesNotMatch(JSON.stringify(connection), /hunter2/);
  const ch = new Channel({ name: "x", connection });
  assert.doesNotMatch(inspect(ch, { showHidden: true, depth: 9 }), /hunter2/);
});

Deno.test("connection: stats count operations, separately for two connections", async () => {
  const [a, b] = [new Connection(broker), new Connection(broker)];
  assert.deepEqual(a.stats, none);
  await withChannel<number>(a, async (ch) => {
    const other = new Channel<number>({ name: ch.name, connection: b, expires: 60_000 });
    assert.deepEqual([a.stats, b.stats], [none, none]);
    const puts = numbers(5).map((n) => ch.put(n));
    await Promise.all(puts);
    const before = a.stats;
    assert.deepEqual(before, { ...none, puts: 5, confirms: 5 });
    assert.equal(await ch.get(), 0);
    (await ch.receive()).accept();
    const released = await ch.receive();
    assert.deepEqual(a.stats, { ...none, puts: 5, confirms: 5, gets: 2, loans: 1 });
    released.release();
    assert.deepEqual(a.stats, { ...none, puts: 5, confirms: 5, gets: 2 });
    assert.equal(before.gets, 0, "stats are a snapshot");
    await until(async () => await other.depth() === 3);
    const again = await other.receive();
    assert.deepEqual([again.value, again.redelivered], [2, true]);
    assert.deepEqual(b.stats, { ...none, redeliveries: 1, loans: 1 });
    again.accept();
    assert.deepEqual(b.stats, { ...none, redeliveries: 1, gets: 1 });
    await other.close();
  });
  assert.deepEqual(a.stats, { ...none, puts: 5, confirms: 5, gets: 2 });
});

const none = {
  puts: 0,
  confirms: 0,
  gets: 0,
  redeliveries: 0,
  reconnects: 0,
  outstanding: 0,
  loans: 0,
};

Deno.test("connection: stats count puts as outstanding until they are settled, and attempts are not counted as puts", async () => {
  await using gateway = await startGateway(broker);
  const connection = new Connection(gateway.uri);
  await withChannel<number>(connection, async (ch) => {
    await ch.depth();
    gateway.hold("toClient");
    const puts = numbers(7).map((n) => ch.put(n));
    assert.deepEqual(connection.stats, { ...none, puts: 7, outstanding: 7 });
    gateway.release();
    await within(Promise.all(puts));
    assert.deepEqual(connection.stats, { ...none, puts: 7, confirms: 7 });
    const { name } = ch;
    const counting = new Channel<number>({ name, connection, maxAttempts: 3, expires: 60_000 });
    (await counting.receive()).release();
    await until(async () => await ch.depth() === 7);
    await until(() => connection.stats.outstanding === 0);
    assert.deepEqual(connection.stats, { ...none, puts: 7, confirms: 7 });
    await counting.close();
  });
});

Deno.test("connection: hooks are called once for each loss, and the logger is called", async () => {
  await using gateway = await startGateway(broker);
  const [calls, lines] = [[] as string[], [] as string[]];
  const level = (name: string) => (line: string) => void lines.push(`${name} ${line}`);
  const connection = new Connection(gateway.uri, {
    ondisconnect: (error) => {
      assert.ok(error instanceof ChannelConnectionError);
      assert.equal(error.address, connection.address);
      calls.push("lost");
    },
    onreconnect: () => calls.push("back"),
    logger: { debug: level("debug"), info: level("info"), warn: level("warn") },
  });
  await withChannel<number>(connection, async (ch) => {
    const idle = new Channel({ connection });
    await Promise.all([ch.depth(), idle.depth()]);
    assert.equal(calls.length, 0);
    for (const round of numbers(3)) {
      const waiting = ch.get();
      await breakDown(gateway, () => calls.at(-1) === "lost");
      assert.equal(calls.length, 2 * round + 1);
      gateway.open();
      await ch.put(round);
      assert.equal(await within(waiting), round);
      assert.deepEqual(calls, numbers(round + 1).flatMap(() => ["lost", "back"]));
      assert.equal(connection.stats.reconnects, round + 1);
    }
    connection.ondisconnect = () => void calls.push("another hook");
    connection.onreconnect = undefined;
    await breakDown(gateway, () => calls.at(-1) === "another hook");
    gateway.open();
    await ch.depth();
    assert.equal(calls.length, 7);
    await idle[Symbol.asyncDispose]();
  });
  assert.equal(calls.length, 7, "the end of its use is not a loss");
  const levels = lines.map((line) => line.split(" ")[0]);
  const count = (name: string) => levels.filter((level) => level === name).length;
  assert.deepEqual([count("info"), count("warn")], [5, 4], lines.join("\n"));
  assert.ok(count("debug") > 0);
  for (const line of lines) {
    assert.match(line, /^\w+ ChannelTS: .*[^.]$/);
    assert.ok(line.includes(connection.address), line);
    assert.doesNotMatch(line, /guest:guest|guest@/);
  }
});

/** Cuts the gateway's connections until the loss is noticed and an attempt has failed. */
async function breakDown(gateway: Gateway, isNoticed: () => boolean): Promise<void> {
  gateway.cut();
  await until(isNoticed);
  await pause(120);
}

Deno.test("connection: hooks and a logger that throw break nothing", async () => {
  await using gateway = await startGateway(broker);
  const name = `test ${randomUUID()}`;
  await using owner = new Channel({ name, connection: broker, expires: 60_000 });
  await owner.depth();
  const program = new URL("programs/throwing_hooks.ts", import.meta.url);
  await using child = startChild(program, { args: [gateway.uri, name] });
  child.send(1);
  assert.deepEqual(await child.next(), { got: 1, thrown: ["info"] });
  gateway.cut();
  gateway.open();
  child.send(2);
  const { got, thrown } = await child.next() as { got: number; thrown: string[] };
  assert.equal(got, 2);
  for (const what of ["ondisconnect", "onreconnect", "warn"]) {
    assert.ok(thrown.includes(what), what);
  }
  child.end();
  assert.equal((await child.exited).code, 0);
  await owner.delete();
  await connectionsRest();
});

Deno.test("connection: the log of a rejected password does not contain it", async () => {
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  const logger = { debug: log, info: log, warn: log };
  const connection = new Connection(broker, { username: "guest", password: secret, logger });
  const ch = new Channel({ name: "refused", connection });
  const error = await rejection(ch.get(), ChannelConnectionError, { transient: false });
  assert.doesNotMatch(inspect(error, { showHidden: true, depth: 9 }), /hunter2/);
  assert.ok(lines.some((line) => /password.*no further try/.test(line)), lines.join("\n"));
  assert.doesNotMatch(lines.join("\n"), /hunter2/);
  await ch.close();
  await connectionsRest();
});

/** Returns the names of all connections at the broker. */
async function names(): Promise<string[]> {
  return await evalJson<string[]>(
    controlFromEnv()!,
    // A connection that ends meanwhile has no information.
    `[V || C <- rabbit_networking:connections(), [{client_properties, P}] <- ` +
      `[(catch rabbit_networking:connection_info(C, [client_properties]))], ` +
      `{<<"connection_name">>, _, V} <- P]`,
  );
}

test("connection: the broker sees its name and gets the credentials of its options", {
  skip: noControl,
}, async () => {
  const url = new URL(broker);
  url.username = "nobody";
  url.password = secret;
  const credentials = { username: "guest", password: "guest" };
  const own = `${randomUUID()} é`;
  url.searchParams.set("name", `uri ${own}`);
  const byUri = new Connection(url, credentials);
  const byOption = new Connection(url, { ...credentials, name: own });
  url.searchParams.delete("name");
  const byDefault = new Connection(url, credentials);
  const expected = `ChannelTS ${hostname()} ${process.pid}`;
  const before = await names();
  assert.ok(!before.includes(own));
  for (
    const [connection, name] of [[byUri, `uri ${own}`], [byOption, own], [byDefault, expected]]
  ) {
    await withChannel(connection as Connection, async (ch) => {
      await ch.depth();
      await until(async () => (await names()).includes(name as string));
    });
  }
});

test(
  "connection: two connections to one broker are separate, and each closes with its last channel",
  {
    skip: noControl,
  },
  async () => {
    const name = `separate ${randomUUID()}`;
    const count = async () => (await names()).filter((each) => each === name).length;
    const connections = [new Connection(broker, { name }), new Connection(broker, { name })];
    const handles = connections.flatMap((connection) =>
      numbers(3).map(() => new Channel({ connection }))
    );
    await Promise.all(handles.map((ch) => ch.depth()));
    await until(async () => await count() === 2);
    await Promise.all(handles.slice(0, 3).map((ch) => ch[Symbol.asyncDispose]()));
    await until(async () => await count() === 1);
    const again = new Channel({ connection: connections[0]! });
    await again.depth();
    await until(async () => await count() === 2);
    await Promise.all([again, ...handles].map((ch) => ch[Symbol.asyncDispose]()));
    await until(async () => await count() === 0);
    await connectionsRest();
  },
);

Deno.test("connection: a channel that arrives through a connection uses it, also beside others to the same broker", async () => {
  const [a, b] = [new Connection(broker), new Connection(broker)];
  await withChannel<Channel<number>>(a, async (carrier) => {
    const { name } = carrier;
    const onB = new Channel<Channel<number>>({ name, connection: b, expires: 60_000 });
    const replies = new Channel<number>({ connection: a });
    await carrier.put(replies);
    const arrived = await onB.get();
    const [puts] = [b.stats.puts, a.stats.puts];
    await arrived.put(42);
    assert.equal(b.stats.puts, puts + 1);
    assert.equal(await replies.get({ timeout: 20_000 }), 42);
    await onB.put(arrived);
    const back = await carrier.get();
    const { puts: before } = a.stats;
    await back.put(43);
    assert.equal(a.stats.puts, before + 1);
    assert.equal(await replies.get({ timeout: 20_000 }), 43);
    await Promise.all([arrived.close(), back.close(), onB.close()]);
    await replies[Symbol.asyncDispose]();
  });
});

test(
  "connection: an unreferenced connection is collected, unless a channel that uses it is referenced",
  {
    skip: noCollector,
  },
  async () => {
    const gc = (await collector())!;
    const name = `test ${randomUUID()}`;
    const use = async () => {
      const connection = new Connection(broker, { ondisconnect: () => {} });
      const ch = new Channel<number>({ name, connection, expires: 60_000 });
      await ch.put(1);
      return { ref: new WeakRef(connection), ch };
    };
    const dropped = await (async () => {
      const { ref, ch } = await use();
      for (const _ of numbers(5)) await gc();
      assert.ok(ref.deref(), "the connection was collected while a channel used it");
      assert.equal(await ch.get(), 1);
      await ch.delete();
      return ref;
    })();
    await connectionsRest();
    await until(async () => {
      await gc();
      return dropped.deref() === undefined;
    });
  },
);

test("connection: hooks are called once when the broker closes the connection or restarts", {
  skip: decidedOnDeno, // a broker is started twice
}, async () => {
  await using node = await startPrivateBroker();
  const calls: string[] = [];
  const connection = new Connection(node.uri, {
    ondisconnect: () => calls.push("lost"),
    onreconnect: () => calls.push("back"),
  });
  const ch = new Channel<number>({ name: "x", connection, retryTimeout: 60_000 });
  await ch.put(1);
  await node.ctl("close_all_connections", "of the test");
  await until(() => calls.length === 2);
  await node.restart();
  assert.equal(await ch.get(), 1);
  assert.deepEqual(calls, ["lost", "back", "lost", "back"]);
  assert.equal(connection.stats.reconnects, 2);
  await ch.close();
  await connectionsRest();
  await pause(60);
  assert.equal(calls.length, 4);
});
