import { setTimeout as pause } from "node:timers/promises";
import { until } from "../conformance/fixture.ts";
import type { RedisClusterServer } from "../faults/redis_cluster_server.ts";
import { type Mishaps, ofProcesses } from "./mishaps.ts";

/** The mishaps of a cluster whose first primary has a replica, in which nothing that the cluster has confirmed is lost. */
export const clusterMishaps: Mishaps<RedisClusterServer> = {
  "the slot moves to another primary and back": async ({ server: { cluster }, actors, random }) => {
    const home = await cluster.ownerOf(actors.name);
    const others = [];
    for (const line of await cluster.lines(home)) {
      const node = cluster.nodes.find(({ id }) => id === line.id)!;
      if (line.isPrimary && node !== home) others.push(node);
    }
    await cluster.moveSlot(
      actors.name,
      others[Math.floor(random() * others.length)]!,
      () => pause(50),
    );
    await pause(500);
    await cluster.moveSlot(actors.name, home, () => pause(50));
  },
  "a replica takes over by order": async ({ server, actors }) => {
    const primary = await server.cluster.ownerOf(actors.name);
    await server.cluster.failOver(await server.cluster.replicaOf(primary));
    await server.untilWhole(primary);
  },
  "the primary is killed and started again": async ({ server: { cluster }, actors }) => {
    const { server } = await cluster.ownerOf(actors.name);
    await server.crash();
    await server.start();
    await cluster.untilServed();
  },
  "the replica is killed and started again": async ({ server: { cluster }, actors }) => {
    const replica = await cluster.replicaOf(await cluster.ownerOf(actors.name));
    await replica.server.crash();
    await replica.server.start();
    await cluster.untilReplica(replica);
  },
  "a primary without the channel is killed, and all refuse until it is back": async (
    { server: { cluster }, actors },
  ) => {
    const owner = await cluster.ownerOf(actors.name);
    const line = (await cluster.lines(owner)).find(({ id, isPrimary }) =>
      isPrimary && id !== owner.id
    );
    const { server } = cluster.nodes.find(({ id }) => id === line!.id)!;
    await server.crash();
    await until(async () => /cluster_state:fail/.test(await owner.run("CLUSTER", "INFO")), 60_000);
    await server.start();
    await cluster.untilServed();
  },
  "the primary is suspended for a moment": async ({ server: { cluster }, actors }) => {
    const { server } = await cluster.ownerOf(actors.name);
    server.suspend();
    await pause(700);
    server.resume();
  },
  "an operator closes all connections": async ({ server }) => {
    await server.runOnAll("CLIENT", "KILL", "TYPE", "pubsub");
  },
  "an operator closes the connections to one node": async ({ server: { cluster }, random }) => {
    const node = cluster.nodes[Math.floor(random() * cluster.nodes.length)]!;
    await node.run("CLIENT", "KILL", "TYPE", "pubsub");
  },
  "an operator drops the scripts": ({ server }) => server.runOnAll("SCRIPT", "FLUSH"),
  "an operator pauses all clients": async ({ server }) => {
    await server.runOnAll("CLIENT", "PAUSE", "1500", "ALL");
    await pause(1500);
  },
  ...ofProcesses,
};

/** The mishaps of a cluster whose replica takes over without the last writes of its primary. */
export const failoverMishaps: Mishaps<RedisClusterServer> = {
  "the primary is killed until its replica has taken over": ({ server, actors }) =>
    server.loseThePrimary(actors.name, "kill"),
  "the primary is suspended until its replica has taken over": ({ server, actors }) =>
    server.loseThePrimary(actors.name, "suspend"),
  "the slot moves to another primary and back":
    clusterMishaps["the slot moves to another primary and back"]!,
  "an operator closes all connections": clusterMishaps["an operator closes all connections"]!,
  ...ofProcesses,
};
