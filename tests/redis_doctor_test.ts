// The command doctor on a Redis, as it should be and in bad states.
import assert from "node:assert/strict";
import { Channel } from "../mod.ts";
import { until } from "./conformance/fixture.ts";
import { findingsOf } from "./support/findings.ts";
import { freePorts } from "./support/net.ts";
import { startRedis } from "./support/redis.ts";
import { type PrivateNode, startRedisCluster } from "./support/redis_cluster.ts";
import { withAdmin } from "./support/redis_setup.ts";

Deno.test("doctor: a Redis as it should be has no warning, and its channels are counted", async () => {
  await using redis = await startRedis();
  const jobs = new Channel<number>({ name: "jobs {1}", connection: redis.uri, capacity: 5 });
  for (const n of [1, 2, 3]) await jobs.put(n);
  const delivery = await jobs.receive();
  const findings = await findingsOf(redis.uri, { name: "jobs {1}" });
  findings.assertWrong();
  const { facts = {} } = findings.of("channel");
  const { exists, waiting, loans, capacity } = facts;
  assert.deepEqual({ exists, waiting, loans, capacity }, {
    exists: true,
    waiting: 2,
    loans: 1,
    capacity: 5,
  });
  assert.match(findings.of("broker").what, /^(Redis|Valkey) \d+\.\d+/);
  assert.equal(findings.of("keepalive").facts!.seconds, 300);
  for (const about of ["connection", "persistence", "memory", "permission", "round-trip"]) {
    findings.of(about);
  }
  assert.equal(findings.of("message-size").facts!.bytes, 8 * 2 ** 20);
  assert.equal(findings.has("closed") || findings.has("dead-letters"), false);
  const dead = new Channel<number>({ name: "jobs {1}.dead-letters", connection: redis.uri });
  await dead.put(1);
  await jobs.closeAll({ drain: true });
  const later = await findingsOf(redis.uri, { name: "jobs {1}" });
  later.assertWrong("closed", "dead-letters");
  assert.equal(later.of("dead-letters").facts!.messages, 1);
  delivery.accept();
  await Promise.all([jobs.close(), dead.close()]);
  const none = await findingsOf(redis.uri, { name: "nothing" });
  assert.deepEqual(none.of("channel").facts, { exists: false });
  const keys = await withAdmin(redis.uri, (admin) => admin.keys("*nothing*"));
  assert.deepEqual(keys, []);
});

Deno.test("doctor: a Redis that may lose values, or takes none, is told with the cure", async () => {
  await using redis = await startRedis({ conf: ["appendonly no", "tcp-keepalive 0"] });
  (await findingsOf(redis.uri)).assertWrong("persistence", "keepalive");
  await withAdmin(redis.uri, async (admin) => {
    await admin.configSet("maxmemory", "1");
  });
  const full = await findingsOf(redis.uri);
  full.assertWrong("persistence", "keepalive", "memory");
  assert.match(full.of("memory").what, /puts are refused$/);
  await withAdmin(redis.uri, async (admin) => {
    await admin.configSet("maxmemory-policy", "allkeys-lru");
  });
  const evicting = await findingsOf(redis.uri);
  evicting.assertWrong("connection");
  assert.match(evicting.of("connection").cure!, /^set maxmemory-policy to noeviction/);
  (await findingsOf(`${redis.uri}?eviction=allow`))
    .assertWrong("eviction", "persistence", "keepalive");
});

Deno.test("doctor: of a Redis, a wrong password, a missing permission and a missing server are told", async () => {
  await using redis = await startRedis({
    conf: [
      "requirepass right-password",
      "user narrow on >narrow-password ~other:* &* +@all",
      "user silent on >silent-password ~* &* +@all -info -config",
    ],
  });
  const at = (user: string, password: string) =>
    `redis://${user}:${password}@127.0.0.1:${redis.port}`;
  const wrong = await findingsOf(at("default", "wrong-password"));
  wrong.assertWrong("connection");
  assert.equal(wrong.of("connection").facts!.reason, "login");
  const narrow = await findingsOf(at("narrow", "narrow-password"));
  narrow.assertWrong("permission");
  const silent = await findingsOf(at("silent", "silent-password"));
  silent.assertWrong("info");
  const [port] = await freePorts(1);
  const missing = await findingsOf(`redis://127.0.0.1:${port}`);
  missing.assertWrong("connection");
  assert.match(missing.of("connection").what, /nothing listens/);
});

Deno.test("doctor: of a list of Redis servers, one that is no primary is a note", async () => {
  await using first = await startRedis();
  await using second = await startRedis({ conf: [`replicaof 127.0.0.1 ${first.port}`] });
  await until(() =>
    withAdmin(first.uri, async (admin) => /state=online/.test(String(await admin.info())))
  );
  const uri = `redis://127.0.0.1:${first.port},127.0.0.1:${second.port}`;
  const findings = await findingsOf(uri);
  findings.assertWrong();
  assert.equal(findings.of("replicas").facts!.replicas, 1);
  const notes = findings.all.filter(({ level }) => level === "note");
  assert.ok(notes.some(({ what }) => what.includes("the server is a replica")), String(findings));
});

Deno.test("doctor: of a Redis cluster, each node is examined, and the channel on its node", async () => {
  await using cluster = await startRedisCluster({ conf: ["cluster-require-full-coverage no"] });
  const [first, second] = cluster.nodes as [PrivateNode, PrivateNode];
  const name = await cluster.nameOn(second);
  const jobs = new Channel<number>({ name, connection: cluster.uri });
  await jobs.put(1);
  await jobs.close();
  const findings = await findingsOf(cluster.uri, { name });
  findings.assertWrong();
  assert.deepEqual(findings.of("cluster").facts, { primaries: 3, replicas: 0, slots: 16_384 });
  assert.equal(findings.of("channel").facts!.waiting, 1);
  assert.equal(findings.all.filter(({ about }) => about === "connection").length, 3);
  findings.of("permission");
  await second.server.crash();
  const later = await findingsOf(cluster.uri, { name: await cluster.nameOn(first) });
  later.assertWrong("connection");
  assert.match(
    later.wrong[0]!.what,
    new RegExp(`cannot connect to 127.0.0.1:${second.server.port}`),
  );
  assert.deepEqual(later.of("channel").facts, { exists: false });
  await first.run("CLUSTER", "DELSLOTS", "0");
  (await findingsOf(cluster.uri)).assertWrong("connection", "cluster");
  await using server = await startRedis();
  const single = await findingsOf(`${server.uri}?cluster`);
  single.assertWrong("connection");
  assert.match(single.of("connection").cure!, /^remove \?cluster from the URI/);
});
