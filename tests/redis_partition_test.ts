// Networks that fail in part, on hosts of their own: packets vanish, and nothing is refused or closed. Some tests take minutes;
// CLUSTER_FAULTS=all runs them.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { until } from "./conformance/fixture.ts";
import { type Host, Network, noNamespaces, part } from "./support/namespaces.ts";
import { type PrivateRedis, startRedis } from "./support/redis.ts";
import { type PrivateCluster, startRedisCluster } from "./support/redis_cluster.ts";
import { newClient } from "./support/redis_setup.ts";
import { lostOf, twiceOf, Worker, type WorkReport } from "./support/redis_work.ts";
import { test } from "./support/test.ts";

const skip = noNamespaces();
const skipLong = skip || process.env.CLUSTER_FAULTS !== "all" &&
    "takes minutes; CLUSTER_FAULTS=all runs it";

const retryTimeout = 4000;

/** Resolves when all values have been received, and with what the processes have done. */
async function outcome(workers: readonly Worker[]): Promise<WorkReport[]> {
  await Promise.all(workers.map((worker) => worker.stop()));
  const report = () => Promise.all(workers.map((worker) => worker.report()));
  await until(async () => lostOf(await report()).length === 0, 40_000, 200);
  const reports = await report();
  // An attempt to connect takes 10 s at most, and an operation may wait for the end of one.
  for (const { longest } of reports) assert.ok(longest < retryTimeout + 15_000, `${longest} ms`);
  return reports;
}

function texts(report: WorkReport): string {
  return [...Object.keys(report.errors), ...report.log].join("\n");
}

/** A server with a replica, and the means to reach both in spite of the network. */
class Pair {
  readonly primary: PrivateRedis;
  readonly replica: PrivateRedis;

  private constructor(primary: PrivateRedis, replica: PrivateRedis) {
    this.primary = primary;
    this.replica = replica;
  }

  static async start(at: Host, other: Host): Promise<Pair> {
    const conf = ["repl-diskless-sync-delay 0", "appendfsync always"];
    const [primary, replica] = await Promise.all(
      [at, other].map((host) => startRedis({ host, conf })),
    ) as [PrivateRedis, PrivateRedis];
    const pair = new Pair(primary, replica);
    await pair.follow(replica, primary);
    return pair;
  }

  get uri(): string {
    const [first, second] = [this.primary, this.replica].map(({ uri }) => new URL(uri).host);
    return `redis://${first},${second}`;
  }

  async run(server: PrivateRedis, ...command: string[]): Promise<string> {
    const admin = newClient({ socket: { path: server.socket!, reconnectStrategy: false } });
    admin.on("error", () => {}); // the command rejects
    await admin.connect();
    try {
      return String(await admin.sendCommand(command));
    } finally {
      admin.destroy();
    }
  }

  /** Makes a server the replica of the other one. Resolves when it has the data. */
  async follow(server: PrivateRedis, primary: PrivateRedis): Promise<void> {
    const { hostname, port } = new URL(primary.uri);
    await this.run(server, "REPLICAOF", hostname, port);
    await until(async () =>
      /master_link_status:up/.test(await this.run(server, "INFO", "replication"))
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.primary, this.replica].map((one) => one[Symbol.asyncDispose]()));
  }
}

/** Starts a process on each host. Resolves when all have begun. */
async function startWorkers(
  hosts: readonly Host[],
  uri: string,
  channels: readonly string[] = ["jobs"],
  isQuorum = true,
): Promise<[Worker, Worker]> {
  const workers = await Promise.all(
    hosts.map((host, i) =>
      Worker.start(host, uri, { name: "AB"[i]!, channels, isQuorum, retryTimeout })
    ),
  );
  await Promise.all(workers.map((worker) => worker.untilMore(5)));
  return workers as [Worker, Worker];
}

async function dispose(workers: readonly Worker[]): Promise<void> {
  await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
}

test(
  "redis: a primary is cut off with one client, and its replica takes its place: no put was confirmed on the wrong side, and no value is lost",
  { skip },
  async () => {
    await using network = await Network.open(4);
    const [at, other, near, far] = network.hosts as [Host, Host, Host, Host];
    await using pair = await Pair.start(at, other);
    const { primary, replica } = pair;
    const workers = await startWorkers([far, near], `${pair.uri}?heartbeat=1`);
    const [there, here] = workers;
    try {
      part([at, near], [other, far]);
      const { confirmed } = await here.report();
      await pair.run(replica, "REPLICAOF", "NO", "ONE");
      await there.untilMore(20);
      await until(async () =>
        /too few of its replicas confirmed it in time.*; unknown outcome/.test(
          texts(await here.report()),
        )
      );
      // One put may have had its confirmation on the way.
      assert.ok((await here.report()).confirmed.length <= confirmed.length + 1);
      part([at, near], [other, far], false);
      await pair.follow(primary, replica);
      await Promise.all([there.untilMore(20), here.untilMore(20)]);
      const [, report] = await outcome(workers);
      const shown = new URL(primary.uri).host;
      assert.match(texts(report!), new RegExp(`/0 was lost: ${shown}: .*replica`));
      assert.match(texts(report!), /connected again/);
      for (const host of [near, far]) assert.ok(host.attempts() <= 20, `${host.attempts()}`);
    } finally {
      await dispose(workers);
    }
  },
);

test(
  "redis cluster: an announced address that a client does not reach is named, and used when it is reached",
  { skip },
  async () => {
    await using network = await Network.open(4);
    const hosts = network.hosts.slice(0, 3);
    const [client] = network.hosts.slice(3) as [Host];
    await using cluster = await startRedisCluster({ hosts, conf: ["bind *"] });
    const outer = hosts.map((_, i) => ({ address: `10.88.0.${i + 1}` }));
    for (const [i, host] of hosts.entries()) {
      host.addAddress(outer[i]!.address);
      await cluster.nodes[i]!.run("CONFIG", "SET", "cluster-announce-ip", outer[i]!.address);
    }
    client.addAddress("10.88.0.4");
    for (const each of outer) client.reach(each, false);
    await until(async () => {
      const all = await Promise.all(cluster.nodes.map((node) => node.run("CLUSTER", "NODES")));
      return all.every((text) => text.split("10.88.").length === hosts.length + 1);
    });
    const work = { name: "A", channels: [await cluster.nameOn(cluster.nodes[0]!)], retryTimeout };
    await using worker = await Worker.start(client, cluster.uri, { ...work, isQuorum: false });
    const named = `${outer[0]!.address}:${cluster.nodes[0]!.server.port}`;
    await until(async () =>
      texts(await worker.report()).includes(`${named}, which the cluster names, has not answered`)
    );
    assert.ok(client.attempts() <= 20, `${client.attempts()}`);
    for (const each of outer) client.reach(each, true);
    await worker.untilMore(5);
    await outcome([worker]);
  },
);

for (
  const [title, seconds, cut] of [
    ["packets to and from a client", 5, part],
    ["packets to and from a client", 40, part],
    ["packets to a client", 15, (client, servers, areParted) => {
      for (const server of servers) server.reach(client[0]!, !areParted);
    }],
    ["packets from a client", 15, (client, servers, areParted) => {
      for (const server of servers) client[0]!.reach(server, !areParted);
    }],
  ] as readonly [
    string,
    number,
    (client: readonly Host[], servers: readonly Host[], areParted: boolean) => void,
  ][]
) {
  for (const isCluster of [false, true]) {
    test(
      `redis${
        isCluster ? " cluster" : ""
      }: ${title} vanish for ${seconds} s: nothing is lost or received twice by one process`,
      { skip: skipLong },
      async () => {
        await using network = await Network.open(isCluster ? 8 : 4);
        const [client, other, ...servers] = network.hosts as [Host, Host, ...Host[]];
        await using stack = new AsyncDisposableStack();
        let uri, channels;
        if (isCluster) {
          const cluster = stack.use(await startRedisCluster({ replicas: 1, hosts: servers }));
          uri = `${cluster.uri}&heartbeat=2`;
          channels = await namesOf(cluster);
        } else {
          const pair = stack.use(await Pair.start(servers[0]!, servers[1]!));
          uri = `${pair.uri}?heartbeat=2`;
        }
        const workers = await startWorkers([client, other], uri, channels);
        try {
          const before = client.attempts();
          cut([client], servers, true);
          await pause(seconds * 1000);
          // Each server that is known is tried every 10 s, and all of them are asked in turn every 5 s.
          const attempts = client.attempts() - before;
          assert.ok(attempts <= servers.length * (3 + seconds / 2.5), `${attempts} attempts`);
          const { length } = (await workers[0].report()).log;
          assert.ok(length <= servers.length * (3 + seconds / 5), `${length} entries`);
          cut([client], servers, false);
          await Promise.all(workers.map((worker) => worker.untilMore(20)));
          const reports = await outcome(workers);
          assert.deepEqual(reports.map(twiceOf), [[], []]);
          assert.deepEqual(reports[1]!.errors, {}); // the other client has noticed nothing
          assert.match(texts(reports[0]!), /was lost.*did not answer for \d s/);
        } finally {
          await dispose(workers);
        }
      },
    );
  }
}

/** Returns a channel of each primary. */
async function namesOf(cluster: PrivateCluster): Promise<string[]> {
  return await Promise.all(cluster.nodes.slice(0, 3).map((node) => cluster.nameOn(node)));
}

for (const isWithClient of [false, true]) {
  test(
    `redis cluster: a primary is cut off ${
      isWithClient ? "with one client" : "from the other nodes"
    }, and its replica is elected: no value is lost`,
    { skip: skipLong },
    async () => {
      await using network = await Network.open(8);
      const [near, far, ...servers] = network.hosts as [Host, Host, ...Host[]];
      const conf = ["cluster-node-timeout 2000", "appendfsync always"];
      await using cluster = await startRedisCluster({ replicas: 1, hosts: servers, conf });
      const [primary] = cluster.nodes as [typeof cluster.nodes[number]];
      const replica = await cluster.replicaOf(primary);
      const names = await namesOf(cluster);
      const workers = await startWorkers([far, near], `${cluster.uri}&heartbeat=2`, names);
      const [there, here] = workers;
      const cut = (areParted: boolean) =>
        isWithClient
          ? part([servers[0]!, near], [...servers.slice(1), far], areParted)
          : part([servers[0]!], servers.slice(1), areParted);
      try {
        const ofFirst = ({ confirmed }: WorkReport) =>
          confirmed.filter((value) => value.split(" ")[1] === names[0]).length;
        cut(true);
        const confirmed = ofFirst(await here.report());
        await cluster.untilPrimary(replica);
        await there.untilMore(20);
        await pause(15_000);
        if (isWithClient) {
          const report = await here.report();
          assert.ok(ofFirst(report) <= confirmed + 1); // which was on its way
          assert.match(texts(report), /the cluster serves no channels, because nodes are down/);
        } else {
          await here.untilMore(20);
          assert.match(texts(await here.report()), /knows only an earlier state of the cluster/);
        }
        assert.match(texts(await here.report()), /too few of its replicas confirmed it in time/);
        cut(false);
        await cluster.untilReplica(primary);
        await Promise.all(workers.map((worker) => worker.untilMore(20)));
        await outcome(workers);
        for (const host of [near, far]) assert.ok(host.attempts() <= 60, `${host.attempts()}`);
      } finally {
        await dispose(workers);
      }
    },
  );
}

/** The reason why a host cannot be slow here; false if it can. */
function noSlowness(): string | false {
  const begin = "ip link add dev a type veth peer name b && tc qdisc add dev a root tbf";
  const { status } = spawnSync("unshare", [
    "--net",
    "sh",
    "-c",
    `${begin} rate 64kbit burst 5kb latency 2s`,
  ]);
  return status !== 0 && "a slow network needs tc, and tbf in the kernel";
}

test(
  "redis: on a network of 64 kbit/s that loses packets all the time, nothing is lost, and connections last",
  { skip: skipLong || noSlowness() },
  async () => {
    await using network = await Network.open(4);
    const [at, other, near, far] = network.hosts as [Host, Host, Host, Host];
    await using pair = await Pair.start(at, other);
    const workers = await startWorkers([far, near], `${pair.uri}?heartbeat=5`);
    try {
      for (const host of [at, near]) host.slow(64);
      for (let i = 0; i < 40; i++) {
        part([near], [at]);
        await pause(100);
        part([near], [at], false);
        await pause(400);
      }
      await Promise.all(workers.map((worker) => worker.untilMore(5)));
      const reports = await outcome(workers);
      assert.deepEqual(reports.map(twiceOf), [[], []]);
      for (const host of [near, far]) assert.ok(host.attempts() <= 2, `${host.attempts()}`);
    } finally {
      await dispose(workers);
    }
  },
);
