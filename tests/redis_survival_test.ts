// What a server does under load, without a disk, and to users: nothing that was confirmed is lost, and operations continue
// when it is over.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Channel, ChannelConnectionError, Connection } from "../mod.ts";
import { numbers, rejection, until, within } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { type PrivateRedis, startRedis } from "./support/redis.ts";
import { withAdmin } from "./support/redis_setup.ts";
import { test } from "./support/test.ts";

const command = (uri: string, ...args: string[]) =>
  withAdmin(uri, async (admin) => await admin.sendCommand(args));

const info = async (uri: string, section: string) => String(await command(uri, "INFO", section));

/** Puts numbers, many at a time, until it is ended. */
class Load {
  readonly confirmed = new Set<number>();
  readonly rejected: unknown[] = [];
  readonly #channel: Channel<number>;
  readonly #pending = new Set<Promise<void>>();
  readonly #writing: Promise<void>;
  #isOver = false;

  constructor(channel: Channel<number>) {
    this.#channel = channel;
    this.#writing = this.#write();
  }

  async #write(): Promise<void> {
    for (let n = 0; !this.#isOver;) {
      for (let i = 0; i < 20; i++) this.#put(n++);
      if (this.#pending.size >= 200) await Promise.race(this.#pending);
      else await Promise.resolve();
    }
  }

  #put(n: number): void {
    const putting = this.#channel.put(n).then(
      () => void this.confirmed.add(n),
      (error) => void this.rejected.push(error),
    ).finally(() => this.#pending.delete(putting));
    this.#pending.add(putting);
  }

  /** Resolves when each put is settled. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.#writing;
    await Promise.all(this.#pending);
  }
}

/** Gets all values of a channel, and asserts that each is there once, and each of some numbers. */
async function assertAllThere(channel: Channel<number>, confirmed: Set<number>): Promise<void> {
  const got: number[] = [];
  for (let left = await channel.depth(); left > 0; left--) got.push(await within(channel.get()));
  const all = new Set(got);
  assert.deepEqual([...confirmed].filter((n) => !all.has(n)), [], "confirmed and lost");
  assert.equal(all.size, got.length, "put twice");
}

Deno.test("redis: a failover under load loses nothing that was confirmed with durability quorum, and doubles nothing", async () => {
  await using first = await startRedis();
  await using second = await startRedis({ conf: [`replicaof 127.0.0.1 ${first.port}`] });
  await until(async () => /slave0:.*state=online/.test(await info(first.uri, "replication")));
  const connection = `redis://127.0.0.1:${first.port},127.0.0.1:${second.port}`;
  const options = { connection, durability: "quorum", retryTimeout: 20_000 } as const;
  const jobs = new Channel<number>({ name: "jobs", ...options });
  const load = new Load(jobs);
  await until(() => load.confirmed.size > 2000);
  await first.crash();
  const { size } = load.confirmed;
  await command(second.uri, "REPLICAOF", "NO", "ONE");
  await until(() => load.confirmed.size > size + 200);
  await within(load.end());
  assert.deepEqual(load.rejected, []);
  await assertAllThere(jobs, load.confirmed);
  await jobs.close();
});

Deno.test("redis: a replica that comes later counts for durability quorum", async () => {
  await using first = await startRedis();
  const options = { connection: first.uri, durability: "quorum", retryTimeout: 20_000 } as const;
  const jobs = new Channel<number>({ name: "jobs", ...options });
  await jobs.put(0); // there is none, so that this says nothing of replicas
  await using second = await startRedis({ conf: [`replicaof 127.0.0.1 ${first.port}`] });
  await until(async () => /slave0:.*state=online/.test(await info(first.uri, "replication")));
  await pause(1100); // after which replicas are counted again
  await jobs.put(1);
  second.suspend();
  await until(() => jobs.put(2).then(() => false, () => true));
  const error = await rejection(within(jobs.put(3)), ChannelConnectionError);
  assert.match(error.message, /too few of its replicas confirmed it in time/);
  second.resume();
  await until(() => jobs.put(4).then(() => true, () => false));
  await jobs.close();
});

Deno.test("redis: a process that only listens leaves a server that has become a replica", async () => {
  await using first = await startRedis();
  await using second = await startRedis({ conf: [`replicaof 127.0.0.1 ${first.port}`] });
  await until(async () => /slave0:.*state=online/.test(await info(first.uri, "replication")));
  const logged: string[] = [];
  const connection = new Connection(
    `redis://127.0.0.1:${first.port},127.0.0.1:${second.port}`,
    { logger: { warn: (text) => logged.push(text) } },
  );
  const news = new Channel<number>({ name: "news", connection });
  const heard: number[] = [];
  const listening = (async () => {
    for await (const n of news.broadcasts()) heard.push(n);
  })();
  const others = new Channel<number>({ name: "news", connection: second.uri });
  await until(async () =>
    Number(await command(first.uri, "EXISTS", "channelts:{news}:links")) === 1
  );
  await command(second.uri, "REPLICAOF", "NO", "ONE");
  await command(first.uri, "REPLICAOF", "127.0.0.1", String(second.port));
  await until(async () => {
    // It waits in a get, so that the server takes a process for dead that does not listen there.
    await others.get({ timeout: 600 }).catch(() => {});
    await others.broadcast(heard.length);
    return heard.length > 1;
  });
  const lost = logged.filter((text) => text.includes("was lost"));
  assert.equal(lost.length, 1);
  assert.match(lost[0]!, new RegExp(`: 127.0.0.1:${first.port}: the server has become a replica$`));
  await Promise.all([news.closeAll(), others.close()]);
  await within(listening);
  await news.close();
});

Deno.test("redis: a user that may not run WAIT is told why no put with durability quorum is confirmed", async () => {
  const user = "user deaf on >secret resetkeys ~channelts:* resetchannels &channelts:* +@all -wait";
  await using first = await startRedis({ conf: [user] });
  await using second = await startRedis({ conf: [`replicaof 127.0.0.1 ${first.port}`] });
  await until(async () => /slave0:.*state=online/.test(await info(first.uri, "replication")));
  const logged: string[] = [];
  const connection = new Connection(`redis://deaf:secret@127.0.0.1:${first.port}`, {
    logger: { warn: (text) => logged.push(text) },
  });
  const jobs = new Channel<number>({ name: "jobs", connection, durability: "quorum" });
  for (const n of numbers(2)) await rejection(jobs.put(n), ChannelConnectionError);
  assert.equal(logged.length, 1);
  assert.match(
    logged[0]!,
    /\/0 did not say whether replicas have a put with durability "quorum": NOPERM .*'wait'/,
  );
  assert.equal(second.isRunning, true);
  await jobs.close();
});

Deno.test("redis: a primary and its replica change places under load by FAILOVER, and nothing is lost", async () => {
  await using first = await startRedis();
  await using second = await startRedis({ conf: [`replicaof 127.0.0.1 ${first.port}`] });
  await until(async () => /slave0:.*state=online/.test(await info(first.uri, "replication")));
  const connection = `redis://127.0.0.1:${first.port},127.0.0.1:${second.port}`;
  const jobs = new Channel<number>({ name: "jobs", connection, retryTimeout: 20_000 });
  const load = new Load(jobs);
  await until(() => load.confirmed.size > 1000);
  await command(first.uri, "FAILOVER");
  await until(async () => /^role:slave/m.test(await info(first.uri, "replication")));
  const { size } = load.confirmed;
  await until(() => load.confirmed.size > size + 200);
  await within(load.end());
  assert.deepEqual(load.rejected, []);
  await assertAllThere(jobs, load.confirmed);
  await jobs.close();
});

Deno.test("redis: a server that begins with a snapshot has the channels, and what was on loan waits again", async () => {
  await using first = await startRedis();
  const jobs = new Channel<number>({ name: "jobs", connection: first.uri });
  for (const n of numbers(3)) await jobs.put(n);
  await jobs.receive();
  await command(first.uri, "SAVE");
  await using second = await startRedis({ conf: [`dir ${first.directory}`, "appendonly no"] });
  const restored = new Channel<number>({ name: "jobs", connection: second.uri });
  const got = [];
  for (let i = 0; i < 3; i++) {
    const delivery = await within(restored.receive());
    got.push([delivery.value, delivery.redelivered]);
    delivery.accept();
  }
  assert.deepEqual(got, [[0, true], [1, false], [2, false]]);
  await Promise.all([jobs.close(), restored.close()]);
});

const noLimits = spawnSync("prlimit", ["--version"]).status !== 0 &&
  "the size of a process's files is limited by prlimit of util-linux";

test(
  "redis: while the disk of the append-only file is full, puts wait or reject; nothing confirmed is lost",
  {
    skip: noLimits,
  },
  async () => {
    await using redis = await startRedis();
    const jobs = new Channel<number>({ name: "jobs", connection: redis.uri, retryTimeout: 20_000 });
    const load = new Load(jobs);
    await until(() => load.confirmed.size > 1000);
    limitFiles(redis, "1000"); // bytes
    await until(async () =>
      /^aof_last_write_status:err/m.test(await info(redis.uri, "persistence"))
    );
    const brief = new Channel<number>({
      name: "jobs",
      connection: redis.uri + "?name=brief",
      retryTimeout: 300,
    });
    const error = await rejection(within(brief.put(-1)), ChannelConnectionError, {
      reason: "unavailable",
    });
    assert.match(error.message, /takes no messages at the moment \(MISCONF /);
    limitFiles(redis, "unlimited");
    await until(async () =>
      /^aof_last_write_status:ok/m.test(await info(redis.uri, "persistence"))
    );
    const { size } = load.confirmed;
    await until(() => load.confirmed.size > size + 200);
    await within(load.end());
    assert.deepEqual(load.rejected, []);
    await redis.restart();
    await assertAllThere(jobs, load.confirmed);
    await Promise.all([jobs.close(), brief.close()]);
  },
);

function limitFiles({ directory }: PrivateRedis, size: string): void {
  const pid = readFileSync(join(directory, "server.pid"), "utf8").trim();
  const { status, stderr } = spawnSync("prlimit", ["--pid", pid, `--fsize=${size}:unlimited`]);
  assert.equal(status, 0, String(stderr));
}

Deno.test("redis: a connection outlives a change of its password; after its end, operations reject until the password is right again", async () => {
  await using redis = await startRedis({ conf: ["user worker on >first ~* &* +@all"] });
  const connection = `redis://worker:first@127.0.0.1:${redis.port}`;
  const jobs = new Channel<number>({ name: "jobs", connection, retryTimeout: 500 });
  await jobs.put(1);
  const delivery = await jobs.receive();
  await command(redis.uri, "ACL", "SETUSER", "worker", "resetpass", ">second");
  await jobs.put(2);
  await command(redis.uri, "CLIENT", "KILL", "USER", "worker");
  await until(() => jobs.put(3).then(() => false, () => true));
  const error = await rejection(within(jobs.put(3)), ChannelConnectionError, { reason: "login" });
  assert.match(error.message, /the server refused user worker; check user name and password/);
  assert.doesNotMatch(error.message, /first|second/);
  await command(redis.uri, "ACL", "SETUSER", "worker", "resetpass", ">first");
  await until(() => jobs.put(4).then(() => true, () => false));
  delivery.accept();
  assert.deepEqual([await jobs.get(), await jobs.get()], [2, 4]);
  assert.equal(await jobs.depth(), 0);
  await jobs.close();
});

Deno.test("redis: a permission that is taken away rejects operations; what was settled meanwhile is settled when it is given back", async () => {
  await using redis = await startRedis({ conf: ["user worker on >first ~* &* +@all"] });
  const connection = `redis://worker:first@127.0.0.1:${redis.port}`;
  const jobs = new Channel<number>({ name: "jobs", connection, retryTimeout: 500 });
  for (const n of numbers(3)) await jobs.put(n);
  const [accepted, released] = [await jobs.receive(), await jobs.receive()];
  await command(redis.uri, "ACL", "SETUSER", "worker", "-evalsha");
  await rejection(within(jobs.put(3)), ChannelConnectionError, { reason: "permission" });
  accepted.accept();
  released.release();
  await rejection(within(jobs.get()), ChannelConnectionError, { reason: "permission" });
  await command(redis.uri, "ACL", "SETUSER", "worker", "+evalsha");
  await until(() => jobs.depth().then((depth) => depth === 2, () => false));
  assert.deepEqual([await jobs.get(), await jobs.get()], [1, 2]);
  assert.equal((await jobs.stats()).loans, 0);
  await jobs.close();
});

Deno.test("redis: a leased channel whose last process was killed lasts for its lease and ten minutes at most", async () => {
  await using redis = await startRedis();
  const lease = 60_000;
  await using child = startChild(new URL("redis/holder.ts", import.meta.url), {
    args: [`${redis.uri}?name=child`, "leased"],
  });
  const leased = new Channel<number>({ name: "leased", connection: redis.uri, expires: lease });
  await leased.put(1);
  assert.equal(await child.next(), 1);
  await leased.close();
  const times = async () =>
    await withAdmin(redis.uri, async (admin) => {
      const keys = await admin.keys("channelts:{leased}*");
      return await Promise.all(keys.map((key) => admin.pTTL(key)));
    });
  await until(async () => (await times()).every((time) => time > lease));
  child.kill();
  await child.exited;
  const left = await times();
  assert.ok(left.length > 1);
  for (const time of left) assert.ok(time > 0 && time <= lease + 600_000, `${time} ms`);
  const anew = new Channel<number>({ name: "leased", connection: redis.uri });
  assert.equal(await within(anew.get()), 1);
  await anew.close();
  await until(async () => (await times()).every((time) => time <= lease));
});

Deno.test("redis: a server that closes silent clients (timeout) leaves a process that holds a value alone", async () => {
  await using redis = await startRedis({ conf: ["timeout 1"] });
  const lost: unknown[] = [];
  const connection = new Connection(redis.uri, { ondisconnect: (reason) => lost.push(reason) });
  const jobs = new Channel<number>({ name: "jobs", connection });
  await jobs.put(1);
  const delivery = await jobs.receive();
  await pause(2500); // the heartbeat is later
  delivery.accept();
  assert.equal(await jobs.depth(), 0);
  assert.deepEqual(lost, []);
  await jobs.close();
});
