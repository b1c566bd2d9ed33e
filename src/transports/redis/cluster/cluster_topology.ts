import type { RedisSession } from "../connection/session.ts";
import { type Endpoint, shownEndpoint } from "../../remote/uri_text.ts";
import { slots } from "./slot.ts";

/** A node of a cluster, as another node describes it. */
export interface NodeFact extends Endpoint {
  /** What the cluster calls it. */
  readonly id: string;
  readonly isPrimary: boolean;
}

/** Who has which slot, as one node of a cluster has told. */
export class ClusterTopology {
  /** The nodes by what the cluster calls them; those that are known to be down may be absent. */
  readonly nodes: ReadonlyMap<string, NodeFact>;
  /**
   * The epoch that the node knows, which grows with each election: a node that is cut off from the others, and does not know that it
   * has lost its slots, knows an earlier one. Undefined if the node does not tell.
   */
  readonly epoch: number | undefined;
  readonly #ranges: readonly SlotRange[];

  private constructor(
    nodes: ReadonlyMap<string, NodeFact>,
    ranges: readonly SlotRange[],
    epoch: number | undefined,
  ) {
    this.nodes = nodes;
    this.epoch = epoch;
    this.#ranges = ranges;
  }

  /** Reads what a node has answered. */
  static of(answer: TopologyAnswer, asked: Endpoint, isTls: boolean): ClusterTopology {
    const nodes = new Map<string, NodeFact>();
    const ranges: SlotRange[] = [];
    const add = (host: unknown, port: unknown, id: unknown, isPrimary: boolean) => {
      const name = host === null || String(host) === "" ? asked.host : String(host).toLowerCase();
      const fact = { host: name, port: Number(port), id: String(id), isPrimary };
      if (!isHost.test(name) || !isPort(fact.port) || !/^[!-~]{1,80}$/.test(fact.id)) {
        return undefined;
      }
      if (!nodes.get(fact.id)?.isPrimary && nodes.size < mostNodes) nodes.set(fact.id, fact);
      return nodes.has(fact.id) ? fact.id : undefined;
    };
    for (const range of listOf(answer.slots)) {
      const [first, last, ...members] = listOf(range);
      members.forEach((member, i) => {
        const [host, port, id, more] = listOf(member);
        // A node without a name, in a cluster whose nodes are reached by their names, may be reached by its address.
        const named = String(host) === "?" ? fieldOf(more, "ip") ?? host : host;
        const known = add(named, port, id, i === 0);
        if (i > 0 || known === undefined || !isSlot(first) || !isSlot(last)) return;
        ranges.push({ first, last, id: known });
      });
    }
    const known = new Set(nodes.keys());
    for (const shard of listOf(answer.shards)) {
      for (const member of listOf(fieldOf(shard, "nodes"))) {
        const id = String(fieldOf(member, "id"));
        if (known.has(id) || String(fieldOf(member, "health")) === "fail") continue;
        const port = (isTls ? fieldOf(member, "tls-port") : undefined) ?? fieldOf(member, "port");
        const host = [fieldOf(member, "endpoint"), fieldOf(member, "ip")].find((each) =>
          each !== null && each !== undefined && String(each) !== "?"
        );
        add(host ?? "?", port, id, String(fieldOf(member, "role")) === "master");
      }
    }
    const epoch = /^cluster_current_epoch:(\d{1,15})\r?$/m.exec(String(answer.info))?.[1];
    return new ClusterTopology(nodes, ranges, epoch === undefined ? undefined : Number(epoch));
  }

  /** Returns the primary that has a slot; undefined if none has it. */
  primaryOf(slot: number): NodeFact | undefined {
    const range = this.#ranges.find(({ first, last }) => first <= slot && slot <= last);
    return range && this.nodes.get(range.id);
  }

  /** The number of slots that a primary has. */
  get covered(): number {
    return this.#ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  }

  /** Returns what is different from what was told before, for people; undefined if nothing is. */
  changesSince(before: ClusterTopology): string | undefined {
    const changes: string[] = [];
    for (const [id, fact] of this.nodes) {
      const old = before.nodes.get(id);
      const part = fact.isPrimary ? "primary" : "replica";
      if (old === undefined) changes.push(`${shownEndpoint(fact)} is a new ${part}`);
      else if (old.isPrimary !== fact.isPrimary) {
        changes.push(`${shownEndpoint(fact)} has become a ${part}`);
      }
    }
    for (const [id, fact] of before.nodes) {
      if (!this.nodes.has(id)) changes.push(`${shownEndpoint(fact)} is not among the nodes`);
    }
    let moved = 0;
    const isSame = JSON.stringify(this.#ranges) === JSON.stringify(before.#ranges);
    for (let slot = 0; slot < slots && !isSame; slot++) {
      if (this.primaryOf(slot)?.id !== before.primaryOf(slot)?.id) moved++;
    }
    if (moved > 0) changes.push(`${moved} slots have another node`);
    if (this.covered < slots && this.covered !== before.covered) {
      changes.push(`${slots - this.covered} slots have no node`);
    }
    return changes.length === 0 ? undefined : changes.join(", ");
  }
}

/** The replies of a node. What it does not tell, because the user may not ask it, is undefined. */
export interface TopologyAnswer {
  /** The reply of `CLUSTER SLOTS`. */
  readonly slots: unknown;
  /** The reply of `CLUSTER SHARDS`, which also has the nodes without slots. */
  readonly shards?: unknown;
  /** The reply of `CLUSTER INFO`. */
  readonly info?: unknown;
}

/** Asks a node. */
export async function topologyOf(session: RedisSession, isTls: boolean): Promise<ClusterTopology> {
  const ifTold = (answer: Promise<unknown>) => answer.catch(() => undefined); // not permitted, or not there
  const [slots, shards, info] = await Promise.all([
    session.command(["CLUSTER", "SLOTS"]),
    ifTold(session.command(["CLUSTER", "SHARDS"])),
    ifTold(session.command(["CLUSTER", "INFO"])),
  ]);
  return ClusterTopology.of({ slots, shards, info }, session.endpoint, isTls);
}

interface SlotRange {
  readonly first: number;
  readonly last: number;
  readonly id: string;
}

/** How many nodes a process knows. */
const mostNodes = 2000;

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
