import { ChannelConnectionError } from "../../shared/errors.ts";
import type { RedisUri } from "./uri.ts";

/** Who asks. */
interface CheckOptions {
  readonly uri: RedisUri;
  /** Reports something that may lose values. */
  warn(problem: string): void;
}

/** What a server has told of itself. */
export interface ServerState {
  /** The number of its connected replicas. */
  readonly replicas: number;
}

/**
 * Reads from a server whether it may lose values, and warns of it. A server that drops keys when its memory is full is
 * refused, unless the URI allows it. A replica is refused.
 *
 * @throws {ChannelConnectionError} if the server is of no use
 */
export async function checkServer(
  send: (args: string[]) => Promise<unknown>,
  { uri: { address, mayEvict }, warn }: CheckOptions,
): Promise<ServerState> {
  let text: string;
  try {
    text = String(await send(["INFO"]));
  } catch (error) {
    if (!/^(?:NOPERM|ERR unknown command)/.test((error as Error).message)) throw error;
    warn(
      `${address} does not let this user run INFO, so it is not known whether the server keeps values ` +
        "after a restart, or drops them when its memory is full",
    );
    return { replicas: 0 };
  }
  const info = new Map(
    [...text.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, key, value]) => [key!, value!]),
  );
  const refuse = (problem: string, isTransient: boolean) => {
    throw new ChannelConnectionError(`cannot connect to ${address}: ${problem}`, {
      address,
      transient: isTransient,
      reason: isTransient ? "unavailable" : "conflict",
    });
  };
  if (info.get("loading") === "1") refuse("the server is loading its data", true);
  if (/^(?:slave|replica)$/.test(info.get("role") ?? "")) {
    refuse("the server is a replica, which takes no messages; list the primary in the URI", true);
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
    warn(`${address} ${problem}`);
  }
  if (info.get("aof_enabled") === "0") {
    warn(
      `${address} writes no append-only file, so a restart loses the values since its last snapshot, or all; ` +
        "set appendonly to yes to keep them",
    );
  }
  return { replicas: Number(info.get("connected_slaves") ?? 0) };
}
