// Hosts for tests: network namespaces of Linux, joined by a switch that is a namespace of its own, so that the network of
// the machine is not touched. A namespace is held by a process that ends with the test, however that ends, and with it
// ends the namespace.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";

/** The reason why there can be no namespaces here; false if there can be some. */
export function noNamespaces(): string | false {
  const ran = spawnSync("unshare", ["--net", "sh", "-c", "ip link set lo up && nsenter --version"]);
  return ran.status !== 0 && "network namespaces need root on Linux, ip, unshare and nsenter";
}

/** A host of a {@linkcode Network}. */
export interface Host {
  /** Its IPv4 address, which the other hosts reach. */
  readonly address: string;
  /** Returns a command that runs another one on this host. */
  on(command: readonly string[]): string[];
  /** Takes the host's cable out, or puts it back. */
  connect(isConnected: boolean): void;
  /** Lets packets of this host to another one vanish on the way, or arrive again. Those of the other direction arrive. */
  reach(other: Pick<Host, "address">, isReached: boolean): void;
  /** Gives the host a further address, and a way to those that begin with the same three numbers. */
  addAddress(address: string): void;
  /** Returns how many TCP connections this host has tried to open. */
  attempts(): number;
  /** Lets no more than so many kilobits in a second leave the host. */
  slow(kilobits: number): void;
}

/** Lets packets between the hosts of two groups vanish, in both directions, or arrive again. */
export function part(some: readonly Host[], others: readonly Host[], areParted = true): void {
  for (const one of some) {
    for (const other of others) {
      one.reach(other, !areParted);
      other.reach(one, !areParted);
    }
  }
}

/** Some hosts on one switch. Disposal removes them; programs that still run there are cut off. */
export class Network implements AsyncDisposable {
  readonly hosts: readonly Host[];
  readonly #holders: readonly ChildProcess[];

  private constructor(hosts: readonly Host[], holders: readonly ChildProcess[]) {
    this.hosts = hosts;
    this.#holders = holders;
  }

  static async open(count: number): Promise<Network> {
    const holders: ChildProcess[] = [];
    const network = new Network(
      Array.from({ length: count }, (_, i) => ({
        address: `10.77.0.${i + 1}`,
        on: (command) => [...inside(holders[i + 1]!), ...command],
        connect: (isConnected) =>
          run([
            ...inside(holders[0]!),
            "ip",
            "link",
            "set",
            `port${i}`,
            isConnected ? "up" : "down",
          ]),
        // The packets go to a hardware address that nobody has: nothing is refused, and no route changes.
        reach: ({ address }, isReached) =>
          run([
            ...inside(holders[i + 1]!),
            ...["ip", "neigh", isReached ? "del" : "replace", address, "dev", "eth0"],
            ...isReached ? [] : ["lladdr", "02:00:00:00:ff:ff", "nud", "permanent"],
          ]),
        addAddress: (address) =>
          run([...inside(holders[i + 1]!), "ip", "addr", "add", `${address}/24`, "dev", "eth0"]),
        attempts: () => {
          const [names, values] = output([...inside(holders[i + 1]!), "cat", "/proc/net/snmp"])
            .match(/^Tcp:.*$/gm)!.map((line) => line.split(" "));
          return Number(values![names!.indexOf("ActiveOpens")]);
        },
        slow: (kilobits) =>
          run([
            ...inside(holders[i + 1]!),
            ...["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", `${kilobits}kbit`],
            ...["burst", "5kb", "latency", "2s"],
          ]),
      })),
      holders,
    );
    try {
      const sw = await held(holders);
      run([...inside(sw), "ip", "link", "add", "switch", "type", "bridge"]);
      run([...inside(sw), "ip", "link", "set", "switch", "up"]);
      for (const [i, { address, connect }] of network.hosts.entries()) {
        const host = await held(holders);
        const ends = ["add", `port${i}`, "type", "veth", "peer", "name", "eth0"];
        run([...inside(sw), "ip", "link", ...ends, "netns", `${host.pid}`]);
        run([...inside(sw), "ip", "link", "set", `port${i}`, "master", "switch"]);
        connect(true);
        run([...inside(host), "ip", "addr", "add", `${address}/24`, "dev", "eth0"]);
        for (const link of ["lo", "eth0"]) run([...inside(host), "ip", "link", "set", link, "up"]);
      }
      return network;
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#holders.map(async (holder) => {
      if (holder.exitCode !== null || holder.signalCode !== null) return;
      const exited = once(holder, "exit");
      holder.stdin!.end();
      await exited;
    }));
  }
}

/** Starts a process that holds a new namespace until its input ends. */
async function held(holders: ChildProcess[]): Promise<ChildProcess> {
  const command = ["--net", "sh", "-c", "echo ready; exec cat"];
  const holder = spawn("unshare", command, { stdio: ["pipe", "pipe", "inherit"] });
  holders.push(holder);
  await once(holder.stdout!, "data"); // from here on the process is in its namespace
  return holder;
}

function inside({ pid }: ChildProcess): string[] {
  return ["nsenter", "--target", `${pid}`, "--net"];
}

function run(command: readonly string[]): void {
  output(command);
}

function output([executable, ...args]: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(executable!, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
  return stdout;
}
