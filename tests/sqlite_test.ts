import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import {
  Channel,
  ChannelClosedError,
  ChannelConfigError,
  ChannelConnectionError,
  ChannelReferenceError,
  Connection,
} from "../mod.ts";
import { loadSqlite, openDatabase } from "../src/transports/sqlite/database.ts";
import { isPresent, Presence } from "../src/transports/sqlite/presence.ts";
import { migrations } from "../src/transports/sqlite/schema.ts";
import { SqliteTransport } from "../src/transports/sqlite/transport.ts";
import { parseSqliteUri } from "../src/transports/sqlite/uri.ts";
import { testTransport } from "./conformance.ts";
import {
  getAll,
  numbers,
  pause,
  random,
  rejection,
  type Setup,
  soon,
  type State,
  suite,
  until,
} from "./conformance/scene.ts";
import { checkFile, count, query, sqliteDirectory } from "./support/sqlite_file.ts";

const directory = sqliteDirectory();
const path = join(directory, "channels.db");
const uri = `sqlite:${path}`;

/** Connections of their own on one file; children are told of it by its URI. */
const connections = [0, 1, 2, 3].map(() =>
  Object.assign(new Connection(uri), { toString: () => uri })
);

const options = {
  retryTimeout: 1000,
  signal: new AbortController().signal,
  observer: { announced() {}, gone() {} },
};

const setup: Setup = {
  features: { shared: true },
  connection: (n) => connections[n]!,
  async raw(name) {
    const transport = new SqliteTransport(uri);
    const link = await transport.open(name, { ...options, create: true });
    return {
      put: (message) =>
        new Promise((resolve, reject) => {
          link.put({ message, settled: false, taken: resolve, reject });
        }),
      async get() {
        const loan = await link.tryTake(false);
        loan?.accept();
        return loan?.message;
      },
      async [Symbol.asyncDispose]() {
        await link.close();
        transport.rest();
        await pause(35);
      },
    };
  },
  exists: (name) => Promise.resolve(names().includes(name)),
  state: () => Promise.resolve(tables()),
};

/** The channels that there are; one whose lease is over is none. */
function names(): string[] {
  if (!existsSync(path)) return [];
  const sql = `SELECT name FROM channels WHERE expires IS NULL OR expires > ${Date.now()}`;
  return query<{ name: string }>(path, sql).map(({ name }) => name);
}

/** What the file holds. */
function tables(): State {
  const none = { connections: 0, channels: 0, consumers: 0, queues: [], exchanges: [] };
  if (!existsSync(path)) return none;
  checkFile(path);
  return {
    connections: count(path, "sessions"),
    channels: count(path, "links"),
    consumers: count(path, "waiters"),
    queues: names(),
    exchanges: numbers(count(path, "mail") + count(path, "trash")).map(String),
  };
}

testTransport("sqlite", setup);

const { test } = suite("sqlite", setup);

/** Uses one channel in a file of its own. */
async function withFile(
  use: (channel: Channel<unknown>, path: string, uri: string) => Promise<void>,
): Promise<void> {
  const file = join(directory, `${crypto.randomUUID()}.db`);
  const channel = new Channel({ name: "x", connection: `sqlite:${file}`, retryTimeout: 1000 });
  try {
    await use(channel, file, `sqlite:${file}`);
  } finally {
    await channel.close();
    await pause(40);
  }
}

Deno.test("sqlite: a URI names an absolute or relative path, and what may be in one", () => {
  const cases: [string, string, string?][] = [
    ["sqlite:/tmp/a.db", "/tmp/a.db"],
    ["SQLite:///tmp/a.db", "/tmp/a.db"],
    ["sqlite:/tmp/x/../a.db", "/tmp/a.db"],
    ["sqlite:a.db", join(process.cwd(), "a.db")],
    ["sqlite:./a.db", join(process.cwd(), "a.db")],
    ["sqlite:~/a.db", join(homedir(), "a.db")],
    ["sqlite:/tmp/a%20b%25.db", "/tmp/a b%.db", "sqlite:/tmp/a%20b%25.db"],
    ["sqlite:/tmp/a b.db", "/tmp/a b.db", "sqlite:/tmp/a%20b.db"],
    ["sqlite:/tmp/a.db?synchronous=FULL", "/tmp/a.db", "sqlite:/tmp/a.db"],
  ];
  for (const [uri, path, address = `sqlite:${path}`] of cases) {
    const parsed = parseSqliteUri(uri);
    assert.deepEqual([parsed.path, parsed.address], [path, address]);
    assert.equal(parsed.isFull, uri.includes("FULL"));
    assert.equal(parseSqliteUri(parsed.address).path, path);
  }
  for (
    const uri of [
      "sqlite::memory:",
      "sqlite://host/a.db",
      "sqlite:/tmp/",
      "sqlite:/tmp/%zz",
      "sqlite:/tmp/%00",
      "sqlite:/tmp/a.db#x",
      "sqlite:/tmp/a.db?sync=full",
      "sqlite:/tmp/a.db?synchronous=off",
    ]
  ) {
    assert.throws(() => new Channel({ connection: uri }), (error) => {
      assert.ok(error instanceof ChannelConfigError, String(error));
      return error.message.includes(uri) && /[^.]$/.test(error.message);
    });
  }
});

Deno.test("sqlite: alone it is a place of the user's, whose directory is made", async () => {
  const before = process.env.XDG_STATE_HOME;
  try {
    process.env.XDG_STATE_HOME = join(directory, "state");
    const { path, isDefault, address } = parseSqliteUri("sqlite:");
    assert.ok(isDefault);
    if (process.platform === "linux") {
      assert.equal(path, join(directory, "state", "channelts", "channels.db"));
    }
    const channel = new Channel<string>({ name: "x", connection: "sqlite:" });
    await channel.put("kept");
    assert.equal(statSync(join(path, "..")).mode & 0o777, 0o700);
    const same = new Channel<string>({ name: "x", connection: address });
    assert.equal(await same.get(), "kept");
    await channel.delete();
    await same.close();
    await pause(40);
  } finally {
    if (before === undefined) delete process.env.XDG_STATE_HOME;
    else process.env.XDG_STATE_HOME = before;
  }
});

Deno.test("sqlite: nobody else may read the files, and those of one process go with it", async () => {
  await withFile(async (channel, file) => {
    await channel.put("secret");
    const mine = readdirSync(directory).filter((name) => join(directory, name).startsWith(file));
    assert.equal(mine.length, 5, mine.join(" ")); // the database, -wal, -shm, a lock, a bell
    for (const name of mine) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600);
    await channel.close();
    await pause(50);
    const left = readdirSync(directory).filter((name) => join(directory, name).startsWith(file));
    assert.deepEqual(left, [file.slice(directory.length + 1)]);
  });
});

Deno.test("sqlite: a missing directory is told, and not made", async () => {
  const missing = join(directory, "missing");
  const channel = new Channel({ connection: `sqlite:${missing}/a.db` });
  const error = await rejection(channel.put(1), ChannelConfigError);
  assert.ok(error.message.includes(missing));
  assert.equal(existsSync(missing), false);
});

const others: [string, (file: string) => void, RegExp][] = [
  ["a text", (file) => writeFileSync(file, "no database at all\n".repeat(500)), /corrupt, or no/],
  ["a database of another program", (file) => {
    const db = new DatabaseSync(file);
    db.exec("CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup')");
    db.close();
  }, /another program/],
  ["a database of another program in WAL mode", (file) => {
    const db = new DatabaseSync(file);
    db.exec("PRAGMA journal_mode = WAL; CREATE TABLE recipes (name TEXT)");
    db.close();
  }, /another program/],
  ["a newer file", (file) => {
    const db = new DatabaseSync(file);
    db.exec(`PRAGMA application_id = ${0x43685453}; PRAGMA user_version = 99; CREATE TABLE t (a)`);
    db.close();
  }, /newer ChannelTS.* 99,.*update/],
  ["a file that was cut", (file) => {
    const db = new DatabaseSync(file);
    for (const step of migrations) db.exec(step);
    db.exec(`PRAGMA application_id = ${0x43685453}; PRAGMA user_version = ${migrations.length}`);
    db.close();
    writeFileSync(file, readFileSync(file).subarray(0, 6000));
  }, /corrupt/],
  ["a file with noise in its head", (file) => {
    const db = new DatabaseSync(file);
    db.exec("CREATE TABLE t (a)");
    db.close();
    writeFileSync(file, readFileSync(file).map((byte, i) => i < 100 ? byte : (i * 31) & 255));
  }, /corrupt/],
];
for (const [title, make, expected] of others) {
  Deno.test(`sqlite: ${title} is refused with a clear error, and left as it is`, async () => {
    const file = join(directory, `${crypto.randomUUID()}.db`);
    make(file);
    chmodSync(file, 0o644);
    const before = readFileSync(file);
    const channel = new Channel({ connection: `sqlite:${file}` });
    for (const action of [() => channel.put(1), () => channel.get()]) {
      const error = await rejection(action(), ChannelConfigError);
      assert.match(error.message, expected);
      assert.ok(error.message.includes(file), error.message);
    }
    await channel.close();
    assert.ok(before.equals(readFileSync(file)), "it was changed");
    assert.equal(statSync(file).mode & 0o777, 0o644);
    const beside = readdirSync(directory).filter((name) => join(directory, name).startsWith(file));
    assert.equal(beside.length, 1, beside.join(" "));
  });
}

Deno.test("sqlite: an empty file is used", async () => {
  await withFile(async (channel, file) => {
    writeFileSync(file, "");
    await channel.put(1);
    assert.equal(await channel.get(), 1);
  });
});

Deno.test("sqlite: a file of an older schema is brought to the newer one, and keeps its values", async () => {
  await withFile(async (channel, file) => {
    await channel.put("kept");
    await channel.close();
    await pause(40);
    const steps = [...migrations, "ALTER TABLE messages ADD COLUMN colour TEXT DEFAULT 'red'"];
    const options = { path: file, isDefault: false, isFull: false };
    const db = await openDatabase(await loadSqlite(), options, 1000, steps);
    assert.equal(db.prepare("SELECT colour FROM messages").get()!.colour, "red");
    db.close();
    const channelAgain = new Channel({ connection: `sqlite:${file}`, name: "x" });
    await rejection(channelAgain.get(), ChannelConfigError); // it is newer now
  });
});

Deno.test("sqlite: synchronous=full is what the file is written with", async () => {
  const file = join(directory, "full.db");
  for (const [isFull, level] of [[true, 2], [false, 1]] as const) {
    const db = await openDatabase(
      await loadSqlite(),
      { path: file, isDefault: false, isFull },
      1000,
    );
    assert.equal(db.prepare("PRAGMA synchronous").get()!.synchronous, level);
    assert.equal(db.prepare("PRAGMA journal_mode").get()!.journal_mode, "wal");
    db.close();
  }
});

Deno.test("sqlite: while others keep the file locked the event loop goes on, and all is done then", async () => {
  await withFile(async (channel, file) => {
    await channel.depth();
    const other = new DatabaseSync(file);
    other.exec("BEGIN IMMEDIATE");
    const puts = numbers(20).map((n) => channel.put(n));
    const got = getAll(channel, 20);
    let [late, last] = [0, performance.now()];
    const watch = setInterval(() => {
      late = Math.max(late, performance.now() - last - 5);
      last = performance.now();
    }, 5);
    await pause(400);
    other.exec("COMMIT");
    other.close();
    await soon(Promise.all(puts), 1000);
    assert.deepEqual(await got, numbers(20));
    clearInterval(watch);
    assert.ok(late < 50, `it stood still for ${late} ms`);
  });
});

Deno.test("sqlite: a file that stays locked is told, and nothing is lost when it is free again", async () => {
  await withFile(async (channel, file) => {
    await channel.put("before");
    const other = new DatabaseSync(file);
    other.exec("BEGIN IMMEDIATE");
    const late = rejection(channel.get({ timeout: 400 }), ChannelConnectionError);
    const error = await rejection(channel.put("unsent"), ChannelConnectionError);
    assert.match(error.message, /locked/);
    assert.equal(error.value, "unsent");
    assert.ok(error.transient);
    await late;
    other.exec("COMMIT");
    other.close();
    assert.equal(await channel.get({ timeout: 1000 }), "before");
    await channel.put("after");
    assert.equal(await channel.get(), "after");
  });
});

Deno.test("sqlite: the space of a burst is used again", async () => {
  await withFile(async (channel, file) => {
    const burst = async () => {
      const body = "x".repeat(10_000);
      for (let i = 0; i < 4; i++) {
        await Promise.all(numbers(150).map(() => channel.put(body)));
      }
      for (let i = 0; i < 600; i++) await channel.get();
    };
    const size = () => statSync(file).size + statSync(`${file}-wal`).size;
    await burst();
    const first = size();
    for (let i = 0; i < 3; i++) await burst();
    assert.ok(size() < first * 1.5 + 5_000_000, `${first} bytes, then ${size()}`);
  });
});

Deno.test("sqlite: a channel with many values is deleted at once, its values by and by", async () => {
  await withFile(async (channel, file, connection) => {
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

Deno.test("sqlite: a channel whose lease is over goes although nobody asks for it", async () => {
  await withFile(async (channel, file, connection) => {
    await channel.depth(); // a session that tidies
    const leased = new Channel({ name: "leased", connection, expires: 100 });
    await leased.put("forgotten");
    await leased.close();
    assert.equal(count(file, "channels"), 2);
    await until(() => count(file, "channels") === 1 && count(file, "messages") === 0, 3000);
  });
});

Deno.test("sqlite: a session is dead only where its lock is free, or gone", async () => {
  const sqlite = await loadSqlite();
  const file = join(directory, "a.lock");
  assert.equal(isPresent(sqlite, file), false);
  const presence = new Presence(sqlite, file);
  assert.equal(isPresent(sqlite, file), true);
  assert.equal(isPresent(sqlite, file), true); // looking has not unlocked it
  presence.end();
  assert.equal(isPresent(sqlite, file), false);
  writeFileSync(file, "");
  assert.equal(isPresent(sqlite, file), false);
  assert.equal(isPresent(sqlite, directory), true); // nobody can tell
});

Deno.test("sqlite: who removes the file deletes its channels, and the next handle makes it anew", async () => {
  await withFile(async (channel, file, connection) => {
    await channel.put("gone");
    const other = new Channel({ name: "y", connection });
    const refused = rejection(other.get(), ChannelClosedError, { reason: "delete" });
    await other.depth();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(file + suffix);
    await soon(refused, 2000);
    assert.ok(channel.closed);
    const again = new Channel({ name: "x", connection });
    await again.put("new");
    assert.equal(await again.get(), "new");
    await again.close();
  });
});

Deno.test("sqlite: an iteration reads ahead, and accepts what it got", async () => {
  await withFile(async (channel, file, connection) => {
    const total = 3000;
    await Promise.all(numbers(total).map((n) => channel.put(n)));
    let got = 0;
    for await (const n of channel) {
      assert.equal(n, got++);
      if (n % 100 === 0) await pause(0);
      if (got === total / 2) break;
    }
    const other = new Channel<unknown>({ name: "x", connection: new Connection(connection) });
    await until(async () => await other.depth() === total / 2, 200);
    assert.deepEqual(await getAll(other, total / 2), numbers(total / 2, total / 2));
    await other.depth();
    assert.equal(count(file, "messages"), 0);
    await other.close();
  });
});

test("what the tables say agrees after anything that may happen", async (scene) => {
  const name = scene.name();
  const handles = numbers(3).map((n) => scene.channel<number>(name, n, { maxAttempts: 50 }));
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

test("what is released comes before what was read ahead", async (scene) => {
  const ch = scene.channel<number>();
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

test("a file channel travels through memory, and not through a broker", async (scene) => {
  const inner = scene.channel<string>();
  const carrier = scene.own(new Channel<Channel<string>>({ connection: "memory:carrier" }));
  await carrier.put(inner);
  const got = scene.own(await carrier.get());
  await got.put("x");
  assert.equal(await inner.get({ timeout: 1000 }), "x");
  const far = scene.own(new Channel<unknown>({ connection: "amqp://127.0.0.1:1" }));
  const error = await rejection(far.put([inner]), ChannelReferenceError);
  assert.match(error.message, /one machine only/);
});

test("a file by another name is the same file, and nobody there takes us for dead", async (scene) => {
  const link = join(directory, "by another name.db");
  if (!existsSync(link)) symlinkSync(path, link);
  const a = scene.channel<string>();
  const b = scene.own(new Channel<string>({ name: a.name, connection: `sqlite:${link}` }));
  await Promise.all([a.depth(), b.depth()]);
  await pause(700); // each has looked for the other
  assert.equal(count(path, "sessions"), 2);
  const waiting = b.get();
  await a.put("x");
  assert.equal(await soon(waiting, 1000), "x");
});

test("a value that no row holds is refused", async (scene) => {
  const transport = new SqliteTransport(uri);
  const link = await transport.open(scene.name(), { ...options, create: true });
  const body = { byteLength: 1e9 } as Uint8Array;
  const message = { body, contentType: "" };
  await assert.rejects(
    new Promise<void>((resolve, reject) => {
      link.put({ message, settled: false, taken: resolve, reject });
    }),
    /1000000000 bytes/,
  );
  await link.close();
  transport.rest();
  await pause(40);
});
