import { setTimeout as pause } from "node:timers/promises";
import { Channel } from "../../mod.ts";
import { until } from "../conformance/fixture.ts";
import { bound, type Cell } from "./cell.ts";
import type { Fault } from "./fault.ts";
import type { RedisClusterServer } from "./redis_cluster_server.ts";

/** A fault of a cluster whose first primary has all channels of the states, and a replica. */
export interface ClusterFault extends Fault<RedisClusterServer> {
  /** Whether nodes soon take one that does not answer for failed: a replica then takes over by itself. */
  readonly isImpatient?: boolean;
}

/** The faults of a cluster. */
export const redisClusterFaults: readonly ClusterFault[] = [
  {
    title: "the primary is killed and started again",
    inject: async ({ cluster }) => {
      const [{ server }] = cluster.nodes as [typeof cluster.nodes[number]];
      await server.crash();
      await server.start();
      await cluster.untilServed();
    },
  },
  {
    title: "the primary is unreachable for longer than retryTimeout",
    meaning: { isOutage: true },
    retryTimeout: 1000,
    inject: async ({ cluster }) => {
      const [{ server }] = cluster.nodes as [typeof cluster.nodes[number]];
      await server.crash();
      await pause(2500);
      await server.start();
      await cluster.untilServed();
    },
  },
  {
    title: "a replica takes over by order",
    inject: async (server) => {
      const { cluster } = server;
      const [primary] = cluster.nodes as [typeof cluster.nodes[number]];
      await cluster.failOver(await cluster.replicaOf(primary));
      await server.untilWhole(primary);
    },
  },
  {
    title: "the primary is killed, and its replica takes over by itself",
    isImpatient: true,
    inject: (server, cells) => server.loseThePrimary(cells[0]!.name, "kill"),
  },
  {
    title: "the primary is suspended until its replica has taken over by itself",
    isImpatient: true,
    inject: (server, cells) => server.loseThePrimary(cells[0]!.name, "suspend"),
  },
  {
    title: "another primary fails that has no replica, so that no node serves until it is back",
    isImpatient: true,
    inject: async ({ cluster }) => {
      const [first, { server }] = cluster.nodes as [
        typeof cluster.nodes[number],
        typeof cluster.nodes[number],
      ];
      await server.crash();
      const isDown = async () => /cluster_state:fail/.test(await first.run("CLUSTER", "INFO"));
      await until(isDown, 60_000);
      await pause(1000);
      await server.start();
      await cluster.untilServed();
    },
  },
  {
    title: "the slots of the channels are on the way to another node for seconds",
    inject: async ({ cluster }, cells) => {
      const [, to] = cluster.nodes as [unknown, typeof cluster.nodes[number]];
      const slots = new Map(
        cells.flatMap(({ names }) => names).map((name) => [cluster.slotOf(name), name] as const),
      );
      await Promise.all(
        [...slots.values()].map((name) => cluster.moveSlot(name, to, () => pause(2000))),
      );
    },
  },
  {
    title: "an operator closes the connections to all nodes",
    inject: (server) => server.runOnAll("CLIENT", "KILL", "TYPE", "pubsub"),
  },
  {
    title: "an operator drops the scripts of all nodes",
    inject: (server) => server.runOnAll("SCRIPT", "FLUSH"),
  },
  {
    title: "another client deletes the channels",
    meaning: { isDeletion: true },
    inject: ({ uri }, cells) => deleteAll(uri, cells),
  },
  {
    title: "an operator deletes everything (FLUSHALL)",
    meaning: { isDeletion: true },
    inject: async ({ cluster }) => void await cluster.nodes[0]!.run("FLUSHALL"),
  },
];

async function deleteAll(uri: string, cells: readonly Cell[]): Promise<void> {
  for (const name of cells.flatMap(({ names }) => names)) {
    const channel = new Channel({ name, connection: uri });
    await channel.delete({ timeout: bound });
    await channel.close();
  }
}
