import { ChannelConnectionError } from "../../../shared/errors.ts";
import type { RedisUri } from "../uri.ts";

/** Something about a server that may lose values, or hold them back. */
export interface Hazard {
  /** What it is about, in a word. */
  readonly about: "info" | "eviction" | "persistence" | "keepalive";
  /** A sentence, and, after a semicolon, what to do. */
  readonly problem: string;
}

/** What a server has told of itself. */
export interface ServerState {
  /** The number of its connected replicas. */
  readonly replicas: number;
  readonly hazards: readonly Hazard[];
  /** The reply of the command INFO; empty if the user may not run it. */
  readonly info: ReadonlyMap<string, string>;
  /** Seconds after which the server looks whether a silent client is there; undefined if it does not tell. */
  readonly keepalive: number | undefined;
  /** The bytes of the largest message that it delivers. */
  readonly largest: number;
}

/** Runs a command. */
export type RunCommand = (args: string[]) => Promise<unknown>;

/**
 * Reads from a server whether it may lose values. A server that drops keys when its memory is full is refused, unless the
 * URI allows it. A replica is refused, and a node of a cluster of several unless the URI says that it is one.
 *
 * @throws {ChannelConnectionError} if the server is of no use
 */
export async function checkServer(
  run: RunCommand,
  { address, isCluster, mayEvict }: RedisUri,
): Promise<ServerState> {
  const [text, config, limits] = await Promise.all([
    ifAllowed(run(["INFO"])),
    ifTold(run(["CONFIG", "GET", "tcp-keepalive"])),
    ifTold(run(["CONFIG", "GET", "client-output-buffer-limit"])),
  ]);
  const info = new Map(
    [...String(text ?? "").matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, key, value]) => [key!, value!]),
  );
  const value = valueOf(config);
  const keepalive = value === undefined ? undefined : Number(value);
  const refuse = (problem: string, isTransient: boolean) => {
    throw new ChannelConnectionError(`cannot connect to ${address}: ${problem}`, {
      address,
      transient: isTransient,
      reason: isTransient ? "unavailable" : "conflict",
    });
  };
  if (info.get("loading") === "1") refuse("the server is loading its data", true);
  if (isReplica(String(text ?? ""))) {
    refuse(
      isCluster
        ? "the node is a replica now, which takes no messages"
        : "the server is a replica, which takes no messages; list the primary in the URI",
      true,
    );
  }
  if (!isCluster && info.get("cluster_enabled") === "1") {
    const cluster = String(await ifAllowed(run(["CLUSTER", "INFO"])));
    const nodes = Number(/^cluster_size:(\d+)/m.exec(cluster)?.[1] ?? 1);
    if (nodes > 1) {
      refuse(
        `the server is one of ${nodes} nodes of a cluster; add ?cluster to the URI`,
        false,
      );
    }
  }
  const hazards: Hazard[] = [];
  if (text === undefined) {
    hazards.push({
      about: "info",
      problem:
        `${address} does not let this user run INFO, so it is not known whether the server keeps values ` +
        "after a restart, or drops them when its memory is full",
    });
  }
  const policy = info.get("maxmemory_policy");
  if (policy !== undefined && policy !== "noeviction" && info.get("maxmemory") !== "0") {
    const problem =
      `drops keys when its memory is full (maxmemory-policy ${policy}), and values with them`;
    if (!mayEvict) {
      refuse(
        `the server ${problem}; set maxmemory-policy to noeviction, or allow it with ?eviction=allow`,
        false,
      );
    }
    hazards.push({ about: "eviction", problem: `${address} ${problem}` });
  }
  if (info.get("aof_enabled") === "0") {
    hazards.push({
      about: "persistence",
      problem:
        `${address} writes no append-only file, so a restart loses the values since its last snapshot, or all; ` +
        "set appendonly to yes to keep them",
    });
  }
  if (keepalive === 0) {
    hazards.push({
      about: "keepalive",
      problem:
        `${address} does not notice that a host has vanished (tcp-keepalive 0), so what is on loan to it does not return; ` +
        "set tcp-keepalive to 60",
    });
  }
  const largest = largestOf(valueOf(limits));
  return { replicas: Number(info.get("connected_slaves") ?? 0), hazards, info, keepalive, largest };
}

/** Reports whether the reply of INFO is that of a replica. */
export function isReplica(info: string): boolean {
  return /^role:(?:slave|replica)\r?$/m.test(info);
}

/**
 * Returns the bytes of the largest message. A server closes a connection that subscribes if more than a limit waits for it,
 * 32 MiB by default: a message must be less, since several may wait.
 */
function largestOf(limits: unknown): number {
  const hard = Number(/\bpubsub (\d+)/.exec(String(limits))?.[1] ?? defaultOutputLimit);
  return hard === 0 ? largestString : Math.min(Math.floor(hard / 4), largestString);
}

/** Resolves with undefined if the user may not run the command, or if the server does not have it. */
async function ifAllowed(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (/^(?:NOPERM|ERR unknown)/.test((error as Error).message)) return undefined;
    throw error;
  }
}

/** Resolves with undefined on any refusal, for which services have words of their own. If the connection is lost, INFO says so. */
async function ifTold(answer: Promise<unknown>): Promise<unknown> {
  return await answer.catch(() => undefined);
}

/** Returns the value in the reply of `CONFIG GET` for one name: a map, or, by some proxies, a list. */
function valueOf(reply: unknown): unknown {
  return Array.isArray(reply) ? reply[1] : Object.values(reply ?? {})[0];
}

/** Bytes: `client-output-buffer-limit pubsub`, unless it is set. */
const defaultOutputLimit = 32 * 1024 * 1024;

/** Bytes: `proto-max-bulk-len`, unless it is set. */
const largestString = 512 * 1024 * 1024;
