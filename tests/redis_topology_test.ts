// How a process learns of the nodes of a cluster: which of them tells the truth, which answers, and under what name they are reached.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Channel, ChannelConnectionError, Connection } from "../mod.ts";
import { numbers, rejection, until, within } from "./conformance/fixture.ts";
import { type PrivateNode, startRedisCluster } from "./support/redis_cluster.ts";
import { startOneNodeCluster, withAdmin } from "./support/redis_setup.ts";

/** Lets a node know no other one, so that it does not learn that it has lost its slots, and refuses to serve them. */
async function cutOff(node: PrivateNode, others: readonly PrivateNode[]): Promise<void> {
  for (const { id } of others) await node.run("CLUSTER", "FORGET", id);
}

Deno.test("redis cluster: a replica takes over by itself when its primary is killed, and again when that one is", async () => {
  const conf = ["cluster-node-timeout 2000", "appendfsync always"];
  await using cluster = await startRedisCluster({ replicas: 1, isUneven: true, conf });
  const first = cluster.nodes[0]!;
  const replica = await cluster.replicaOf(first);
  const connection = `${cluster.nodes[1]!.server.uri}?cluster`;
  await using jobs = new Channel<number>({
    name: "jobs",
    connection,
    retryTimeout: 60_000,
    durability: "quorum",
  });
  const confirmed: number[] = [];
  let isOver = false;
  const writing = (async () => {
    for (let n = 0; !isOver; n++) confirmed.push(await jobs.put(n).then(() => n));
  })();
  const untilMore = async (count: number) => {
    const { length } = confirmed;
    await until(() => confirmed.length > length + count, 60_000);
  };
  await untilMore(20);
  for (const [primary, next] of [[first, replica], [replica, first]] as const) {
    await primary.server.crash();
    await until(async () => /role:master/.test(await next.run("INFO", "replication")), 60_000);
    await untilMore(20);
    await primary.server.start();
    await cluster.untilReplica(primary);
    await cluster.untilServed();
    await until(() => waitsForReplicas(next), 60_000); // the quorum is two again
    await untilMore(20);
  }
  isOver = true;
  await within(writing, 60_000);
  const got = [];
  for (let left = await jobs.depth(); left > 0; left--) got.push(await within(jobs.get()));
  assert.deepEqual(got, numbers(confirmed.length));
});

/** Reports whether a put on a node has waited for its replicas since the node was started. */
async function waitsForReplicas(node: PrivateNode): Promise<boolean> {
  return (await node.run("INFO", "commandstats")).includes("cmdstat_wait:");
}

Deno.test("redis cluster: a former primary that does not know that it is none misleads nobody", async () => {
  await using cluster = await startRedisCluster({ replicas: 1, isUneven: true });
  const [first, ...others] = cluster.nodes as [PrivateNode, ...PrivateNode[]];
  const replica = await cluster.replicaOf(first);
  const lost: unknown[] = [];
  const connection = new Connection(`${first.server.uri}?cluster`, {
    ondisconnect: (reason) => lost.push(reason),
  });
  const jobs = new Channel<number>({ name: "jobs", connection, retryTimeout: 20_000 });
  await jobs.put(0);
  await cutOff(first, others);
  await cluster.failOver(replica, "FORCE");
  for (let n = 1; n < 8; n++) {
    await within(jobs.put(n));
    // Each look asks the next node: in this time, the former primary is asked at least once.
    await pause(1000);
  }
  assert.deepEqual(await Promise.all(numbers(8).map(() => jobs.get())), numbers(8));
  assert.deepEqual(lost, []);
  await jobs.close();
});

Deno.test("redis cluster: servers of the URI that do not answer keep nobody waiting", async () => {
  await using redis = await startOneNodeCluster();
  const sockets = new Set<Socket>();
  const silent = [1, 2, 3].map(() => createServer((socket) => void sockets.add(socket.resume())));
  const ports = await Promise.all(
    silent.map((server) =>
      new Promise<number>((resolve) =>
        server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
      )
    ),
  );
  const hosts = [...ports, redis.port].map((port) => `127.0.0.1:${port}`).join();
  const jobs = new Channel<number>({ name: "jobs", connection: `redis://${hosts}?cluster` });
  await within(jobs.put(1)); // within retryTimeout, although each one that is silent is waited for during 5 s
  assert.equal(await jobs.get(), 1);
  await jobs.close();
  await until(() => [...sockets].every(({ closed }) => closed));
  for (const server of silent) server.close();
});

Deno.test("redis cluster: when no node can be reached, the nodes are asked in turn once a second at most, however many links wait", async () => {
  await using cluster = await startRedisCluster({ replicas: 1 });
  const names = await Promise.all(cluster.nodes.slice(0, 3).map((node) => cluster.nameOn(node)));
  const looks: number[] = [];
  const connection = new Connection(cluster.uri, {
    logger: {
      // A look fails for many reasons, an attempt to connect to a node for one.
      debug: (text) => text.includes("; cannot connect to") && looks.push(performance.now()),
    },
  });
  const channels = names.map((name) => new Channel<number>({ name, connection }));
  const waiting = Promise.allSettled(channels.map((channel) => channel.get()));
  await Promise.all(channels.map((channel) => channel.depth()));
  await Promise.all(cluster.nodes.map(({ server }) => server.crash()));
  await until(() => looks.length >= 12, 60_000);
  // The first pauses are shorter: from the 6th on, they have half a second at least.
  assert.ok(looks[11]! - looks[5]! > 2500, `${looks}`);
  for (const channel of channels) await channel.close();
  await within(waiting);
});

Deno.test("redis cluster: a node that would drop values is refused at once, and so is a user that may not listen", async () => {
  await using redis = await startOneNodeCluster();
  const run = (...command: string[]) =>
    withAdmin(redis.uri, async (admin) => void await admin.sendCommand(command));
  await run("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "&*", "+@all", "-ssubscribe");
  const deaf = new Channel<number>({
    name: "jobs",
    connection: `redis://deaf:secret@127.0.0.1:${redis.port}?cluster`,
    retryTimeout: 60_000,
  });
  const error = await rejection(within(deaf.get()), ChannelConnectionError, {
    reason: "permission",
  });
  assert.match(error.message, /the user lacks a permission/);
  await deaf.close();
  await withAdmin(redis.uri, async (admin) => {
    await until(async () => await admin.hLen("channelts:{jobs}:links") === 0); // nothing is lent to it
  });
  await run("CONFIG", "SET", "maxmemory", "100mb");
  await run("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
  const jobs = new Channel<number>({
    name: "jobs",
    connection: `${redis.uri}?cluster`,
    retryTimeout: 60_000,
  });
  await rejection(within(jobs.put(1)), ChannelConnectionError, {
    reason: "conflict",
    transient: false,
  });
  await jobs.close();
});

const file = (name: string) => fileURLToPath(new URL(`support/tls/${name}`, import.meta.url));

Deno.test("rediss cluster: nodes are reached by their addresses or by the names that they announce, and certificates are checked", async () => {
  const tls = [
    `tls-cert-file ${file("server.pem")}`,
    `tls-key-file ${file("server.key")}`,
    `tls-client-cert-file ${file("client.pem")}`, // nodes show it to each other
    `tls-client-key-file ${file("client.key")}`,
    `tls-ca-cert-file ${file("ca.pem")}`,
    "tls-auth-clients no",
  ];
  await using cluster = await startRedisCluster({ tls });
  const ca = readFileSync(file("ca.pem"), "utf8");
  const names = await Promise.all(cluster.nodes.map((node) => cluster.nameOn(node)));
  const uri = `rediss://localhost:${cluster.nodes[0]!.tlsPort}?cluster`;
  const use = async (title: string, options: { servername?: string } = {}) => {
    const connection = new Connection(`${uri}&name=${title}`, { ca, ...options });
    for (const name of names) {
      const jobs = new Channel<number>({ name, connection, retryTimeout: 1000 });
      try {
        await within(jobs.put(1));
        assert.equal(await within(jobs.get()), 1);
      } finally {
        await jobs.close();
      }
    }
  };
  // The certificate is for localhost.
  const error = await rejection(use("addresses"), ChannelConnectionError);
  assert.match(error.message, /certificate/);
  await use("servername", { servername: "localhost" });
  // Nodes change one after the other: for a time, some tell addresses, and others names.
  const steps = [
    ["cluster-announce-hostname", "localhost"],
    ["cluster-preferred-endpoint-type", "hostname"],
  ] as const;
  const connection = new Connection(`${uri}&name=during`, { ca, servername: "localhost" });
  const during = new Channel<number>({ name: names[0]!, connection });
  await during.put(1);
  const kept = await during.receive();
  const first = cluster.nodes[0]!;
  const links = () => first.run("HKEYS", `channelts:{${names[0]}}:links`);
  const before = await links();
  for (const [setting, value] of steps) {
    for (const node of cluster.nodes) {
      await node.run("CONFIG", "SET", setting, value);
      if (setting === "cluster-preferred-endpoint-type") await pause(2000); // a look in 5 s
    }
  }
  await until(async () => { // each node knows the names of all
    const all = await Promise.all(cluster.nodes.map((node) => node.run("CLUSTER", "NODES")));
    return all.every((text) => text.split(",localhost").length === cluster.nodes.length + 1);
  });
  await use("names");
  assert.equal(await links(), before); // the link has not attached again
  kept.accept();
  await during.close();
});
