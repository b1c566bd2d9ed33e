// The way of a link to the node of its slot, without a cluster.
import { detachLater, type DetachOwner } from "../src/transports/redis/cluster/detach_later.ts";
import { RedisRefusal } from "../src/transports/redis/connection/reply_reader.ts";
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { ClusterNode } from "../src/transports/redis/cluster/cluster_node.ts";
import { ClusterTopology } from "../src/transports/redis/cluster/cluster_topology.ts";
import { firstAnswer } from "../src/transports/redis/cluster/first_answer.ts";
import { SlotSource, type SlotSourceOwner } from "../src/transports/redis/cluster/slot_source.ts";
import type { LinkSession } from "../src/transports/redis/connection/link_session.ts";
import type { RedisSession } from "../src/transports/redis/connection/session.ts";
import { ProcessRef } from "../src/transports/remote/process_ref.ts";
import { within } from "./conformance/fixture.ts";

/** A node whose connection is open. */
function openNode(name: string, isPrepared: boolean): ClusterNode {
  const session = { id: name, nodeId: name, isPrepared, isLost: false, onLost() {}, offLost() {} };
  const connector = {
    connect: (waiter: { connected(session: unknown): void }) => waiter.connected(session),
    cancel() {},
    retryNow() {},
  };
  return { connector } as unknown as ClusterNode;
}

Deno.test("a slot that moves while the connection to its node is prepared: the link gets the connection to the new node, once", async () => {
  const [before, after] = [openNode("before", false), openNode("after", true)];
  let node = before;
  let endPreparation = () => {};
  const owner = {
    address: "redis://localhost:6379/0?cluster",
    processRef: new ProcessRef(),
    trouble: undefined,
    wasConnected: true,
    slotSessions: new Set(),
    use() {},
    unuse() {},
    isReady: true,
    ready: () => Promise.resolve(),
    look: () => Promise.resolve(),
    nodeOf: () => node,
    uncovered: () => new Error("uncovered"),
    prepare: () => new Promise<void>((resolve) => endPreparation = resolve),
    leave() {},
  } as unknown as SlotSourceOwner;
  const source = new SlotSource(owner, "channelts:{jobs}");
  const got: string[] = [];
  source.connect({
    connected: (session: LinkSession) =>
      void got.push((session as unknown as { node: RedisSession }).node.id),
    failed: (error) => assert.fail(error),
  });
  node = after;
  source.topologyChanged();
  assert.deepEqual(got, ["after"]);
  endPreparation();
  await pause(1);
  assert.deepEqual(got, ["after"]);
});

const endpoint = { host: "10.0.0.1", port: 6379 };
const topologyOf = (slots: unknown, shards?: unknown) =>
  ClusterTopology.of({ slots, shards, info: "cluster_current_epoch:7\r\n" }, endpoint, false);

Deno.test("who has which slot: addresses and names of nodes, and those that are of no use", () => {
  const told = topologyOf([
    [0, 99, ["", 7000, "a", []], ["Replica.example", 7001, "b", []]],
    [100, 199, [null, 7002, "c", []]],
    [200, 299, ["?", 7003, "d", ["ip", "10.0.0.4"]]],
    [300, 399, ["?", 7004, "e", []]],
    [400, 499, ["a b", 7005, "f", []]],
    [500, 16_384, ["10.0.0.5", 7006, "g", []]],
    [600, 699, ["10.0.0.6", 70_000, "h", []]],
    "nonsense",
  ]);
  assert.equal(told.epoch, 7);
  const nodes = [0, 100, 200, 300, 400, 500, 600].map((slot) => told.primaryOf(slot));
  assert.deepEqual(
    nodes.map((node) => node && `${node.id} ${node.host}:${node.port}`),
    ["a 10.0.0.1:7000", "c 10.0.0.1:7002", "d 10.0.0.4:7003", ...Array(4).fill(undefined)],
  );
  assert.deepEqual([told.nodes.get("b")?.host, told.nodes.get("b")?.isPrimary], [
    "replica.example",
    false,
  ]);
  assert.equal(told.covered, 300);
  const one = topologyOf([[0, 16_383, ["h", 1, "a", []]]]);
  const two = topologyOf([[0, 9, ["h", 2, "b", []]], [10, 16_382, ["h", 1, "a", []]]]);
  assert.equal(one.changesSince(one), undefined);
  assert.equal(
    two.changesSince(one),
    "h:2 is a new primary, 11 slots have another node, 1 slots have no node",
  );
});

Deno.test("the next one is asked when the last one fails or is silent, and the first good answer counts", async () => {
  const asked: string[] = [];
  const ask = async (name: string) => {
    asked.push(name);
    if (name === "fails") throw new Error("no");
    if (name === "is silent") await new Promise(() => {});
    return name;
  };
  const isGood = (answer: string) => answer === "is good";
  const all = ["fails", "is bad", "is silent", "is good", "is last"];
  const held = setInterval(() => {}, 1000); // its timers keep no process alive
  assert.equal(await firstAnswer(all, ask, isGood, 10), "is good");
  assert.deepEqual(asked, all.slice(0, 4));
  assert.equal(await firstAnswer(["fails", "is bad"], ask, isGood, 10), undefined);
  assert.equal(await firstAnswer([], ask, isGood, 10), undefined);
  clearInterval(held);
});

/** A cluster whose node answers each script with the next of these errors, and then with nothing. */
function refusing(errors: string[]): { owner: DetachOwner; asked: string[]; warned: string[] } {
  const asked: string[] = [];
  const warned: string[] = [];
  const session = {
    isPrepared: true,
    address: "redis://played",
    run(script: string) {
      asked.push(script);
      const error = errors.shift();
      return error === undefined ? Promise.resolve(1) : Promise.reject(new RedisRefusal(error));
    },
  };
  const owner: DetachOwner = {
    signal: new AbortController().signal,
    sessionOf: () => session as unknown as RedisSession,
    prepare: () => Promise.resolve(),
    look: () => Promise.resolve(),
    warn: (problem) => void warned.push(problem),
  };
  return { owner, asked, warned };
}

const left = { holders: ["a/1"], accepted: ["1 a/1"], released: [] };

Deno.test("a late detachment is tried again while the node cannot serve it", async () => {
  const { owner, asked, warned } = refusing(["MOVED 1 a:1", "BUSY a script runs"]);
  await within(detachLater(owner, 1, "key", left), 20_000);
  assert.deepEqual([asked, warned], [["accept", "accept", "accept", "detach"], []]);
});

Deno.test("a late detachment that is refused for good ends, and the logger is told", async () => {
  const { owner, asked, warned } = refusing(["NOPERM this user has no permissions"]);
  await within(detachLater(owner, 1, "key", left), 20_000);
  assert.deepEqual(asked, ["accept"]);
  assert.deepEqual(warned, [
    "redis://played did not detach a closed channel: NOPERM this user has no permissions; " +
    "its values on loan return when this process ends",
  ]);
});
