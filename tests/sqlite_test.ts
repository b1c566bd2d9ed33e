import assert from "node:assert/strict";
import { existsSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Channel, ChannelReferenceError, Connection } from "../mod.ts";
import { SqliteTransport } from "../src/transports/sqlite/transport.ts";
import { testTransport } from "./conformance.ts";
import {
  allStats,
  getAll,
  numbers,
  pause,
  random,
  rejection,
  type Setup,
  shareOfRuntime,
  type State,
  suite,
  until,
  within,
} from "./conformance/fixture.ts";
import { linkOptions, putOn, rawOn } from "./support/link.ts";
import { checkFile, count, query, sqliteDirectory, withFile } from "./support/sqlite_file.ts";

/** Records all statements that are prepared, and those prepared within a transaction. */
const prepared = { outside: 0, inside: new Set<string>() };
const { prepare } = DatabaseSync.prototype;
DatabaseSync.prototype.prepare = function (sql) {
  if (this.isTransaction) prepared.inside.add(sql);
  else prepared.outside++;
  return prepare.call(this, sql);
};

const directory = sqliteDirectory();
const path = join(directory, "channels.db");
const uri = `sqlite:${path}`;

/** Separate connections to one file. Child processes get its URI. */
const connections = [0, 1, 2, 3].map(() =>
  Object.assign(new Connection(uri), { toString: () => uri })
);

const setup: Setup = {
  features: { shared: true, terms: ["delay", "expires", "priority"], rendezvous: true },
  tells: allStats,
  share: shareOfRuntime(),
  connection: (n) => connections[n]!,
  elsewhere: () => `sqlite:${join(directory, "elsewhere.db")}`,
  async raw(name) {
    const transport = new SqliteTransport(uri);
    const link = await transport.open(name, linkOptions);
    return rawOn(link, async () => {
      await link.close();
      transport.rest();
      await pause(35);
    });
  },
  exists: (name) => Promise.resolve(names().includes(name)),
  waiting(name) {
    if (!existsSync(path)) return Promise.resolve(0);
    const here = `SELECT id FROM channels WHERE name = '${name}'`;
    const sql = `SELECT count(*) AS n FROM waiters WHERE channel IN (${here})`;
    return Promise.resolve(query<{ n: number }>(path, sql)[0]!.n);
  },
  state: () => Promise.resolve(tables()),
};

/** Returns the names of the existing channels; a channel whose lease has ended does not exist. */
function names(): string[] {
  if (!existsSync(path)) return [];
  const sql = `SELECT name FROM channels WHERE expires IS NULL OR expires > ${Date.now()}`;
  return query<{ name: string }>(path, sql).map(({ name }) => name);
}

/** Returns what the file contains. */
function tables(): State {
  const none = { connections: 0, channels: 0, consumers: 0, queues: [], exchanges: [] };
  if (!existsSync(path)) return none;
  checkFile(path);
  return {
    connections: count(path, "sessions"),
    channels: count(path, "links"),
    consumers: count(path, "waiters"),
    queues: names(),
    exchanges: numbers(count(path, "mail") + count(path, "announcements") + count(path, "trash"))
      .map(String),
  };
}

testTransport("sqlite", setup);

const { test } = suite("sqlite", setup);

Deno.test("sqlite: a channel with many values is deleted at once, and its values step by step", async () => {
  await withFile(directory, async (channel, file, connection) => {
    const keeper = new Channel({ name: "other", connection });
    await keeper.depth();
    await Promise.all(numbers(5000).map((n) => channel.put(n)));
    await channel.delete();
    const again = new Channel({ name: "x", connection });
    assert.equal(await again.depth(), 0);
    await until(() => count(file, "messages") === 0 && count(file, "trash") === 0);
    await again.close();
    await keeper.close();
  });
});

Deno.test("sqlite: a channel whose lease has ended is deleted although nobody uses it", async () => {
  await withFile(directory, async (channel, file, connection) => {
    await channel.depth(); // a session that cleans up
    const leased = new Channel({ name: "leased", connection, expires: 100 });
    await leased.put("expired");
    await leased.close();
    assert.equal(count(file, "channels"), 2);
    await until(() => count(file, "channels") === 1 && count(file, "messages") === 0);
  });
});

Deno.test("sqlite: an iteration reads ahead and accepts the values that it yields", async () => {
  await withFile(directory, async (channel, file, connection) => {
    const total = 3000;
    await Promise.all(numbers(total).map((n) => channel.put(n)));
    let got = 0;
    for await (const n of channel) {
      assert.equal(n, got++);
      if (n % 100 === 0) await pause(0);
      if (got === total / 2) break;
    }
    const other = new Channel<unknown>({ name: "x", connection: new Connection(connection) });
    await until(async () => await other.depth() === total / 2);
    assert.deepEqual(await getAll(other, total / 2), numbers(total / 2, total / 2));
    await other.depth();
    assert.equal(count(file, "messages"), 0);
    await other.close();
  });
});

test("the tables are consistent after any sequence of operations", async (fixture) => {
  const name = fixture.name();
  const handles = numbers(3).map((n) => fixture.channel<number>(name, n, { maxAttempts: 50 }));
  const deadline = performance.now() + 1500;
  const busy = handles.map(async (handle) => {
    while (performance.now() < deadline) {
      const timeout = random(3);
      const nothing = () => undefined;
      switch (random(5)) {
        case 0:
        case 1:
          await Promise.all(numbers(random(4)).map((n) => handle.put(n)));
          break;
        case 2:
          await handle.get({ timeout }).catch(nothing);
          break;
        case 3: {
          const delivery = await handle.receive({ timeout }).catch(nothing);
          if (random(2) === 0) delivery?.release();
          else delivery?.accept();
          break;
        }
        case 4:
          await Promise.all(numbers(random(4)).map(() => handle.get({ timeout }).catch(nothing)));
      }
    }
  });
  const watch = setInterval(() => checkFile(path), 50);
  await Promise.all(busy);
  clearInterval(watch);
  await pause(40);
  checkFile(path);
  assert.equal(await handles[0]!.depth(), count(path, "messages"));
});

test("a released value precedes values that were read ahead", async (fixture) => {
  const ch = fixture.channel<number>();
  await Promise.all(numbers(400).map((n) => ch.put(n)));
  for (const n of numbers(200)) {
    const delivery = await ch.receive();
    assert.equal(delivery.value, n);
    if (n % 10 === 0) {
      delivery.release();
      assert.equal(await (n % 20 === 0 ? ch.get() : ch.get({ timeout: 0 })), n);
    } else delivery.accept();
  }
  assert.deepEqual(await getAll(ch, 200), numbers(200, 200));
});

test("a file channel travels through memory but not through a broker", async (fixture) => {
  const inner = fixture.channel<string>();
  const carrier = fixture.own(new Channel<Channel<string>>({ connection: "memory:carrier" }));
  await carrier.put(inner);
  const got = fixture.own(await carrier.get());
  await got.put("x");
  assert.equal(await inner.get({ timeout: 20_000 }), "x");
  const far = fixture.own(new Channel<unknown>({ connection: "amqp://127.0.0.1:1" }));
  const error = await rejection(far.put([inner]), ChannelReferenceError);
  assert.match(error.message, /one machine only/);
});

test("a file with two names is one file, and sessions under both names consider each other alive", async (fixture) => {
  const link = join(directory, "by another name.db");
  if (!existsSync(link)) symlinkSync(path, link);
  const a = fixture.channel<string>();
  const b = fixture.own(new Channel<string>({ name: a.name, connection: `sqlite:${link}` }));
  await Promise.all([a.depth(), b.depth()]);
  await pause(700); // each has checked the other
  assert.equal(count(path, "sessions"), 2);
  const waiting = b.get();
  await a.put("x");
  assert.equal(await within(waiting), "x");
});

test("a value that is too large for a row is rejected", async (fixture) => {
  const transport = new SqliteTransport(uri);
  const link = await transport.open(fixture.name(), linkOptions);
  const body = { byteLength: 1e9 } as Uint8Array;
  const tooLarge = { name: "ChannelSizeError", size: 1e9, limit: 999_000_000 };
  await assert.rejects(putOn(link, { body, contentType: "" }), tooLarge);
  await assert.rejects(link.announce(body), tooLarge);
  await link.close();
  transport.rest();
  await pause(40);
});

test("a process that broadcasts more in one turn than the file keeps gets all of it, and the number of missed broadcasts of others", async (fixture) => {
  const ch = fixture.channel<number>();
  const other = fixture.channel<number>(ch.name, 1);
  await Promise.all([ch.depth(), other.depth()]);
  const mine = ch.broadcasts({ buffer: 10_000 });
  await mine.ready;
  await Promise.all([
    ...numbers(3).map((n) => other.broadcast(10_000 + n)),
    ...numbers(3000).map((n) => ch.broadcast(n)),
  ]);
  await other.broadcast(-1);
  const received: number[] = [];
  while (received.at(-1) !== -1) received.push((await mine.next()).value!);
  assert.deepEqual(received.filter((n) => n >= 0 && n < 10_000), numbers(3000));
  assert.equal(received.filter((n) => n >= 10_000).length + mine.missed, 3);
  await mine.return();
});

Deno.test("sqlite: no statement was prepared within a transaction", async () => {
  await withFile(directory, async (channel) => { // for a run of this test alone
    await channel.put(1);
    assert.equal(await channel.get(), 1);
  });
  assert.deepEqual([...prepared.inside], []);
  assert.ok(prepared.outside > 20);
});
