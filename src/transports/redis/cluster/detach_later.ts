import { backOff } from "../../../shared/backoff.ts";
import { RuntimeTimer } from "../../remote/runtime_timer.ts";
import type { LeftBehind } from "../connection/link_session.ts";
import type { RedisSession } from "../connection/session.ts";
import { endsSession, isElsewhere } from "../failure.ts";

/** The cluster of the channel. */
export interface DetachOwner {
  /** Aborted when no link is open any more. */
  readonly signal: AbortSignal;
  /** Returns the connection to the node that has a slot; undefined if there is none now. */
  sessionOf(slot: number): RedisSession | undefined;
  prepare(session: RedisSession): Promise<void>;
  look(): Promise<void>;
  /** Tells the logger. */
  warn(problem: string): void;
}

/**
 * Detaches a closed link whose slot was moving as it closed: the nodes would take it for alive, and lend what it has left to nobody
 * while its process lives. Tries until it is done or refused for good, or until no link is open: then the connections end, and all
 * returns by itself.
 */
export async function detachLater(
  cluster: DetachOwner,
  slot: number,
  key: string,
  left: LeftBehind,
): Promise<void> {
  for (let failures = 0; !cluster.signal.aborted; failures++) {
    const session = cluster.sessionOf(slot);
    try {
      if (session !== undefined) return await detach(cluster, session, key, left);
    } catch (error) {
      if (!isElsewhere(error) && !endsSession(error)) {
        return cluster.warn(
          `${session!.address} did not detach a closed channel: ${(error as Error).message}; ` +
            "its values on loan return when this process ends",
        );
      }
    }
    await idle(backOff(failures, shortest, longest), cluster.signal);
    if (cluster.signal.aborted) return;
    await cluster.look().catch(() => {}); // it is tried again
  }
}

async function detach(
  cluster: DetachOwner,
  session: RedisSession,
  key: string,
  { holders, accepted, released }: LeftBehind,
): Promise<void> {
  if (!session.isPrepared) await cluster.prepare(session);
  for (const holder of holders) {
    for (let i = 0; i < accepted.length; i += most) {
      await session.run("accept", key, [holder, "*", ...accepted.slice(i, i + most)]);
    }
    for (let i = 0; i < released.length; i += most) {
      await session.run("release", key, [holder, "*", ...released.slice(i, i + most).flat()]);
    }
    while (await session.run("detach", key, [holder, "*", "0"]) === hasLeft);
  }
}

/** Resolves after a time, or when the signal is aborted. Keeps no process alive. */
export function idle(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const over = () => {
      timer.stop();
      signal.removeEventListener("abort", over);
      resolve();
    };
    const timer = new RuntimeTimer(over, ms);
    timer.unref();
    signal.addEventListener("abort", over);
  });
}

/** The reply to a detachment that has given back a part of what the link held. */
const hasLeft = 2;

/** How many messages one script settles. */
const most = 200;

/** Milliseconds between two attempts. */
const shortest = 50;
const longest = 5000;
