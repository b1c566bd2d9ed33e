// What happens to channels when a slot of a cluster moves, when a node fails, and when nodes are added.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { Channel, ChannelClosedError, ChannelConnectionError, serve } from "../mod.ts";
import { keyOf } from "../src/transports/redis/channel_key.ts";
import { slotOf } from "../src/transports/redis/cluster/slot.ts";
import { moveGrace } from "../src/transports/redis/scripts/place.ts";
import { numbers, rejection, until, within } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { startRedis } from "./support/redis.ts";
import { type PrivateNode, startRedisCluster } from "./support/redis_cluster.ts";
import { startOneNodeCluster, withAdmin } from "./support/redis_setup.ts";

const holder = new URL("redis/holder.ts", import.meta.url);

/** Lets the time be over within which a node takes nobody for dead who has not come to it. */
async function endGrace(node: PrivateNode, name: string): Promise<void> {
  const meta = `${keyOf(name)}:meta`;
  const since = Number(await node.run("HGET", meta, "since"));
  await node.run("HSET", meta, "since", String(since - moveGrace));
}

/** Returns how many sessions of processes a node knows. */
async function sessionsOn(node: PrivateNode): Promise<number> {
  const names = await node.run("PUBSUB", "CHANNELS", "channelts:*");
  return names.split("\n").filter(Boolean).length;
}

/** Puts numbers, one after the other, until it is told to stop. */
function putting(channel: Channel<number>): { stop(): Promise<number> } {
  let isOver = false;
  let n = 0;
  const done = (async () => {
    while (!isOver) await channel.put(n++);
  })();
  return {
    async stop() {
      isOver = true;
      await within(done);
      return n;
    },
  };
}

/** Gets numbers in a loop, which ends with the channel. */
function getting(
  channel: Channel<number>,
): { readonly got: number[]; readonly done: Promise<void> } {
  const got: number[] = [];
  const done = (async () => {
    for await (const n of channel) got.push(n);
  })();
  return { got, done };
}

Deno.test("redis cluster: keys are in the slots that the server says", async () => {
  await using redis = await startOneNodeCluster();
  assert.equal(slotOf("123456789"), 0x31c3 % 16_384);
  for (
    const key of ["channelts:{jobs}", "a{}b{c}", "{ü}", "x{a}{b}", "{", "}{", "", keyOf("a {b}%")]
  ) {
    const slot = await withAdmin(
      redis.uri,
      (admin) => admin.sendCommand(["CLUSTER", "KEYSLOT", key]),
    );
    assert.equal(slotOf(key), Number(slot), key);
  }
});

Deno.test("redis cluster: processes with and without ?cluster share a cluster of one node", async () => {
  await using redis = await startOneNodeCluster();
  const [member, plain] = [`${redis.uri}?cluster`, redis.uri].map((connection) =>
    new Channel<number>({ name: "jobs", connection })
  ) as [Channel<number>, Channel<number>];
  for (const [putter, getter] of [[member, plain], [plain, member]] as const) {
    const waiting = getter.get();
    await until(async () => (await getter.stats()).consumers === 1);
    await putter.put(1);
    assert.equal(await within(waiting), 1);
  }
  const ended = Array.fromAsync(plain);
  await member.closeAll();
  assert.deepEqual(await within(ended), []);
  await plain.close();
});

Deno.test("redis cluster: a slot moves while its channels are used: each value arrives once, and what was lent stays lent", async () => {
  await using cluster = await startRedisCluster();
  const [first, second] = cluster.nodes as [PrivateNode, PrivateNode];
  const name = await cluster.nameOn(first);
  const at = (n: number) => ({
    name,
    connection: `${cluster.uri}&name=${n}`,
    retryTimeout: 20_000,
  });
  const [putter, getter, keeper] = [1, 2, 3].map((n) => new Channel<number>(at(n))) as [
    Channel<number>,
    Channel<number>,
    Channel<number>,
  ];
  await putter.put(-1);
  const kept = await keeper.receive();
  const { got, done } = getting(getter);
  const puts = putting(putter);
  await until(() => got.length > 50);
  for (const to of [second, first]) {
    const before = got.length;
    await cluster.moveSlot(name, to, async () => {
      await pause(200); // while half of the keys are on one node and half on the other, nothing is done
    });
    await until(() => got.length > before + 50);
  }
  const count = await puts.stop();
  await within(until(() => got.length === count));
  assert.deepEqual(got, numbers(count));
  assert.equal((await putter.stats()).loans, 1);
  kept.accept();
  await until(async () => (await putter.stats()).loans === 0);
  await putter.closeAll({ drain: true });
  await within(done);
  // It is the same one on both nodes: other processes find it closed.
  const late = new Channel<number>(at(4));
  await rejection(within(late.put(1)), ChannelClosedError);
  await Promise.all([putter, getter, keeper, late].map((channel) => channel.close()));
});

Deno.test("redis cluster: while a slot moves, operations wait, and reject with what is the matter after retryTimeout", async () => {
  await using cluster = await startRedisCluster();
  const [first, second] = cluster.nodes as [PrivateNode, PrivateNode];
  const name = await cluster.nameOn(first);
  const options = { name, connection: cluster.uri };
  const jobs = new Channel<number>({ ...options, retryTimeout: 500 });
  await jobs.put(1);
  const other = new Channel<number>({
    name: await cluster.nameOn(second),
    connection: cluster.uri,
  });
  await cluster.moveSlot(name, second, async () => {
    const error = await rejection(within(jobs.put(2)), ChannelConnectionError, {
      reason: "unavailable",
    });
    assert.match(error.message, /the cluster is moving the slot of the channel to another node/);
    await within(other.put(1)); // a channel of another slot
  });
  await until(() => jobs.put(3).then(() => true, () => false));
  assert.equal(await jobs.get(), 1);
  const rest = [await jobs.get()];
  if (rest[0] === 2) rest.push(await jobs.get()); // its outcome was unknown
  assert.equal(rest.at(-1), 3);
  await Promise.all([jobs.close(), other.close()]);
});

Deno.test("redis cluster: a stopped process keeps its loan when the slot moves to a node that it knows, or a replica takes over", async () => {
  await using cluster = await startRedisCluster({ replicas: 1 });
  const [first, second] = cluster.nodes as [PrivateNode, PrivateNode];
  const name = await cluster.nameOn(first);
  const jobs = new Channel<number>({ name, connection: cluster.uri, retryTimeout: 20_000 });
  await jobs.put(1);
  await using child = startChild(holder, { args: [cluster.uri, name] });
  assert.equal(await child.next(), 1);
  const replica = await cluster.replicaOf(second);
  // The child has made its connections before it got the value.
  child.kill("SIGSTOP");
  let isServed = false;
  const waiting = jobs.receive().then((delivery) => {
    isServed = true;
    return delivery;
  });
  const staysLent = async (node: PrivateNode) => {
    await until(async () => await node.run("HGET", `${keyOf(name)}:meta`, "node") === node.id);
    await endGrace(node, name);
    await pause(1500); // three looks at what dead processes held
    assert.equal(isServed, false);
  };
  await cluster.moveSlot(name, second);
  await staysLent(second);
  await second.run("WAIT", "1", "20000");
  await cluster.failOver(replica);
  await staysLent(replica);
  child.kill();
  const delivery = await within(waiting);
  assert.deepEqual([delivery.value, delivery.attempts], [1, 2]);
  delivery.accept();
  await jobs.close();
});

Deno.test("redis cluster: a process learns of a new node, and one that could not is not taken for dead there for a time", async () => {
  await using cluster = await startRedisCluster();
  const [first] = cluster.nodes as [PrivateNode];
  const name = await cluster.nameOn(first);
  const jobs = new Channel<number>({ name, connection: cluster.uri, retryTimeout: 20_000 });
  const held = new Channel<number>({ name, connection: `${cluster.uri}&name=held` });
  await jobs.put(1);
  await jobs.put(2);
  await using child = startChild(holder, { args: [cluster.uri, name] });
  assert.equal(await child.next(), 1);
  const delivery = await held.receive();
  child.kill("SIGSTOP"); // it does not learn of the new node
  const holdersOn = async (node: PrivateNode) => {
    const loans = await node.run("ZRANGE", `${keyOf(name)}:loans`, "0", "-1");
    return loans.split("\n").map((loan) => loan.split(" ")[0]);
  };
  const former = await holdersOn(first);
  const [added] = await cluster.start(1) as [PrivateNode];
  await cluster.meet([added]);
  await until(async () => await sessionsOn(added) >= 2);
  let isServed = false;
  const waiting = jobs.receive().then((delivery) => {
    isServed = true;
    return delivery;
  });
  await cluster.moveSlot(name, added);
  await until(async () => await added.run("HGET", `${keyOf(name)}:meta`, "node") === added.id);
  await pause(1500); // three looks at what dead processes held
  assert.equal(isServed, false);
  child.kill("SIGCONT");
  await until(async () => { // it has attached again
    const holders = await holdersOn(added);
    return holders.length === 2 && !holders.some((each) => former.includes(each));
  });
  await endGrace(added, name);
  await pause(1000);
  assert.equal(isServed, false);
  delivery.accept();
  child.kill();
  const back = await within(waiting);
  assert.deepEqual([back.value, back.attempts], [1, 2]);
  back.accept();
  await Promise.all([jobs.close(), held.close()]);
});

Deno.test("redis cluster: a primary is killed and its replica takes over: confirmed values are there, loops and loans continue", async () => {
  await using cluster = await startRedisCluster({ replicas: 1 });
  const [first] = cluster.nodes as [PrivateNode];
  const name = await cluster.nameOn(first);
  const replica = await cluster.replicaOf(first);
  const options = { connection: cluster.nodes[1]!.server.uri + "?cluster", retryTimeout: 20_000 };
  const jobs = new Channel<number>({ name, ...options, durability: "quorum" });
  await jobs.put(-1);
  const kept = await jobs.receive();
  const confirmed: number[] = [];
  let isOver = false;
  const writing = (async () => {
    for (let n = 0; !isOver; n++) confirmed.push(await jobs.put(n).then(() => n));
  })();
  await until(() => confirmed.length > 20);
  await first.server.crash();
  const before = confirmed.length;
  await cluster.failOver(replica, "FORCE");
  await until(() => confirmed.length > before + 20);
  isOver = true;
  await within(writing);
  kept.accept();
  const got: number[] = [];
  const last = confirmed.at(-1)!;
  while (got.at(-1) !== last) got.push(await within(jobs.get()));
  assert.deepEqual(got, numbers(last + 1));
  await until(async () => (await jobs.stats()).loans === 0);
  await jobs.close();
});

Deno.test("redis cluster: a node that is down concerns its own channels only, and these continue when it is back", async () => {
  await using cluster = await startRedisCluster({ conf: ["cluster-require-full-coverage no"] });
  const [first, second] = cluster.nodes as [PrivateNode, PrivateNode];
  const [here, there] = [await cluster.nameOn(first), await cluster.nameOn(second)];
  const options = { connection: cluster.uri, retryTimeout: 1000 };
  const near = new Channel<number>({ name: here, ...options });
  const far = new Channel<number>({ name: there, ...options });
  await Promise.all([near.put(1), far.put(1)]);
  const delivery = await far.receive();
  await second.server.crash();
  await rejection(within(far.put(2)), ChannelConnectionError);
  await within(near.put(2));
  const late = new Channel<number>({ name: here, connection: `${cluster.uri}&name=late` });
  assert.equal(await within(late.get()), 1); // it uses the cluster although a node is down
  await second.server.start();
  await until(() => far.put(3).then(() => true, () => false));
  delivery.accept();
  await until(async () => (await far.stats()).loans === 0);
  await Promise.all([near.close(), far.close(), late.close()]);
});

Deno.test("redis cluster: a handle that is closed while its slot moves, or while its node is down, leaves nothing behind", async () => {
  await using cluster = await startRedisCluster({ conf: ["cluster-require-full-coverage no"] });
  const [first, second] = cluster.nodes as [PrivateNode, PrivateNode];
  const name = await cluster.nameOn(first);
  const connection = cluster.uri;
  const other = new Channel<number>({ name: await cluster.nameOn(second), connection });
  await other.put(1); // so that the process lives for all nodes
  const jobs = new Channel<number>({
    name,
    connection: `${cluster.uri}&name=other`,
    retryTimeout: 20_000,
  });
  for (const n of [0, 1]) await jobs.put(n);
  /** Takes two values, accepts the first, and closes the handle. */
  const take = async () => {
    const taker = new Channel<number>({ name, connection, retryTimeout: 20_000 });
    const [accepted, held] = [await taker.receive(), await taker.receive()];
    return {
      values: [accepted.value, held.value],
      close: () => (accepted.accept(), taker.close()),
    };
  };
  const moved = await take();
  assert.deepEqual(moved.values, [0, 1]);
  await cluster.moveSlot(name, second, () => within(moved.close()));
  const back = await within(jobs.receive());
  assert.deepEqual([back.value, back.redelivered], [1, true]);
  back.accept();
  for (const n of [2, 3]) await jobs.put(n);
  const down = await take();
  assert.deepEqual(down.values, [2, 3]);
  await second.server.crash();
  await within(down.close());
  await second.server.start();
  assert.equal(await within(jobs.get()), 3);
  await until(async () => {
    const { depth, loans } = await jobs.stats();
    return depth === 0 && loans === 0;
  });
  await Promise.all([jobs.close(), other.close()]);
});

Deno.test("redis cluster: requests are answered whose channels are on different nodes", async () => {
  await using cluster = await startRedisCluster();
  const squares = new Channel<number>({ name: "squares", connection: cluster.uri });
  const serving = serve(squares, (n) => n * n);
  const asking = new Channel<number>({ name: "squares", connection: `${cluster.uri}&name=asking` });
  const answers = await within(Promise.all(numbers(40).map((n) => asking.request(n))));
  assert.deepEqual(answers, numbers(40).map((n) => n * n));
  await asking.closeAll();
  await within(serving);
  await Promise.all([squares.close(), asking.close()]);
});

Deno.test("redis cluster: a URI that does not say what the server is rejects, and says what to write", async () => {
  await using cluster = await startRedisCluster();
  await using server = await startRedis();
  for (
    const [connection, text] of [
      [cluster.nodes[0]!.server.uri, /is one of 3 nodes of a cluster; add \?cluster to the URI/],
      [`${server.uri}?cluster`, /is not a node of a cluster; remove \?cluster from the URI/],
    ] as const
  ) {
    const channel = new Channel<number>({ name: "jobs", connection });
    const error = await rejection(within(channel.put(1)), ChannelConnectionError, {
      reason: "conflict",
      transient: false,
    });
    assert.match(error.message, text);
    await channel.close();
  }
});

Deno.test("redis cluster: the user of docs/redis.md, with what it adds for clusters, can use one", async () => {
  const page = readFileSync(new URL("../docs/redis.md", import.meta.url), "utf8");
  const [, user = ""] = /^(user invoices .*)$/m.exec(page) ?? [];
  const [, words = ""] = /Users of a cluster also need ([^.]*)\./.exec(page) ?? [];
  const more = [...words
    .matchAll(/`(\+[\w|]+)`/g)].map(([, each]) => each);
  assert.equal(more.length, 7);
  const conf = [`${user} ${more.join(" ")}`];
  await using cluster = await startRedisCluster({ conf });
  const connection = cluster.uri.replace("//", "//invoices:PASSWORD@");
  for (const node of cluster.nodes) {
    const name = await cluster.nameOn(node);
    const jobs = new Channel<number>({ name, connection, capacity: 2 });
    const waiting = jobs.get();
    await jobs.put(1, { delay: 1 });
    assert.equal(await within(waiting), 1);
    await jobs.closeAll();
    await jobs.close();
  }
  await cluster.moveSlot(await cluster.nameOn(cluster.nodes[0]!), cluster.nodes[1]!);
  await using anonymous = new Channel<number>({ connection });
  await anonymous.put(7);
  assert.equal(await anonymous.get(), 7);
});
