// Private clusters of several Redis or Valkey nodes. Each node is a server as in redis.ts, with a second port for its cluster.

import { keyOf } from "../../src/transports/redis/channel_key.ts";
import { slotOf } from "../../src/transports/redis/cluster/slot.ts";
import { until } from "../conformance/fixture.ts";
import type { Host } from "./namespaces.ts";
import { freePorts } from "./net.ts";
import { type PrivateRedis, startRedis } from "./redis.ts";
import { type Admin, newClient } from "./redis_setup.ts";

/** A node of a private cluster. */
export interface PrivateNode {
  readonly server: PrivateRedis;
  /** The port at which other nodes reach it. */
  readonly bus: number;
  /** The port for TLS; undefined if the cluster does not speak it. */
  readonly tlsPort: number | undefined;
  /** What the cluster calls it. */
  readonly id: string;
  run(...command: string[]): Promise<string>;
}

/** What a node says of one node of its cluster. */
interface Line {
  readonly id: string;
  readonly port: number;
  readonly isPrimary: boolean;
  readonly hasFailed: boolean;
  readonly primaryId: string;
  readonly ranges: readonly (readonly [number, number])[];
}

/** A cluster of one test. Disposal removes it completely. */
export class PrivateCluster implements AsyncDisposable {
  readonly nodes: PrivateNode[] = [];
  readonly #conf: readonly string[];
  readonly #tls: readonly string[] | undefined;
  readonly #hosts: readonly Host[];
  readonly #admins = new Map<PrivateRedis, Admin>();

  /**
   * @param tls the lines for certificates, if the nodes speak TLS
   * @param hosts the host of each node; default: this one
   */
  constructor(conf: readonly string[], tls?: readonly string[], hosts: readonly Host[] = []) {
    this.#conf = conf;
    this.#tls = tls;
    this.#hosts = hosts;
  }

  /** The URI of a process that knows the first node only. */
  get uri(): string {
    return `${this.nodes[0]!.server.uri}?cluster`;
  }

  /** Starts nodes that are in no cluster. */
  async start(count: number): Promise<PrivateNode[]> {
    const started = await Promise.all(Array.from({ length: count }, async (_, i) => {
      const [tlsPort] = this.#tls === undefined ? [] : await freePorts(1);
      const conf = [
        "cluster-enabled yes",
        "cluster-node-timeout 15000", // a busy machine is no failure
        "repl-diskless-sync-delay 0",
        ...tlsPort === undefined ? [] : [
          `tls-port ${tlsPort}`,
          "tls-cluster yes",
          "tls-replication yes",
          ...this.#tls!,
        ],
        ...this.#conf,
      ];
      const host = this.#hosts[this.nodes.length + i];
      const server = await startRedis({ conf, ...host === undefined ? {} : { host } });
      const node: PrivateNode = {
        server,
        bus: server.bus!,
        tlsPort,
        id: await this.#run(server, ["CLUSTER", "MYID"]),
        run: (...command) => this.#run(server, command),
      };
      return node;
    }));
    this.nodes.push(...started);
    return started;
  }

  /** Lets nodes meet those that are in the cluster. */
  async meet(nodes: readonly PrivateNode[]): Promise<void> {
    const [first] = this.nodes;
    for (const { server, bus, tlsPort } of nodes) {
      const port = tlsPort ?? server.port;
      const { hostname } = new URL(server.uri);
      await first!.run("CLUSTER", "MEET", hostname, String(port), String(bus));
    }
    await until(async () => {
      const all = await Promise.all(this.nodes.map((node) => this.lines(node)));
      return all.every((lines) => lines.length === this.nodes.length);
    });
  }

  /** Makes a node the replica of another one. Resolves when it has the data. */
  async replicate(node: PrivateNode, primary: PrivateNode): Promise<void> {
    await node.run("CLUSTER", "REPLICATE", primary.id);
    await this.untilReplica(node);
  }

  /** Resolves when a node is a replica that has the data of its primary. */
  async untilReplica(node: PrivateNode): Promise<void> {
    await until(async () => {
      const info = await node.run("INFO", "replication").catch(String); // it may be loading its data
      return /role:slave/.test(info) && /master_link_status:up/.test(info);
    });
  }

  /** Resolves when a node is a primary. */
  async untilPrimary(node: PrivateNode): Promise<void> {
    await until(
      async () => /role:master/.test(await node.run("INFO", "replication").catch(String)),
      60_000,
    );
  }

  /** Resolves when each node says that all slots are served. */
  async untilServed(nodes: readonly PrivateNode[] = this.nodes): Promise<void> {
    await until(async () => {
      const all = await Promise.all(nodes.map((node) => node.run("CLUSTER", "INFO").catch(String)));
      return all.every((info) => info.includes("cluster_state:ok"));
    }, 60_000); // others believe for twice cluster-node-timeout that one has failed that has returned
  }

  /** Returns the primary that has the slot of a channel. */
  async ownerOf(name: string): Promise<PrivateNode> {
    const slot = slotOf(keyOf(name));
    for (const line of await this.lines(this.nodes.find(({ server }) => server.isRunning)!)) {
      if (!line.ranges.some(([first, last]) => first <= slot && slot <= last)) continue;
      return this.nodes.find(({ id }) => id === line.id)!;
    }
    throw new Error(`no node has slot ${slot}`);
  }

  /** Returns the slot of a channel. */
  slotOf(name: string): number {
    return slotOf(keyOf(name));
  }

  /** Returns the first replica of a primary. */
  async replicaOf(primary: PrivateNode): Promise<PrivateNode> {
    let replica: PrivateNode | undefined;
    await until(async () => { // its primary learns of it later than it itself
      const line = (await this.lines(primary)).find(({ primaryId }) => primaryId === primary.id);
      replica = this.nodes.find(({ id }) => id === line?.id);
      return replica !== undefined;
    });
    return replica!;
  }

  /** Returns a name of a channel that is on a node. */
  async nameOn(node: PrivateNode, prefix = "jobs"): Promise<string> {
    const [line] = (await this.lines(node)).filter(({ id }) => id === node.id);
    for (let i = 0;; i++) {
      const slot = slotOf(keyOf(`${prefix}${i}`));
      if (line!.ranges.some(([first, last]) => first <= slot && slot <= last)) {
        return `${prefix}${i}`;
      }
    }
  }

  /**
   * Moves the slot of a channel, as redis-cli does.
   *
   * @param meanwhile is done when half of the keys have moved
   */
  async moveSlot(
    name: string,
    to: PrivateNode,
    meanwhile: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const from = await this.ownerOf(name);
    const slot = String(slotOf(keyOf(name)));
    await to.run("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id);
    await from.run("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id);
    const keys = await this.#list(from, ["CLUSTER", "GETKEYSINSLOT", slot, "1000"]);
    const { port } = to.server;
    const half = Math.ceil(keys.length / 2);
    for (const [i, key] of keys.entries()) {
      if (i === half) await meanwhile();
      await from.run("MIGRATE", "127.0.0.1", String(port), key, "0", "20000");
    }
    // The node that receives it first: else a key could be written nowhere.
    await to.run("CLUSTER", "SETSLOT", slot, "NODE", to.id);
    await from.run("CLUSTER", "SETSLOT", slot, "NODE", to.id);
  }

  /** Makes a replica the primary, which the failed one cannot prevent. */
  async failOver(replica: PrivateNode, how: "" | "FORCE" = ""): Promise<void> {
    await replica.run("CLUSTER", "FAILOVER", ...how === "" ? [] : [how]);
    await this.untilPrimary(replica);
  }

  /** Returns the nodes that a node knows. */
  async lines(node: PrivateNode): Promise<Line[]> {
    const text = await node.run("CLUSTER", "NODES");
    return text.trim().split("\n").map((line) => {
      const [id = "", address = "", flags = "", primaryId = "", , , , , ...slots] = line.split(" ");
      return {
        id,
        port: Number(/:(\d+)@/.exec(address)?.[1]),
        isPrimary: flags.includes("master"),
        hasFailed: flags.includes("fail"),
        primaryId,
        ranges: slots.filter((each) => !each.startsWith("[")).map((each) => {
          const [first, last = first] = each.split("-");
          return [Number(first), Number(last)] as const;
        }),
      };
    });
  }

  /** Lets this process end although the nodes run: they end then, too. */
  unref(): void {
    this.#disconnect();
    for (const { server } of this.nodes) server.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disconnect();
    await Promise.all(this.nodes.map(({ server }) => server[Symbol.asyncDispose]()));
  }

  #disconnect(): void {
    for (const admin of this.#admins.values()) if (admin.isOpen) admin.destroy();
    this.#admins.clear();
  }

  async #run(server: PrivateRedis, command: readonly string[]): Promise<string> {
    const reply = await this.#send(server, command);
    return Array.isArray(reply) ? reply.join("\n") : String(reply);
  }

  async #list({ server }: PrivateNode, command: readonly string[]): Promise<string[]> {
    return (await this.#send(server, command) as unknown[]).map(String);
  }

  async #send(server: PrivateRedis, command: readonly string[]): Promise<unknown> {
    let admin = this.#admins.get(server);
    if (admin === undefined || !admin.isReady) {
      const { uri, socket: path } = server; // a server on another host is reached by its file
      admin = newClient({
        ...path === undefined ? { url: uri } : {},
        name: "admin",
        socket: { reconnectStrategy: false, ...path === undefined ? {} : { path } },
      }) as Admin;
      admin.on("error", () => {}); // the command rejects
      await admin.connect();
      this.#admins.set(server, admin);
    }
    return await admin.sendCommand([...command]);
  }
}

/** The options of {@linkcode startRedisCluster}. */
export interface RedisClusterOptions {
  readonly primaries?: number;
  /** How many replicas each primary has. */
  readonly replicas?: number;
  /** Whether the first primary has all slots but one for each other one, and only it has replicas: so a fault of it is of all channels. */
  readonly isUneven?: boolean;
  /** Lines for the configuration of each node. */
  readonly conf?: readonly string[];
  /** The lines for certificates, if the nodes speak TLS to each other and on a port for clients. */
  readonly tls?: readonly string[];
  /** The host of each node; default: this one. */
  readonly hosts?: readonly Host[];
}

/** Starts a private cluster. Disposal removes it completely. */
export async function startRedisCluster(
  options: RedisClusterOptions = {},
): Promise<PrivateCluster> {
  const { primaries = 3, replicas = 0, isUneven = false, conf = [], tls, hosts } = options;
  const cluster = new PrivateCluster(conf, tls, hosts);
  try {
    const nodes = await cluster.start(primaries + replicas * (isUneven ? 1 : primaries));
    const first = nodes.slice(0, primaries);
    const startOf = (i: number) =>
      isUneven && i > 0 ? 16_384 - primaries + i : Math.floor(i * 16_384 / primaries);
    await Promise.all(first.map(async (node, i) => {
      await node.run("CLUSTER", "SET-CONFIG-EPOCH", String(i + 1));
      const range = [startOf(i), startOf(i + 1) - 1].map(String);
      await node.run("CLUSTER", "ADDSLOTSRANGE", ...range);
    }));
    await cluster.meet(nodes.slice(1));
    const followed = isUneven ? first.slice(0, 1) : first;
    await Promise.all(
      nodes.slice(primaries).map((node, i) =>
        cluster.replicate(node, followed[i % followed.length]!)
      ),
    );
    await cluster.untilServed();
    await until(async () => { // a node does not vote for a replica that it takes for a primary
      const all = await Promise.all(nodes.map((node) => cluster.lines(node)));
      return all.flat().filter(({ isPrimary }) => isPrimary).length === primaries * nodes.length;
    });
    return cluster;
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
}
