import {
  closedChannel,
  fine,
  type InspectionOptions,
  missingChannel,
  type ReportFinding,
  shownTime,
  splitAdvice,
  waitingDeadLetters,
} from "../../inspection.ts";
import { keyOf } from "../channel_key.ts";
import type { RedisSession } from "../connection/session.ts";
import { isMissing, refusedBy } from "../failure.ts";
import type { RedisUri } from "../uri.ts";
import { printable } from "./server_text.ts";

/** Returns the connection to the server that has a key; undefined if that is of no use. */
type SessionOfKey = (key: string) => RedisSession | undefined;

/** Examines whether scripts may run, how long a round trip takes, and the channel. */
export async function inspectUse(
  at: SessionOfKey,
  uri: RedisUri,
  { name, signal, report }: InspectionOptions,
): Promise<void> {
  const session = at(keyOf(name ?? absent));
  if (session === undefined) return; // what is wrong with the node was reported
  try {
    if (!await mayRun(at, report)) return;
    await inspectRoundTrip(session, report);
    if (name !== undefined) await inspectChannel(at, name, report);
  } catch (error) {
    signal.throwIfAborted();
    const { message } = session.isLost
      ? session.lossError
      : refusedBy("inspect", uri.address, error);
    report({
      level: "problem",
      about: "connection",
      ...splitAdvice(printable(message), "see the server's log"),
    });
  }
}

/** A name of a channel that nobody has. */
const absent = "channelts.doctor.absent";

/** Runs a script for a channel that does not exist, which says only that. */
async function mayRun(at: SessionOfKey, report: ReportFinding): Promise<boolean> {
  const key = keyOf(absent);
  const session = at(key);
  if (session === undefined) return true;
  try {
    await session.run("depth", key, ["doctor/0", "*"]);
  } catch (error) {
    if (isMissing(error)) {
      report(fine("permission", "the user may run the scripts of channels"));
      return true;
    }
    if (!/^NOPERM/.test((error as Error).message)) throw error;
    report({
      level: "problem",
      about: "permission",
      what: `the user may not run the scripts of channels (${printable((error as Error).message)})`,
      cure: "give the user the permissions of the page on Redis: ~channelts:* &channelts:*",
    });
    return false;
  }
  return true;
}

async function inspectRoundTrip(session: RedisSession, report: ReportFinding): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < 7; i++) {
    const begun = performance.now();
    await session.ping();
    times.push(performance.now() - begun);
  }
  times.sort((a, b) => a - b);
  const [shortest, median, longest] = [times[0]!, times[3]!, times[6]!];
  const what = `a round trip takes ${shownTime(median)} (${shownTime(shortest)} to ` +
    `${shownTime(longest)}, of 7)`;
  const facts = { shortest, median, longest };
  if (median < 100) return report(fine("round-trip", what, facts));
  report({
    level: "note",
    about: "round-trip",
    what,
    cure: "run several operations at a time, or move the program nearer to the server",
    facts,
  });
}

/** Reads what there is of a channel, without a script: these give back what dead processes held. */
async function inspectChannel(
  at: SessionOfKey,
  name: string,
  report: ReportFinding,
): Promise<void> {
  const key = keyOf(name);
  const session = at(key)!;
  const [[epoch, capacity, closed], ...counts] = await Promise.all([
    session.command(["HMGET", `${key}:meta`, "epoch", "capacity", "closed"]),
    session.command(["ZCARD", `${key}:ready`]),
    session.command(["ZCARD", `${key}:loans`]),
    session.command(["ZCARD", `${key}:delayed`]),
    session.command(["ZCARD", `${key}:takers`]),
    session.command(["HLEN", `${key}:links`]),
  ]);
  if (epoch === null || epoch === undefined) {
    report(missingChannel(printable(name)));
    return;
  }
  const [waiting, loans, delayed, claims, handles] = counts.map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const isClosed = closed !== null && closed !== undefined;
  report({
    level: "ok",
    about: "channel",
    what:
      `the channel ${
        printable(name)
      } has ${waiting} waiting values, ${loans} on loan and ${delayed} delayed; ` +
      `${handles} processes are attached, and ${claims} gets wait${
        capacity === null || capacity === undefined ? "" : `; its capacity is ${capacity}`
      }`,
    facts: {
      exists: true,
      waiting,
      loans,
      delayed,
      claims,
      attached: handles,
      ...capacity === null || capacity === undefined ? {} : { capacity: Number(capacity) },
    },
  });
  if (isClosed) report(closedChannel(printable(name)));
  const deadKey = keyOf(`${name}.dead-letters`);
  const dead = Number(await at(deadKey)?.command(["ZCARD", `${deadKey}:ready`]) ?? 0);
  if (dead > 0) report(waitingDeadLetters(printable(name), dead));
}
