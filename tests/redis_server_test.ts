// What happens to channels when something happens to a Redis, besides lost connections (redis_faults_test.ts).
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  Channel,
  ChannelClosedError,
  ChannelConnectionError,
  ChannelSizeError,
  Connection,
  type ConnectionOptions,
  serve,
} from "../mod.ts";
import { numbers, rejection, until, within } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { startDelay } from "./support/delay.ts";
import { freePorts } from "./support/net.ts";
import { type PrivateRedis, startRedis } from "./support/redis.ts";
import { startOneNodeCluster, withAdmin } from "./support/redis_setup.ts";

const command = (redis: PrivateRedis, ...args: string[]) =>
  withAdmin(redis.uri, (admin) => admin.sendCommand(args));

/** Returns a connection, and the warnings that it logs. */
function logging(uri: string): { connection: Connection; warnings: string[] } {
  const warnings: string[] = [];
  const silent = () => {};
  const warn = (...args: unknown[]) => void warnings.push(args.map(String).join(" "));
  const logger = { debug: silent, info: silent, warn, error: silent };
  return { connection: new Connection(uri, { logger }), warnings };
}

const holder = new URL("redis/holder.ts", import.meta.url);
const peer = new URL("redis/peer.ts", import.meta.url);

Deno.test("redis: a waiting get is served when the process that has the value is killed, and not while it is stopped", async () => {
  await using redis = await startRedis();
  const jobs = new Channel<number>({ name: "jobs", connection: redis.uri });
  await jobs.put(1);
  await using child = startChild(holder, { args: [redis.uri, "jobs"] });
  assert.equal(await child.next(), 1);
  let isServed = false;
  const waiting = jobs.receive().then((delivery) => {
    isServed = true;
    return delivery;
  });
  child.kill("SIGSTOP");
  await pause(1500); // three looks at what dead processes held
  assert.equal(isServed, false);
  child.kill();
  const delivery = await within(waiting);
  assert.deepEqual([delivery.value, delivery.attempts], [1, 2]);
  delivery.accept();
  await jobs.close();
});

Deno.test("redis: a process that computes for longer than a heartbeat, again and again, keeps its connection", async () => {
  await using redis = await startRedis();
  await using slow = await startDelay(redis.port, 100);
  const args = [`redis://127.0.0.1:${slow.port}?heartbeat=1`];
  await using child = startChild(peer, { args });
  assert.equal(await child.next(), "ready");
  child.send(["put", "jobs", 1]);
  await child.next();
  child.send(["compute", "jobs", 1200]);
  assert.deepEqual(await child.next(), { action: "compute", name: "jobs", result: "no loss" });
});

Deno.test("redis: while nobody else has a value, a waiting process asks twice a second and not more often", async () => {
  await using redis = await startRedis();
  const jobs = new Channel<number>({ name: "jobs", connection: redis.uri });
  const waiting = jobs.get();
  const calls = async () => {
    const info = String(await command(redis, "INFO", "commandstats"));
    return Number(/cmdstat_evalsha:calls=(\d+)/.exec(info)?.[1] ?? 0);
  };
  await until(async () => await calls() > 1);
  const before = await calls();
  const start = performance.now();
  await pause(1500);
  const most = Math.ceil((performance.now() - start) / 500) + 1;
  assert.ok(await calls() - before <= most, `${await calls() - before} scripts`);
  await jobs.put(1);
  assert.equal(await within(waiting), 1);
  await jobs.close();
});

Deno.test("redis: a server is sent the scripts that it does not know, also for a user that may not ask which it knows", async () => {
  const user = "user deaf on >secret ~channelts:* &channelts:* +@all -script|exists";
  await using redis = await startRedis({ conf: [user] });
  const loads = async () => {
    const info = String(await command(redis, "INFO", "commandstats"));
    return Number(/cmdstat_script\|load:calls=(\d+)/.exec(info)?.[1] ?? 0);
  };
  const use = async (connection: string) => {
    const before = await loads();
    const jobs = new Channel<number>({ name: "jobs", connection });
    await jobs.put(1);
    assert.equal(await jobs.get(), 1);
    await jobs.close();
    return await loads() - before;
  };
  const all = await use(`${redis.uri}?name=one`);
  assert.ok(all > 10, `${all} scripts`);
  assert.equal(await use(`${redis.uri}?name=two`), 0);
  assert.equal(await use(`redis://deaf:secret@127.0.0.1:${redis.port}`), all);
  await command(redis, "SCRIPT", "FLUSH");
  assert.equal(await use(`${redis.uri}?name=three`), all);
});

Deno.test("redis: channels work on a cluster of one node", async () => {
  await using redis = await startOneNodeCluster();
  const [one, two] = [`${redis.uri}?name=one`, `${redis.uri}?name=two`];
  for (const name of numbers(5).map((n) => `channel ${n}`)) {
    const [putting, getting] = [one, two].map((connection) =>
      new Channel<number>({ name, connection, capacity: 2 })
    ) as [Channel<number>, Channel<number>];
    const values = Array.fromAsync(getting);
    for (const n of numbers(5)) await putting.put(n, { priority: n % 2 });
    await putting.closeAll({ drain: true });
    assert.deepEqual((await within(values)).sort(), numbers(5));
    await putting.delete();
    await Promise.all([putting.close(), getting.close()]);
  }
  await using anonymous = new Channel<number>({ connection: one });
  const got = new Channel<number>({ name: anonymous.name, connection: two }).get();
  await anonymous.put(1);
  assert.equal(await within(got), 1);
});

Deno.test("redis: a message that the server would not deliver is refused; the largest ones are delivered, several at a time", async () => {
  await using redis = await startRedis();
  const large = new Channel<Uint8Array>({ name: "large", connection: redis.uri });
  const error = await rejection(large.put(new Uint8Array(9 * 2 ** 20)), ChannelSizeError);
  assert.equal(error.limit, 8 * 2 ** 20);
  assert.equal(await large.depth(), 0);
  const count = 6; // more than the server would keep for one connection
  for (const n of numbers(count)) await large.put(new Uint8Array(8 * 2 ** 20 - 1000).fill(n));
  const lost: unknown[] = [];
  const connection = new Connection(redis.uri, { ondisconnect: (reason) => lost.push(reason) });
  const getting = new Channel<Uint8Array>({ name: "large", connection });
  const got = await within(Promise.all(numbers(count).map(() => getting.get())));
  assert.deepEqual(got.map((value) => value[0]), numbers(count));
  assert.deepEqual(lost, []);
  await command(redis, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0");
  const other = new Channel<Uint8Array>({ name: "large", connection: `${redis.uri}?name=other` });
  await other.put(new Uint8Array(9 * 2 ** 20));
  assert.equal((await other.get()).length, 9 * 2 ** 20);
  await Promise.all([large.close(), getting.close(), other.close()]);
});

Deno.test("redis: a server without memory refuses puts and says so; what it has can be got, and makes room", async () => {
  await using redis = await startRedis();
  const jobs = new Channel<string>({ name: "jobs", connection: redis.uri });
  const text = "x".repeat(100_000);
  for (const n of numbers(20)) await jobs.put(text + n);
  const info = String(await command(redis, "INFO", "memory"));
  const used = Number(/used_memory:(\d+)/.exec(info)![1]);
  await command(redis, "CONFIG", "SET", "maxmemory", String(used - 500_000));
  const error = await rejection(jobs.put("more"), ChannelConnectionError, { reason: "limit" });
  assert.match(error.message, /has no memory left; raise its maxmemory, or get values/);
  assert.equal(error.messageId, undefined); // it is known that the value was not put
  const late = new Channel<string>({ name: "jobs", connection: `${redis.uri}?name=late` });
  for (const n of numbers(20)) assert.equal(await late.get(), text + n);
  await until(() => late.put("more").then(() => true, () => false));
  assert.equal(await late.get(), "more");
  await Promise.all([jobs.close(), late.close()]);
});

Deno.test("redis: FLUSHALL deletes the channels: what waits is rejected, and a new handle makes the channel anew", async () => {
  await using redis = await startRedis();
  const full = new Channel<number>({ name: "full", connection: redis.uri, capacity: 1 });
  const empty = new Channel<number>({ name: "empty", connection: redis.uri });
  await full.put(1);
  const waiting: Promise<unknown>[] = [full.put(2), empty.get(), Array.fromAsync(empty)];
  waiting.forEach((each) => each.catch(() => {}));
  await until(async () => Number(await command(redis, "EXISTS", "channelts:{empty}:takers")) === 1);
  await until(async () => Number(await command(redis, "EXISTS", "channelts:{full}:askers")) === 1);
  await command(redis, "FLUSHALL");
  const reason = { reason: "delete" } as const;
  await rejection(within(waiting[0]!), ChannelClosedError, reason);
  await rejection(within(waiting[1]!), ChannelClosedError, reason);
  await within(waiting[2]!.catch(() => {})); // the iteration ends
  const anew = new Channel<number>({ name: "full", connection: redis.uri });
  await anew.put(3);
  assert.equal(await anew.get(), 3);
  await Promise.all([full.close(), empty.close(), anew.close()]);
});

Deno.test("redis: a killed server with appendfsync always has every confirmed value when it is started again", async () => {
  await using redis = await startRedis({ conf: ["appendfsync always"] });
  const jobs = new Channel<number>({ name: "jobs", connection: redis.uri, retryTimeout: 20_000 });
  let next = 0;
  let isOver = false;
  const confirmed: number[] = [];
  const unsettled: Promise<unknown>[] = [];
  const writing = (async () => {
    while (!isOver) {
      const n = next++;
      const putting = jobs.put(n).then(() => confirmed.push(n));
      unsettled.push(putting);
      if (n % 50 === 0) await putting;
    }
  })();
  await until(() => confirmed.length > 1000);
  await redis.crash();
  isOver = true;
  const before = [...confirmed];
  await redis.start();
  await within(Promise.all([writing, ...unsettled]));
  const got = new Set<number>();
  for (let n = 0; n < next; n++) got.add(await within(jobs.get()));
  assert.deepEqual(before.filter((n) => !got.has(n)), []);
  assert.equal(got.size, next); // those that were not confirmed are sent again, and each is there once
  assert.equal(await jobs.depth(), 0);
  await jobs.close();
});

Deno.test("redis: on a slow network, values arrive once and in order, and operations share round trips", async () => {
  await using redis = await startRedis();
  await using slow = await startDelay(redis.port, 60);
  const connection = `redis://127.0.0.1:${slow.port}`;
  const near = new Channel<number>({ name: "far", connection: redis.uri });
  const far = new Channel<number>({ name: "far", connection });
  await far.depth();
  await command(redis, "CONFIG", "RESETSTAT");
  await within(Promise.all(numbers(500).map((n) => far.put(n))));
  const scripts = Number(
    /cmdstat_evalsha:calls=(\d+)/.exec(String(await command(redis, "INFO", "commandstats")))?.[1],
  );
  assert.ok(scripts <= 10, `${scripts} scripts for 500 puts`);
  const got: number[] = [];
  for (let i = 0; i < 250; i++) got.push(await within(far.get()));
  assert.deepEqual(got, numbers(250));
  const both = Number(
    /cmdstat_evalsha:calls=(\d+)/.exec(String(await command(redis, "INFO", "commandstats")))?.[1],
  );
  assert.ok(both - scripts <= 100, `${both - scripts} scripts for 250 gets`);
  // What was read ahead returns to its place.
  for (let i = 250; i < 500; i++) got.push(await within(near.get()));
  assert.deepEqual(got.sort((a, b) => a - b), numbers(500));
  const waiting = far.get();
  await near.put(500);
  assert.equal(await within(waiting), 500);
  const served = near.get();
  await far.put(501);
  assert.equal(await within(served), 501);
  await near.delete();
  await Promise.all([near.close(), far.close()]);
});

Deno.test("redis: after a failover the primary that the URI lists is used, and confirmed values are there", async () => {
  await using first = await startRedis();
  await using second = await startRedis({ conf: [`replicaof 127.0.0.1 ${first.port}`] });
  const connection = `redis://127.0.0.1:${first.port},127.0.0.1:${second.port}`;
  await untilReplicated(first, 1);
  const options = { connection, durability: "quorum", retryTimeout: 20_000 } as const;
  const jobs = new Channel<number>({ name: "jobs", ...options });
  const waiting = new Channel<number>({ name: "waiting", ...options });
  const got = waiting.get();
  for (const n of numbers(10)) await jobs.put(n);
  await first.crash();
  await command(second, "REPLICAOF", "NO", "ONE");
  for (const n of numbers(10, 10)) await jobs.put(n);
  for (const n of numbers(20)) assert.equal(await within(jobs.get()), n);
  await waiting.put(1);
  assert.equal(await within(got), 1);
  await Promise.all([jobs.close(), waiting.close()]);
});

Deno.test("redis: a put with durability quorum that the replicas do not confirm has an unknown outcome", async () => {
  await using first = await startRedis();
  await using second = await startRedis({ conf: [`replicaof 127.0.0.1 ${first.port}`] });
  await untilReplicated(first, 1);
  const { connection, warnings } = logging(first.uri);
  const jobs = new Channel<number>({ name: "jobs", connection, durability: "quorum" });
  await jobs.put(1);
  second.suspend();
  const error = await rejection(within(jobs.put(2)), ChannelConnectionError, {
    reason: "unavailable",
  });
  assert.match(error.message, /too few of its replicas confirmed it.*unknown outcome/);
  assert.notEqual(error.messageId, undefined);
  second.resume();
  await until(() => jobs.put(3).then(() => true, () => false));
  assert.equal(await jobs.get(), 1);
  assert.equal(await jobs.get(), 2);
  assert.deepEqual(warnings, []);
  await jobs.close();
});

Deno.test("redis: what may lose values is logged once: no replica for quorum, no append-only file, no tcp-keepalive, eviction", async () => {
  await using redis = await startRedis({
    conf: ["appendonly no", "tcp-keepalive 0", "maxmemory 100mb", "maxmemory-policy allkeys-lru"],
  });
  const { connection, warnings } = logging(`${redis.uri}?eviction=allow`);
  for (const name of ["one", "two"]) {
    const channel = new Channel<number>({ name, connection, durability: "quorum" });
    await channel.put(1);
    await channel.close();
  }
  const has = (text: RegExp) => warnings.filter((each) => text.test(each)).length;
  assert.equal(
    has(/has no replica, so a put with durability "quorum" is confirmed by one server/),
    1,
  );
  assert.equal(has(/writes no append-only file/), 1);
  assert.equal(has(/does not notice that a host has vanished \(tcp-keepalive 0\)/), 1);
  assert.equal(has(/drops keys when its memory is full \(maxmemory-policy allkeys-lru\)/), 1);
  const refused = new Channel<number>({ name: "one", connection: redis.uri });
  await rejection(refused.put(1), ChannelConnectionError, { reason: "conflict", transient: false });
  await refused.close();
});

Deno.test("rediss: certificates and names are checked, and a client shows its own", async () => {
  const file = (name: string) => fileURLToPath(new URL(`support/tls/${name}`, import.meta.url));
  const text = (name: string) => readFileSync(file(name), "utf8");
  const [port] = await freePorts(1);
  await using _redis = await startRedis({
    conf: [
      `tls-port ${port}`,
      `tls-cert-file ${file("server.pem")}`,
      `tls-key-file ${file("server.key")}`,
      `tls-ca-cert-file ${file("ca.pem")}`,
      "tls-auth-clients yes",
    ],
  });
  const own = { cert: text("client.pem"), key: text("client.key") };
  const good = { ...own, ca: text("ca.pem") };
  const use = async (host: string, options: ConnectionOptions) => {
    const connection = new Connection(`rediss://${host}`, options);
    const channel = new Channel<string>({ name: "secret", connection, retryTimeout: 20_000 });
    try {
      await within(channel.put("a value"));
      return await within(channel.get());
    } finally {
      await channel.close();
    }
  };
  assert.equal(await use(`localhost:${port}`, good), "a value");
  assert.equal(await use(`127.0.0.1:${port}`, { ...good, servername: "localhost" }), "a value");
  const refused: [string, ConnectionOptions, RegExp][] = [
    [`localhost:${port}`, own, /is not trusted/],
    [`localhost:${port}`, { ...own, ca: text("other-ca.pem") }, /is not trusted/],
    [`127.0.0.1:${port}`, good, /certificate/],
  ];
  for (const [host, options, words] of refused) {
    const error = await rejection(use(host, options), ChannelConnectionError);
    assert.match(error.message, words);
  }
});

Deno.test("redis: the user of docs/redis.md can do everything with its channels, and nothing else", async () => {
  const page = readFileSync(new URL("../docs/redis.md", import.meta.url), "utf8");
  const [, user = ""] = /^(user invoices .*)$/m.exec(page) ?? [];
  assert.match(user, / >PASSWORD .* ~channelts:\* /);
  const narrow = user.replace("user invoices", "user narrow").replace(
    "~channelts:*",
    "~channelts:{jobs}*",
  );
  await using redis = await startRedis({ conf: [user, narrow] });
  // With a replica, puts of the durability "quorum" need WAIT.
  await using _ = await startRedis({ conf: [`replicaof 127.0.0.1 ${redis.port}`] });
  await untilReplicated(redis, 1);
  const [all, one] = ["invoices", "narrow"].map((name) =>
    logging(`redis://${name}:PASSWORD@127.0.0.1:${redis.port}`)
  ) as [ReturnType<typeof logging>, ReturnType<typeof logging>];
  for (const { connection } of [all, one]) {
    const jobs = new Channel<number>({ name: "jobs", connection, capacity: 3, maxAttempts: 3 });
    const waiting = jobs.get();
    await jobs.put(1, { delay: 1, expires: 60_000, priority: 1 });
    assert.equal(await within(waiting), 1);
    for (const n of numbers(3)) await jobs.put(n);
    const room = jobs.put(3);
    const delivery = await jobs.receive();
    delivery.release();
    (await jobs.receive()).accept();
    await within(room);
    await jobs.stats();
    await jobs.closeAll({ drain: true });
    assert.deepEqual(await Array.fromAsync(new Channel<number>({ name: "jobs", connection })), [
      1,
      2,
      3,
    ]);
    await new Channel({ name: "jobs", connection }).delete();
    await jobs.close();
  }
  const { connection } = all;
  const safe = new Channel<number>({ name: "safe", connection, durability: "quorum" });
  await safe.put(1);
  await safe.delete();
  const squares = new Channel<number>({ name: "squares", connection });
  const serving = serve(squares, (n) => n * n);
  assert.equal(await within(squares.request(7)), 49);
  await squares.closeAll();
  await within(serving);
  await new Channel({ name: "squares", connection }).delete();
  assert.deepEqual([all.warnings, one.warnings], [[], []]);
  const others = new Channel<number>({ name: "others", connection: one.connection });
  await rejection(others.put(1), ChannelConnectionError, { reason: "permission" });
  await rejection(
    withAdmin(
      `redis://narrow:PASSWORD@127.0.0.1:${redis.port}`,
      (admin) => admin.sendCommand(["CONFIG", "SET", "maxmemory", "1"]),
    ),
    Error,
  );
  await others.close();
});

Deno.test("redis: a new channel exists before its name leaves over another connection", async () => {
  await using redis = await startRedis();
  await using slow = await startDelay(redis.port, 200);
  const inner = new Channel<number>({ connection: `redis://127.0.0.1:${slow.port}` });
  const carrier = new Channel<unknown>({ name: "carrier", connection: redis.uri });
  await carrier.put({ inner });
  assert.equal(await command(redis, "EXISTS", `channelts:{${inner.name}}:meta`), 1);
  await Promise.all([inner.delete(), carrier.delete()]);
  await Promise.all([inner.close(), carrier.close()]);
});

async function untilReplicated(primary: PrivateRedis, count: number): Promise<void> {
  const online = new RegExp(`slave${count - 1}:.*state=online`);
  await until(async () => online.test(String(await command(primary, "INFO", "replication"))));
}

Deno.test("redis: the tests' own servers take other ports if another process has taken one meanwhile", async () => {
  const free = await freePorts(4);
  const taken = createServer().listen(free[0], "127.0.0.1");
  await once(taken, "listening");
  const found = [[free[1]!, free[0]!], [free[2]!, free[3]!]];
  const ports = (count: number) => Promise.resolve(found.shift()!.slice(0, count));
  try {
    await using node = await startRedis({ conf: ["cluster-enabled yes"], ports });
    assert.deepEqual([node.port, node.bus], [free[2], free[3]]);
  } finally {
    taken.close();
  }
});
