import type { RedisSession } from "../connection/session.ts";
import { type RedisEndpoint, shownEndpoint } from "../uri.ts";
import { slots } from "./slot.ts";

/** A node of a cluster, as another node describes it. */
export interface NodeFact extends RedisEndpoint {
  /** What the cluster calls it. */
  readonly id: string;
  readonly isPrimary: boolean;
}

/** Who has which slot, as one node of a cluster has told. */
export class ClusterTopology {
  /** The nodes by their address; those that are known to be down may be absent. */
  readonly nodes: ReadonlyMap<string, NodeFact>;
  readonly #ranges: readonly SlotRange[];

  private constructor(nodes: ReadonlyMap<string, NodeFact>, ranges: readonly SlotRange[]) {
    this.nodes = nodes;
    this.#ranges = ranges;
  }

  /**
   * Reads what a node has answered.
   *
   * @param slots the reply of `CLUSTER SLOTS`
   * @param shards the reply of `CLUSTER SHARDS`, which also has the nodes without slots; undefined if the node does not tell
   * @param asked the address that was asked: a node may leave its own out
   */
  static of(
    slots: unknown,
    shards: unknown,
    asked: RedisEndpoint,
    isTls: boolean,
  ): ClusterTopology {
    const nodes = new Map<string, NodeFact>();
    const known = new Set<string>();
    const ranges: SlotRange[] = [];
    const add = (host: unknown, port: unknown, id: unknown, isPrimary: boolean) => {
      const name = host === null || String(host) === "" ? asked.host : String(host).toLowerCase();
      const fact = { host: name, port: Number(port), id: String(id), isPrimary };
      if (!isHost.test(name) || !isPort(fact.port) || !/^[!-~]{1,80}$/.test(fact.id)) {
        return undefined;
      }
      const address = shownEndpoint(fact);
      known.add(fact.id);
      if (!nodes.get(address)?.isPrimary) nodes.set(address, fact);
      return address;
    };
    for (const range of listOf(slots)) {
      const [first, last, ...members] = listOf(range);
      members.forEach((member, i) => {
        const [host, port, id] = listOf(member);
        const address = add(host, port, id, i === 0);
        if (i > 0 || address === undefined || !isSlot(first) || !isSlot(last)) return;
        ranges.push({ first, last, address });
      });
    }
    for (const shard of listOf(shards)) {
      for (const member of listOf(fieldOf(shard, "nodes"))) {
        const id = String(fieldOf(member, "id"));
        if (known.has(id) || String(fieldOf(member, "health")) === "fail") continue;
        const port = (isTls ? fieldOf(member, "tls-port") : undefined) ?? fieldOf(member, "port");
        const host = fieldOf(member, "endpoint") ?? fieldOf(member, "ip") ?? "?";
        add(host, port, id, String(fieldOf(member, "role")) === "master");
      }
    }
    return new ClusterTopology(nodes, ranges);
  }

  /** Returns the address of the primary that has a slot; undefined if none has it. */
  primaryOf(slot: number): string | undefined {
    return this.#ranges.find(({ first, last }) => first <= slot && slot <= last)?.address;
  }

  /** The number of slots that a primary has. */
  get covered(): number {
    return this.#ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  }
}

/** Asks a node. */
export async function topologyOf(session: RedisSession, isTls: boolean): Promise<ClusterTopology> {
  const [slots, shards] = await Promise.all([
    session.command(["CLUSTER", "SLOTS"]),
    session.command(["CLUSTER", "SHARDS"]).catch(() => undefined), // not permitted, or not there
  ]);
  return ClusterTopology.of(slots, shards, session.endpoint, isTls);
}

interface SlotRange {
  readonly first: number;
  readonly last: number;
  readonly address: string;
}

const isHost = /^[\w.:-]+$/;

function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port < 65_536;
}

function isSlot(value: unknown): value is number {
  return Number.isInteger(value) && value as number >= 0 && value as number < slots;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Returns a field of a map, which is an object, a list of keys and values, or a list of pairs. */
function fieldOf(map: unknown, name: string): unknown {
  if (!Array.isArray(map)) return (map as Record<string, unknown> | null)?.[name];
  for (let i = 0; i + 1 < map.length; i += 2) if (String(map[i]) === name) return map[i + 1];
  return undefined;
}
