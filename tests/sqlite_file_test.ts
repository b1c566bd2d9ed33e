// The file: its place, its permissions, and files that are rejected.
import assert from "node:assert/strict";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { Channel, ChannelConfigError } from "../mod.ts";
import { loadSqlite, openDatabase } from "../src/transports/sqlite/file/database.ts";
import { migrations } from "../src/transports/sqlite/file/schema.ts";
import { parseSqliteUri } from "../src/transports/sqlite/uri.ts";
import { getAll, numbers, pause, rejection, until, within } from "./conformance/fixture.ts";
import { decidedOnDeno } from "./support/conditions.ts";
import { startChild } from "./support/child.ts";
import { query, sqliteDirectory, withFile } from "./support/sqlite_file.ts";
import { test } from "./support/test.ts";

const directory = sqliteDirectory();

Deno.test("sqlite: a URI names an absolute or relative path with any characters of one", () => {
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

Deno.test("sqlite: the URI without a path names a file of the user, whose directory is created", async () => {
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

Deno.test("sqlite: only the user may read the files, and a process's own files are removed with it", async () => {
  await withFile(directory, async (channel, file) => {
    await channel.put("secret");
    const mine = readdirSync(directory).filter((name) => join(directory, name).startsWith(file));
    assert.equal(mine.length, 5, mine.join(" ")); // the database, -wal, -shm, a lock file, a wake-up file
    for (const name of mine) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600);
    await channel.close();
    const left = () =>
      readdirSync(directory).filter((name) => join(directory, name).startsWith(file));
    await until(() => left().length === 1);
    assert.deepEqual(left(), [file.slice(directory.length + 1)]);
  });
});

Deno.test("sqlite: a missing directory is reported and not created", async () => {
  const missing = join(directory, "missing");
  const channel = new Channel({ connection: `sqlite:${missing}/a.db` });
  const error = await rejection(channel.put(1), ChannelConfigError);
  assert.ok(error.message.includes(missing));
  assert.equal(existsSync(missing), false);
});

test(
  "sqlite: a path that is not a file is reported with advice",
  { skip: decidedOnDeno },
  async () => {
    const file = join(directory, "a file");
    writeFileSync(file, "x");
    const cases: [string, string][] = [
      [
        directory,
        `is a directory; name a file in it, such as sqlite:${join(directory, "jobs.db")}`,
      ],
      [join(file, "a.db"), `the directory ${file} does not exist; create it, or name another path`],
      ["/dev/null", "is not a regular file; name a regular file, or a new one"],
    ];
    for (const [path, expected] of cases) {
      const connection = `sqlite:${path.replaceAll(" ", "%20")}`;
      const channel = new Channel({ connection });
      for (const action of [() => channel.put(1), () => channel.get()]) {
        const { message } = await rejection(action(), ChannelConfigError);
        assert.ok(message.includes(expected), message);
      }
      await channel.close();
    }
  },
);

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
  Deno.test(`sqlite: ${title} is rejected with a clear error and left unchanged`, async () => {
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
    assert.ok(before.equals(readFileSync(file)), "the file was changed");
    assert.equal(statSync(file).mode & 0o777, 0o644);
    const beside = readdirSync(directory).filter((name) => join(directory, name).startsWith(file));
    assert.equal(beside.length, 1, beside.join(" "));
  });
}

Deno.test("sqlite: an empty file is used", async () => {
  await withFile(directory, async (channel, file) => {
    writeFileSync(file, "");
    await channel.put(1);
    assert.equal(await channel.get(), 1);
  });
});

Deno.test("sqlite: a file of an older schema is migrated and keeps its values", async () => {
  await withFile(directory, async (channel, file) => {
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

Deno.test("sqlite: the file is written with synchronous=full", async () => {
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

Deno.test("sqlite: the space of a burst is reused", async () => {
  await withFile(directory, async (channel, file) => {
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

Deno.test("sqlite: a file of the first schema keeps its values and their order", async () => {
  await withFile(directory, async (channel, file) => {
    const db = new DatabaseSync(file);
    db.exec("PRAGMA journal_mode = WAL");
    db.exec(migrations[0]!);
    db.exec(`PRAGMA application_id = ${0x43685453}; PRAGMA user_version = 1`);
    db.exec("INSERT INTO channels (id, name, depth) VALUES (1, 'x', 3)");
    for (const n of [1, 2, 3]) {
      db.exec(
        "INSERT INTO messages (channel, holder, attempts, content_type, body) " +
          `VALUES (1, 0, 0, 'application/json', CAST('${n}' AS BLOB))`,
      );
    }
    db.close();
    await channel.put(0, { priority: 1 });
    assert.deepEqual(await getAll(channel, 4), [0, 1, 2, 3]);
  });
});

test("sqlite: a delayed value survives all processes and wakes a waiting get in time", {
  skip: decidedOnDeno,
  timed: "a value that is slightly late shows only by time",
}, async () => {
  await withFile(directory, async (channel, _, connection) => {
    await channel.put("before", { delay: 1 });
    await channel.put("after", { delay: 2500 });
    const due = performance.now() + 2500;
    await channel.close();
    await pause(100); // the file is closed
    const child = startChild(new URL("programs/getter.ts", import.meta.url), {
      args: [connection, "x"],
    });
    try {
      assert.equal(await child.next(), "before");
      assert.deepEqual(await child.exited, { code: 0, signal: null });
    } finally {
      await child[Symbol.asyncDispose]();
    }
    const again = new Channel({ name: "x", connection });
    const asked = performance.now();
    assert.equal(await again.get({ timeout: 20_000 }), "after");
    const late = performance.now() - Math.max(due, asked);
    assert.ok(late > -20 && late < 200, `${late} ms late`);
    await again.close();
  });
});

test(
  "sqlite: a backup by SQLite in the same process contains all values and disturbs no operation",
  {},
  async () => {
    await withFile(directory, async (channel, file) => {
      await Promise.all(numbers(300).map((n) => channel.put(n)));
      await channel.put("delayed", { delay: 60_000 });
      const onLoan = await channel.receive();
      const copy = `${file}-copy.db`;
      const moving = (async () => {
        for (const n of numbers(50)) {
          await channel.put(300 + n);
          await pause(1);
        }
      })();
      await pause(10);
      const db = new DatabaseSync(file);
      db.exec(`VACUUM INTO '${copy}'`);
      db.close();
      await moving;
      const restored = new Channel<unknown>({ name: "x", connection: `sqlite:${copy}` });
      assert.deepEqual(await getAll(restored, 300), numbers(300)); // the value on loan is in its place
      await restored.delete();
      onLoan.accept();
      assert.deepEqual(await getAll(channel, 349), numbers(349, 1));
      await until(() => query(file, "SELECT 1 FROM messages").length === 0);
      assert.equal(query(file, "SELECT 1 FROM delayed").length, 1);
      await restored.close();
    });
  },
);

/** Changes that another program may make to a file, with the outcome: an error, or values that are got. */
const hostile: Record<string, RegExp> = {
  "UPDATE messages SET body = 'text'": /^ChannelDecodeError/,
  "UPDATE messages SET body = 7.5": /^ChannelDecodeError/,
  "UPDATE messages SET body = x''": /^ChannelDecodeError/,
  "UPDATE messages SET content_type = x'00ff'": /^ChannelDecodeError/,
  "UPDATE messages SET content_type = 9e300": /^ChannelDecodeError/,
  "UPDATE messages SET id = 9007199254740993 WHERE id = 1": /^value/,
  "UPDATE messages SET id = 9007199254740992 + id":
    /^ChannelConnectionError.*an invalid value into it; remove/,
  "UPDATE messages SET attempts = 9223372036854775807": /^value/,
  "UPDATE messages SET attempts = 'many', priority = 'high', expires = 'soon'": /^value/,
  "UPDATE messages SET priority = 9223372036854775807": /^value/,
  "UPDATE messages SET message_id = x'00', reason = 1e300, redelivered = 'x'": /^value/,
  "UPDATE messages SET headers = x'00ff'": /^value/,
  "UPDATE channels SET depth = 9223372036854775807": /^value/,
  "UPDATE channels SET depth = 'deep', capacity = 'large', size = x'00'": /^value/,
  "UPDATE channels SET capacity = -1": /^value/,
  "UPDATE channels SET announced = 'x', announced_bytes = 9223372036854775807": /^value/,
  "UPDATE clock SET ahead = 'x'": /^value/,
  "UPDATE clock SET ahead = 9223372036854775807": /^value/,
  "INSERT INTO delayed VALUES (1, 1, 'x', 'y', x'00', 5, 1e300, 'z', 'a', 'b', x'00')": /^value/,
  "INSERT INTO delayed VALUES (1, 1, 9223372036854775807, 1, '', '', '', x'00', 1, 1, 5)": /^value/,
  "INSERT INTO sessions VALUES (9223372036854775806, 'x')": /^ChannelConnectionError.*remove/,
  "DROP TABLE waiters": /^ChannelConnectionError.*no such table/,
  "ALTER TABLE messages RENAME COLUMN body TO corpse": /^ChannelConnectionError.*no such column/,
};
test(
  "sqlite: data that another program wrote into the file leads to an error or a value, never a crash or a hang",
  {
    skip: decidedOnDeno,
  },
  async () => {
    for (const [sql, expected] of Object.entries(hostile)) {
      const file = join(directory, `${crypto.randomUUID()}.db`);
      const first = new Channel({ name: "x", connection: `sqlite:${file}` });
      await first.put("a value");
      await first.put("a value");
      await first.close();
      await until(() => !existsSync(`${file}-wal`));
      const db = new DatabaseSync(file);
      db.exec(sql);
      db.close();
      const channel = new Channel({ name: "x", connection: `sqlite:${file}`, retryTimeout: 500 });
      const reported: string[] = [];
      const report = (error: Error) => reported.push(`${error.name}: ${error.message}`);
      for (const act of [() => channel.get(), () => channel.receive()]) {
        await within(act().then(() => reported.push("value"), report), 5000);
      }
      for (const act of [() => channel.put(1), () => channel.depth(), () => channel.broadcast(1)]) {
        await within(act().catch(report), 5000);
      }
      await within(channel.delete().catch(report), 5000);
      await within(channel.close());
      assert.ok(reported.some((text) => expected.test(text)), `${sql}: ${reported.join("; ")}`);
      const beside = () =>
        readdirSync(directory).filter((name) => join(directory, name).startsWith(`${file}.`));
      await until(() => beside().length === 0); // its connection becomes idle
    }
  },
);
