// A host that vanishes, on network namespaces: its loans return when the server's system has noticed, and a host that is there
// keeps what it has, whatever its processes do.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { numbers } from "./conformance/fixture.ts";
import { type Child, startChild } from "./support/child.ts";
import { type Host, Network, noNamespaces } from "./support/namespaces.ts";
import { startRedis } from "./support/redis.ts";
import { test } from "./support/test.ts";

const peer = new URL("redis/peer.ts", import.meta.url);

async function startPeer(host: Host, uri: string): Promise<Child> {
  const [executable, ...args] = host.on([process.execPath, "run", "-A", "--frozen"]);
  const runtime = { name: "deno", title: "Deno", command: [executable!, ...args] } as const;
  const child = startChild(peer, { args: [`${uri}?heartbeat=1`], runtime });
  assert.equal(await child.next(), "ready");
  return child;
}

/** Has a process do something, and resolves with the outcome. */
async function tell(child: Child, action: string, name: string, n?: number): Promise<unknown> {
  child.send([action, name, n]);
  return await outcome(child, action, name);
}

/** Resolves with what a process reports next, of this action. */
async function outcome(child: Child, action: string, name: string): Promise<unknown> {
  const { result, error, ...what } = await child.next(60_000) as Record<string, unknown>;
  assert.deepEqual([what, error], [{ action, name }, undefined]);
  return result;
}

test(
  "redis: what a vanished host had returns, whether or not something was sent to it; who computes or is stopped keeps what it has",
  { skip: noNamespaces() },
  async () => {
    await using network = await Network.open(3);
    const [home, vanishing, staying] = network.hosts as [Host, Host, Host];
    const [command, ...args] = home.on(["sysctl", "-q", "net.ipv4.tcp_retries2=3"]);
    assert.equal(spawnSync(command!, args).status, 0);
    await using redis = await startRedis({ host: home, conf: ["tcp-keepalive 1"] });
    const start = (host: Host) => startPeer(host, redis.uri);
    const peers = await Promise.all([vanishing, vanishing, staying, staying, staying].map(start));
    const [silent, waiting, stopped, computing, other] = peers as [
      Child,
      Child,
      Child,
      Child,
      Child,
    ];
    try {
      for (const [i, name] of ["silent", "stopped", "computing"].entries()) {
        await tell(other, "put", name, i);
        assert.deepEqual(await tell([silent, stopped, computing][i]!, "receive", name), [i, 1]);
      }
      waiting.send(["receive", "waiting"]);
      await tell(waiting, "depth", "waiting"); // it waits
      stopped.kill("SIGSTOP");
      computing.send(["compute", "computing", 1500]);
      vanishing.connect(false);
      await tell(other, "put", "waiting", 3); // it is lent to the host that has vanished
      for (const name of ["stopped", "computing", "waiting", "silent"]) {
        other.send(["receive", name]);
      }
      const returned = new Map<unknown, unknown>();
      for (const _ of numbers(2)) {
        const { name, result } = await other.next(60_000) as { name: string; result: unknown };
        returned.set(name, result);
      }
      assert.deepEqual(Object.fromEntries(returned), { silent: [0, 2], waiting: [3, 2] });
      for (const name of ["silent", "waiting"]) assert.equal(await tell(other, "accept", name), 0);
      // Those that were there have kept what they had.
      stopped.kill("SIGCONT");
      assert.equal(await outcome(computing, "compute", "computing"), "no loss");
      for (const [child, name] of [[stopped, "stopped"], [computing, "computing"]] as const) {
        assert.equal(await tell(child, "accept", name), 0);
        child.send(["put", name, 4]);
        await outcome(child, "put", name);
        assert.deepEqual(await outcome(other, "receive", name), [4, 1]);
      }
      // The host comes back. What it had is accepted by another, and it goes on.
      vanishing.connect(true);
      assert.equal(await tell(silent, "accept", "silent"), 0);
      await tell(other, "put", "waiting", 5);
      assert.deepEqual(await outcome(waiting, "receive", "waiting"), [5, 1]);
    } finally {
      for (const child of peers) await child[Symbol.asyncDispose]();
    }
  },
);
