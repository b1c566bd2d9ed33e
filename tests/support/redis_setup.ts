import { RedisClient } from "@redis/client";
import process from "node:process";
import { RedisTransport } from "../../src/transports/redis/transport.ts";
import {
  type Setup,
  type Share,
  shareOf,
  shareOfRuntime,
  type State,
  until,
} from "../conformance/fixture.ts";
import { linkOptions, rawOn } from "./link.ts";
import { type PrivateRedis, startRedis } from "./redis.ts";

/** Makes clients, all of one class: `createClient` would often define another one, which takes tens of milliseconds. */
export const newClient: ReturnType<typeof RedisClient.factory> = RedisClient.factory({});

/** A client of the server that does not use the library. */
export type Admin = ReturnType<typeof newClient>;

/**
 * Returns the URI of the server that `REDIS` names, or of a private one that ends with this process, which is a cluster of one
 * node if `TEST_REDIS_NODES` is 1.
 */
export async function redisUri(): Promise<string> {
  const { REDIS, TEST_REDIS_NODES } = process.env;
  if (REDIS) return REDIS;
  const server = TEST_REDIS_NODES === "1" ? await startOneNodeCluster() : await startRedis();
  server.unref();
  return server.uri;
}

/** Starts a private cluster of one node, which has all slots. */
export async function startOneNodeCluster(): Promise<PrivateRedis> {
  const server = await startRedis({ conf: ["cluster-enabled yes"] });
  await withAdmin(server.uri, async (admin) => {
    await admin.sendCommand(["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    const isReady = async () =>
      String(await admin.sendCommand(["CLUSTER", "INFO"])).includes("cluster_state:ok");
    await until(isReady, 20_000, 20);
  });
  return server;
}

/** The share of the conformance suite that this process runs: on the first server its runtime's, on a further one that server's. */
export function redisShare(): Share | undefined {
  const part = /^(\d+)\/(\d+)$/.exec(process.env.TEST_REDIS_PART ?? "");
  return part === null ? shareOfRuntime() : shareOf(Number(part[1]), Number(part[2]));
}

/** Calls `use` with a client of its own. */
export async function withAdmin<T>(uri: string, use: (admin: Admin) => Promise<T>): Promise<T> {
  const client = newClient({
    url: uri,
    name: "admin",
    maintNotifications: "disabled",
    disableClientInfo: true,
    socket: { reconnectStrategy: false },
  });
  client.on("error", () => {}); // the command rejects
  await client.connect();
  try {
    return await use(client as Admin);
  } finally {
    client.destroy();
  }
}

/**
 * Returns the suite's description of a server, or of a cluster.
 *
 * @param primaries the URIs of the servers that have the channels
 */
export function redisSetup(uri: string, primaries: readonly string[] = [uri]): Setup {
  const each = <T>(use: (admin: Admin) => Promise<T>) =>
    Promise.all(primaries.map((primary) => withAdmin(primary, use)));
  const key = (name: string) => `channelts:{${name.replace(/[%{}]/g, encodeURIComponent)}}`;
  const named = (name: string, host?: string) => {
    const url = new URL(uri);
    url.searchParams.set("name", name);
    if (host !== undefined) url.hostname = host;
    return url.href;
  };
  return {
    features: { shared: true, terms: ["delay", "expires", "priority"], rendezvous: true },
    share: redisShare(),
    tells: ["loans", "consumers", "delayed", "capacity", "closed"],
    connection: (n) => named(`conformance ${n}`),
    elsewhere: () =>
      named("elsewhere", new URL(uri).hostname === "localhost" ? "127.0.0.1" : "localhost"),
    async raw(name) {
      const transport = new RedisTransport(uri);
      const link = await transport.open(name, linkOptions);
      return rawOn(link, async () => {
        await link.close();
        transport.rest();
      });
    },
    async exists(name) {
      const found = await each((admin) => ifHere(0, admin.exists(`${key(name)}:meta`)));
      return found.includes(1);
    },
    async waiting(name) {
      const takers = await each((admin) => ifHere([], admin.zRange(`${key(name)}:takers`, 0, -1)));
      return new Set(takers.flat().map((taker) => taker.split("/")[0])).size;
    },
    async state() {
      const [first, ...others] = await each(stateOf);
      return others.reduce((sum, one) => ({
        connections: sum.connections + one.connections,
        channels: sum.channels + one.channels,
        consumers: sum.consumers + one.consumers,
        queues: [...sum.queues, ...one.queues],
        exchanges: [...sum.exchanges, ...one.exchanges],
      }), first!);
    },
  };
}

/** Resolves as a reply does, or with another value if the key is on another node of the cluster. */
async function ifHere<T>(none: T, reply: Promise<T>): Promise<T> {
  try {
    return await reply;
  } catch (error) {
    if (/^MOVED /.test((error as Error).message)) return none;
    throw error;
  }
}

/** Returns what a server holds. */
export async function stateOf(admin: Admin): Promise<State> {
  const clients = String(await admin.sendCommand(["CLIENT", "LIST"])).trim().split("\n");
  const keys = await admin.keys("channelts:*");
  const queues = keys.filter((each) => each.endsWith(":meta"));
  const takers = keys.filter((each) => each.endsWith(":takers"));
  const counts = await Promise.all(takers.map((each) => admin.zCard(each)));
  const links = keys.filter((each) => each.endsWith(":links"));
  const attached = await Promise.all(links.map((each) => admin.hLen(each)));
  return {
    // Those of replicas and of primaries are no clients'.
    connections: clients.filter((line) => !/ name=admin | flags=[SM]/.test(line)).length,
    channels: attached.reduce((a, b) => a + b, 0),
    consumers: counts.reduce((a, b) => a + b, 0),
    queues,
    exchanges: keys.filter((each) => !queues.some((meta) => each.startsWith(meta.slice(0, -5)))),
  };
}
