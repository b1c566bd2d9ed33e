// Faults of an SQLite file and of the processes that use it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { DatabaseSync } from "node:sqlite";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import {
  Channel,
  ChannelClosedError,
  ChannelConnectionError,
  ChannelTimeoutError,
  Connection,
} from "../mod.ts";
import { loadSqlite } from "../src/transports/sqlite/file/database.ts";
import { LivenessLock, mayBeAlive } from "../src/transports/sqlite/session/liveness_lock.ts";
import { fileOf } from "../src/transports/sqlite/file/token.ts";
import { SqliteTransport } from "../src/transports/sqlite/transport.ts";
import type { Loan } from "../src/transports/transport.ts";
import { getAll, numbers, pause, rejection, until, within } from "./conformance/fixture.ts";
import { decidedOnDeno, onWindows } from "./support/conditions.ts";
import { type Child, startChild } from "./support/child.ts";
import { linkOptions, putOn } from "./support/link.ts";
import {
  checkFile,
  count,
  query,
  sqliteDirectory,
  stopOutsideTransaction,
  withFile,
} from "./support/sqlite_file.ts";
import { test } from "./support/test.ts";

const directory = sqliteDirectory();

function run(program: string, ...args: string[]): Child {
  return startChild(new URL(`programs/${program}.ts`, import.meta.url), { args });
}

/** Returns the longest time in milliseconds for which the event loop was blocked. */
async function latenessDuring(act: () => Promise<unknown>): Promise<number> {
  let [late, last] = [0, performance.now()];
  const watch = setInterval(() => {
    late = Math.max(late, performance.now() - last - 1);
    last = performance.now();
  }, 1);
  await act();
  clearInterval(watch);
  return late;
}

test(
  "sqlite: while another process locks the file, the event loop runs, and operations complete afterwards",
  {
    timed: "blocking shows only by how late timers are",
  },
  async () => {
    await withFile(directory, async (channel, path) => {
      await channel.put("warm");
      await channel.get();
      await using locker = run("crash_locker", path, "500");
      assert.equal(await locker.next(), "locked");
      const late = await latenessDuring(async () => {
        const got = getAll(channel, 50);
        await Promise.all(numbers(50).map((n) => channel.put(n)));
        assert.deepEqual(await got, numbers(50));
      });
      assert.equal(await locker.next(), "unlocked");
      assert.ok(late < 100, `it was blocked for ${late} ms`);
    });
  },
);

Deno.test("sqlite: a file that stays locked is reported, and nothing is lost when it is unlocked", async () => {
  await withFile(directory, async (channel, file) => {
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
    assert.equal(await channel.get({ timeout: 20_000 }), "before");
    await channel.put("after");
    assert.equal(await channel.get(), "after");
  }, { retryTimeout: 1000 });
});

Deno.test("sqlite: a session is dead only if its lock is free or gone", async () => {
  const sqlite = await loadSqlite();
  const file = join(directory, "a.lock");
  assert.equal(mayBeAlive(sqlite, file), false);
  const lock = new LivenessLock(sqlite, file);
  assert.equal(mayBeAlive(sqlite, file), true);
  assert.equal(mayBeAlive(sqlite, file), true); // checking has not unlocked it
  lock.release();
  assert.equal(mayBeAlive(sqlite, file), false);
  writeFileSync(file, "");
  assert.equal(mayBeAlive(sqlite, file), false);
  assert.equal(mayBeAlive(sqlite, directory), true); // it cannot be determined
});

Deno.test("sqlite: removing the file deletes its channels, and the next handle creates it again", async () => {
  await withFile(directory, async (channel, file, connection) => {
    await channel.put("gone");
    const other = new Channel({ name: "y", connection });
    const refused = rejection(other.get(), ChannelClosedError, { reason: "delete" });
    await other.depth();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(file + suffix);
    await within(refused);
    assert.ok(channel.closed);
    const again = new Channel({ name: "x", connection });
    await again.put("new");
    assert.equal(await again.get(), "new");
    await again.close();
  });
});

Deno.test("sqlite: a process that is killed in a transaction has written nothing and leaves no lock", async () => {
  await withFile(directory, async (channel, path) => {
    await Promise.all(numbers(200).map((n) => channel.put(n)));
    await using locker = run("crash_locker", path);
    assert.equal(await locker.next(), "locked");
    const put = channel.put(200);
    await pause(50);
    locker.kill();
    await within(put);
    checkFile(path);
    assert.deepEqual(await getAll(channel, 201), numbers(201));
  });
});

Deno.test("sqlite: a process that is stopped for seconds keeps the values that it holds, and continues", async () => {
  await withFile(directory, async (channel, path, connection) => {
    await channel.put(7);
    await using child = run("ending_holder", connection, "x", "accept", "100");
    assert.deepEqual(await child.next(), [7, 1]);
    await stopOutsideTransaction(child, path);
    await rejection(channel.get({ timeout: 2500 }), ChannelTimeoutError);
    child.kill("SIGCONT");
    assert.equal(await child.next(), "accepted");
    assert.equal((await child.exited).code, 0, child.stderr);
    assert.equal(await channel.depth(), 0);
  });
});

Deno.test("sqlite: many processes may create one file at the same time", async () => {
  const path = join(directory, "at once.db");
  const channel = new Channel<number>({ name: "x", connection: `sqlite:${path}` });
  const children = numbers(12).map((n) =>
    run("crash_producer", `sqlite:${path}`, "x", join(directory, `log ${n}`), String(n * 1e6))
  );
  try {
    const seen = new Set<number>();
    const deadline = performance.now() + 30_000;
    while (seen.size < children.length && performance.now() < deadline) {
      seen.add(Math.floor(await channel.get({ timeout: 20_000 }) / 1e6));
    }
    assert.equal(seen.size, children.length, children.map(({ stderr }) => stderr).join("\n"));
    assert.equal(count(path, "sessions"), children.length + 1);
  } finally {
    for (const child of children) await child[Symbol.asyncDispose]();
  }
  await until(() => count(path, "sessions") === 1); // all were killed at once
  checkFile(path);
  await channel.delete();
  await pause(60);
});

Deno.test("sqlite: a process that opens a file while another creates it does not consider it foreign", async () => {
  const folder = join(directory, "openers");
  mkdirSync(folder);
  const [start, files, every] = [Date.now() + 2000, 300, 12];
  const children = numbers(3).map(() =>
    run("opener", folder, String(start), String(files), String(every))
  );
  for (const child of children) {
    assert.deepEqual(await child.next(30_000), []);
    await child[Symbol.asyncDispose]();
  }
});

Deno.test("sqlite: a failing transaction does not withhold values that were delivered meanwhile", async () => {
  const uri = `sqlite:${join(directory, "fails.db")}`;
  const [mine, other] = [new SqliteTransport(uri), new SqliteTransport(uri)];
  const getting = await mine.open("x", linkOptions);
  const putting = await other.open("x", linkOptions);
  for (const _ of numbers(30)) {
    const got = new Promise<Loan>((resolve, reject) => {
      getting.take({ counted: false, deliver: resolve, reject });
    });
    await getting.depth(); // it is among the waiters
    await putOn(putting, { body: new Uint8Array(1), contentType: "" });
    await assert.rejects(mine.open("none", { ...linkOptions, create: false }), ChannelClosedError);
    (await within(got)).accept();
  }
  await Promise.all([getting.close(), putting.close()]);
  mine.rest();
  other.rest();
  await pause(60);
});

Deno.test("sqlite: announcements of deleted channels do not stay in the file", async () => {
  await withFile(directory, async (channel, path, uri) => {
    await channel.depth();
    for (const n of numbers(3)) {
      const name = `gone ${n}`;
      const waiting = new Channel({ name, connection: uri });
      const refused = rejection(waiting.get(), ChannelClosedError);
      await waiting.depth();
      await new Channel({ name, connection: new Connection(uri) }).delete();
      await refused;
    }
    await until(() => count(path, "mail") === 0);
  });
});

test(
  "sqlite: a process that wakes many short-lived others keeps none of their files open",
  { skip: process.platform !== "linux" && "only Linux lists a process's open files" },
  async () => {
    await withFile(directory, async (channel, path, uri) => {
      await channel.depth();
      for (const n of numbers(5)) {
        const guest = new Channel({ name: "x", connection: new Connection(uri) });
        const got = guest.get();
        await until(() => count(path, "waiters") === 1);
        await channel.put(n);
        assert.equal(await got, n);
        await guest.close();
      }
      const open = () =>
        readdirSync("/proc/self/fd").map((fd) => {
          try {
            return readlinkSync(`/proc/self/fd/${fd}`);
          } catch {
            return ""; // the descriptor of the directory
          }
        }).filter((file) => file.startsWith(path) && file.includes(".bell")).length;
      await until(() => open() <= 1); // its own file, which some runtimes watch through a descriptor
    });
  },
);

Deno.test("sqlite: a session whose lock is removed ends, and its values are returned", async () => {
  await withFile(directory, async (channel, path, uri) => {
    await channel.put("held");
    const victim = new Channel({ name: "x", connection: new Connection(uri) });
    const held = await victim.receive();
    const ids = () => query<{ token: string }>(path, "SELECT token FROM sessions ORDER BY id");
    const [, { token }] = ids() as [{ token: string }, { token: string }];
    rmSync(fileOf(path, token, "lock"));
    assert.equal(await channel.get({ timeout: 20_000 }), "held");
    await rejection(within(victim.get({ timeout: 3000 })), ChannelClosedError);
    held.accept();
    const again = new Channel({ name: "x", connection: uri });
    await again.put("new");
    assert.equal(await again.get(), "new");
    await again.close();
  });
});

Deno.test("sqlite: values of a link that could not be closed while the file was locked are returned", async () => {
  await withFile(directory, async (channel, path, uri) => {
    await channel.depth(); // its session stays
    const closing = new Channel({ name: "y", connection: uri, retryTimeout: 1000 });
    await closing.put("held");
    await closing.receive();
    await until(() => count(path, "messages WHERE holder > 0") === 1);
    await using locker = run("crash_locker", path, "1500");
    assert.equal(await locker.next(), "locked");
    await closing.close();
    assert.equal(await locker.next(), "unlocked");
    const other = new Channel({ name: "y", connection: new Connection(uri) });
    assert.equal(await other.get({ timeout: 20_000 }), "held");
    await other.close();
  });
});

Deno.test("sqlite: files of processes that were killed at their start are removed, and no others", async () => {
  await withFile(directory, async (_, path, uri) => {
    const token = (n: number) => String(n).repeat(12);
    const long = Date.now() / 1000 - 60;
    const make = (name: string, content: string, isOld = true) => {
      writeFileSync(name, content);
      if (isOld) utimesSync(name, long, long);
      return name;
    };
    const alive = new LivenessLock(await loadSqlite(), fileOf(path, token(1), "lock"));
    utimesSync(fileOf(path, token(1), "lock"), long, long);
    const left = [
      make(fileOf(path, token(2), "lock"), ""),
      make(fileOf(path, token(2), "bell"), "."),
      make(fileOf(path, token(3), "bell"), ""),
      make(fileOf(path, token(3), "new"), ""),
    ];
    const copy = `${path}-${new Date().toISOString().replaceAll(/\D/g, "").slice(0, 12)}`;
    const kept = [
      fileOf(path, token(1), "lock"),
      make(fileOf(path, token(1), "bell"), ""),
      make(fileOf(path, token(4), "lock"), "", false), // its process may be about to lock it
      make(copy, "a copy of the database"),
      make(`${copy}-wal`, ""),
      make(`${path}-${token(4)}`, ""),
      make(`${path}-${token(4)}.lock`, ""), // the name in an earlier version
      make(`${path}-${token(4)}.bell`, "."),
      make(`${path}-other.db.channelts-${token(4)}.lock`, ""), // another database's
      make(`${path}.channelts-${token(4)}.copy`, ""),
      make(`${path}.channelts-${token(4)}.lock.old`, ""),
      make(fileOf(path, token(5), "lock"), "the library does not write this"),
      make(fileOf(path, token(5), "bell"), "x"),
      make(fileOf(path, token(5), "new"), "a database"),
      fileOf(path, token(6), "lock"),
      fileOf(path, token(6), "bell"),
    ];
    mkdirSync(fileOf(path, token(6), "lock"));
    symlinkSync(make(`${path}-target`, ""), fileOf(path, token(6), "bell"));
    if (process.getuid?.() === 0) {
      const foreign = make(fileOf(path, token(7), "bell"), "");
      chownSync(foreign, 12345, 12345);
      kept.push(foreign);
    }
    const channel = new Channel({ name: "y", connection: new Connection(uri) });
    await channel.depth();
    for (const name of left) assert.equal(existsSync(name), false, name);
    for (const name of kept) assert.ok(existsSync(name), name);
    alive.release();
    await channel.close();
  });
});

Deno.test("sqlite: a token that another program wrote never names a file that the library touches", async () => {
  await withFile(directory, async (channel, path, uri) => {
    await channel.put(1);
    await channel.close();
    await pause(60);
    const victim = join(directory, "other-file");
    mkdirSync(`${path}.channelts-`);
    for (const kind of ["lock", "bell"]) writeFileSync(`${victim}.${kind}`, "mine");
    const db = new DatabaseSync(path);
    for (const token of ["/../victim", "x", "", "00000000000g"]) {
      db.prepare("INSERT INTO sessions (token) VALUES (?)").run(token);
    }
    db.close();
    const again = new Channel({ name: "x", connection: uri });
    assert.equal(await again.get(), 1);
    await until(() => count(path, "sessions") === 1);
    for (const kind of ["lock", "bell"]) {
      assert.equal(readFileSync(`${victim}.${kind}`, "utf8"), "mine");
    }
    await again.close();
  });
});

test("sqlite: a process that reads the files of its own database keeps the values that it holds", {
  skip: onWindows,
  timed: "a process that does not answer within 0.4 s is considered dead",
}, async () => {
  await withFile(directory, async (channel, path, uri) => {
    await channel.put("held");
    await using child = run("self_reader", uri, "x");
    assert.equal(await child.next(), "held");
    const [token] = query<{ token: string }>(path, "SELECT token FROM sessions ORDER BY id DESC")
      .map(({ token }) => token);
    const lock = fileOf(path, token!, "lock");
    const sqlite = await loadSqlite();
    for (const _ of numbers(3)) {
      child.send("read");
      assert.equal(await child.next(), "has read");
      await until(() => mayBeAlive(sqlite, lock), 20_000, 130); // locked again: a check holds the lock for a moment
    }
    await rejection(channel.get({ timeout: 1500 }), ChannelTimeoutError);
    child.send("accept");
    assert.equal(await child.next(), "accepted");
    await until(() => count(path, "messages") === 0);
  });
});

const hour = 3_600_000;
for (const [direction, ahead] of [["back", -hour], ["forward", hour]] as const) {
  test(
    `sqlite: a clock that is set ${direction} by an hour delays nothing further and expires nothing early`,
    {
      skip: decidedOnDeno,
    },
    async () => {
      await withFile(directory, async (channel, path, uri) => {
        await channel.close();
        await using child = run("other_clock", uri, "x", "0");
        assert.equal(await child.next(), "ready");
        const request = async (...what: unknown[]) => {
          child.send(what);
          return await child.next();
        };
        await request("put", "expires later", { expires: 60_000 });
        await request("put", "delayed before", { delay: 3000 });
        await request("put", "delayed longer", { delay: 60_000 });
        await request("put", "expires soon", { expires: 30_000, delay: 3500 });
        const leased = new Channel({ name: "leased", connection: uri, expires: 60_000 });
        await leased.put(1);
        await leased.close();
        await until(() => count(path, "sessions") === 1); // its clock differs
        await request("set", ahead);
        await request("put", "delayed after", { delay: 300 });
        const got = [];
        for (const _ of numbers(4)) got.push(await request("get", 20_000));
        assert.deepEqual(got, ["expires later", "delayed after", "delayed before", "expires soon"]);
        await request("put", "expires soon", { expires: 300 });
        await pause(400);
        assert.equal(await request("get", 100), "nothing");
        // A later process with the same clock learns the time from the file.
        const known = () => query<{ ahead: number }>(path, "SELECT ahead FROM clock")[0]!.ahead;
        await until(() => Math.abs(known() + ahead) < 1000);
        await using later = run("other_clock", uri, "x", String(ahead));
        assert.equal(await later.next(), "ready");
        child.kill();
        await child.exited;
        later.send(["put", "expires later", { expires: 60_000 }]);
        await later.next();
        later.send(["get", 20_000]);
        assert.equal(await later.next(), "expires later");
        later.send(["get", 100]);
        assert.equal(await later.next(), "nothing"); // values with a longer delay
        assert.equal(count(path, "delayed"), 1);
        assert.equal(count(path, "channels WHERE name = 'leased'"), 1);
      });
    },
  );
}

const small = join(directory, "small");

/** Mounts a file system of two megabytes. Returns whether this process may do so. */
function mountSmall(): boolean {
  mkdirSync(small, { recursive: true });
  return spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", small]).status === 0;
}

function unmountSmall(): void {
  spawnSync("umount", ["-l", small]);
}

/** Root of a container usually may not, either. */
const mayMount = process.platform === "linux" && process.getuid?.() === 0 && mountSmall();
if (mayMount) unmountSmall();

test(
  "sqlite: a full disk rejects values and loses none, and puts work again when there is space",
  { skip: !mayMount && "this process may not mount a file system" },
  async () => {
    assert.ok(mountSmall());
    try {
      await withFile(small, async (channel) => {
        const body = "x".repeat(50_000);
        let put = 0;
        let error: unknown;
        while (error === undefined) {
          await channel.put(body).then(() => put++, (cause) => error = cause);
        }
        assert.ok(error instanceof ChannelConnectionError, String(error));
        assert.match(error.message, /the disk is full; make room on it|the disk failed/);
        assert.ok(put > 5, `only ${put}`);
        spawnSync("mount", ["-o", "remount,size=20m", small]);
        await channel.put(body);
        assert.equal((await getAll(channel, put + 1)).length, put + 1);
        assert.equal(await channel.depth(), 0);
      });
    } finally {
      unmountSmall();
    }
  },
);

Deno.test("sqlite: after a large burst the file's space is reused, and its log stays small", async () => {
  // Bun and Node run the same code on other builds of SQLite, which a smaller burst shows.
  const total = Number(process.env.BURST ?? (process.versions.deno ? 40_000 : 10_000));
  await withFile(directory, async (channel, path) => {
    const sizes: number[] = [];
    let log = 0;
    const watch = setInterval(() => {
      log = Math.max(log, statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0);
    }, 20);
    for (const _ of numbers(3)) {
      for (let n = 0; n < total; n += 1000) {
        await Promise.all(numbers(1000).map((i) => channel.put(n + i)));
      }
      for (let n = 0; n < total; n += 1000) await getAll(channel, 1000);
      const db = new DatabaseSync(path);
      db.exec("PRAGMA wal_checkpoint(PASSIVE)"); // a small burst may be in the log alone
      db.close();
      sizes.push(statSync(path).size);
    }
    clearInterval(watch);
    assert.ok(sizes[2]! <= sizes[0]! * 1.2, `${sizes} bytes`);
    assert.ok(log < 16_000_000, `a log of ${log} bytes`);
    if (process.env.BURST) process.stdout.write(`files of ${sizes} bytes, a log of ${log}\n`);
  });
});
