import type { ChannelOptions } from "../../mod.ts";
import { keyOf } from "../../src/transports/redis/channel_key.ts";
import { RedisTransport } from "../../src/transports/redis/transport.ts";
import type { State } from "../conformance/fixture.ts";
import type { Framing } from "../support/framing.ts";
import { linkOptions, putOn } from "../support/link.ts";
import type { PrivateCluster, PrivateNode } from "../support/redis_cluster.ts";
import { stateOf, withAdmin } from "../support/redis_setup.ts";
import type { Server } from "./server.ts";

/** A cluster that faults happen to. Processes know all its nodes, and reach them without proxies. */
export class RedisClusterServer implements Server {
  readonly cluster: PrivateCluster;
  readonly framing: Framing = "resp";

  constructor(cluster: PrivateCluster) {
    this.cluster = cluster;
  }

  get port(): number {
    return this.cluster.nodes[0]!.server.port;
  }

  get uri(): string {
    const hosts = this.cluster.nodes.map(({ server }) => `127.0.0.1:${server.port}`);
    return `redis://${hosts.join(",")}?cluster`;
  }

  uriAt(_: number, name: string): string {
    return `${this.uri}&heartbeat=1&name=${encodeURIComponent(name)}`;
  }

  async isAttached(_: string, channel: string): Promise<boolean> {
    return await this.listeners(channel) > 0;
  }

  async listeners(channel: string): Promise<number> {
    const node = await this.cluster.ownerOf(channel);
    const links = await node.run("HKEYS", `${keyOf(channel)}:links`);
    const sessions = links.split("\n").filter(Boolean).map((each) => each.split("/")[0]!);
    const counts = await Promise.all(
      sessions.map((each) => node.run("PUBSUB", "NUMSUB", `channelts:${each}`)),
    );
    return counts.filter((count) => Number(count.split("\n")[1]) > 0).length;
  }

  async put(channel: string, values: readonly number[]): Promise<void> {
    const transport = new RedisTransport(this.uri);
    const link = await transport.open(channel, linkOptions);
    for (const value of values) {
      const body = new TextEncoder().encode(String(value));
      await putOn(link, { body, contentType: "application/json" });
    }
    await link.close();
    transport.rest();
  }

  async state(): Promise<State> {
    const sum = { connections: 0, channels: 0, consumers: 0, queues: [], exchanges: [] } as {
      connections: number;
      channels: number;
      consumers: number;
      queues: string[];
      exchanges: string[];
    };
    for (const { server, run } of this.cluster.nodes) {
      const isPrimary = /role:master/.test(await run("INFO", "replication"));
      const one = await withAdmin(server.uri, async (admin) => {
        if (!isPrimary) await admin.sendCommand(["READONLY"]); // for the keys, of which those of a primary count
        return await stateOf(admin);
      });
      sum.connections += one.connections;
      if (!isPrimary) continue;
      sum.channels += one.channels;
      sum.consumers += one.consumers;
      sum.queues.push(...one.queues);
      sum.exchanges.push(...one.exchanges);
    }
    return { ...sum, queues: sum.queues.sort(), exchanges: sum.exchanges.sort() };
  }

  channelOptions(): ChannelOptions {
    return { durability: "quorum" };
  }

  /** Runs a command on each node. */
  async runOnAll(...command: string[]): Promise<void> {
    await Promise.all(this.cluster.nodes.map((node) => node.run(...command)));
  }

  /** Kills the primary of a channel, and starts it again when its replica has taken over. */
  async loseThePrimary(channel: string, how: "kill" | "suspend"): Promise<void> {
    const { cluster } = this;
    const primary = await cluster.ownerOf(channel);
    const replica = await cluster.replicaOf(primary);
    if (how === "kill") await primary.server.crash();
    else primary.server.suspend();
    await cluster.untilPrimary(replica);
    if (how === "kill") await primary.server.start();
    else primary.server.resume();
    await this.untilWhole(primary);
  }

  /** Resolves when a node that was a primary is a replica, and all nodes serve. */
  async untilWhole(replica: PrivateNode): Promise<void> {
    await this.cluster.untilReplica(replica);
    await this.cluster.untilServed();
  }
}
