import { ChannelConnectionError } from "../../shared/errors.ts";
import {
  type Finding,
  fine,
  type InspectionOptions,
  type Inspector,
  shownSize,
  shownTime,
  splitAdvice,
} from "../inspection.ts";
import { ProcessRef } from "../remote/process_ref.ts";
import { keyOf } from "./channel_key.ts";
import { type ClusterTopology, topologyOf } from "./cluster/cluster_topology.ts";
import { slotOf, slots } from "./cluster/slot.ts";
import { isMissing, refusedBy } from "./failure.ts";
import { RedisSession } from "./connection/session.ts";
import { parseRedisUri, type RedisEndpoint, type RedisUri, shownEndpoint } from "./uri.ts";

type Report = InspectionOptions["report"];

/** Returns the connection to the server that has a key; undefined if that is of no use. */
type SessionOfKey = (key: string) => RedisSession | undefined;

/** Examines Redis and Valkey. */
export const inspector: Inspector = {
  permissions: (uri) => [
    `--allow-net=${parseRedisUri(uri).endpoints.map(shownEndpoint).join(",")}`,
  ],

  async inspect(text, options) {
    const { username, password, name, ...tls } = options.transport ?? {};
    const given = Object.entries({ username, password, name }).filter(([, value]) =>
      value !== undefined
    );
    const uri: RedisUri = { ...parseRedisUri(text), ...Object.fromEntries(given) };
    if (uri.isCluster) return await inspectCluster(uri, tls, options);
    const failed: Finding[] = [];
    let isExamined = false;
    for (const endpoint of uri.endpoints) {
      const session = await connect(uri, endpoint, tls, options, failed);
      if (session === undefined) continue;
      try {
        reportConnection(uri, endpoint, options.report);
        reportServer(session, options.report);
        await inspectUse(() => session, uri, options);
      } finally {
        await session.close();
      }
      isExamined = true;
    }
    for (const finding of failed) {
      // A process tries the servers in turn, so it works without this one.
      options.report(isExamined ? { ...finding, level: "note" } : finding);
    }
  },
};

/** Examines each node, and the channel on that which has its slot. */
async function inspectCluster(
  uri: RedisUri,
  tls: object,
  options: InspectionOptions,
): Promise<void> {
  const { report } = options;
  const failed: Finding[] = [];
  const sessions = new Map<string, RedisSession>();
  const join = async (endpoint: RedisEndpoint) => {
    const session = await connect(uri, endpoint, tls, options, failed);
    if (session !== undefined) sessions.set(shownEndpoint(endpoint), session);
    return session;
  };
  try {
    let topology: ClusterTopology | undefined;
    for (const endpoint of uri.endpoints) {
      const session = await join(endpoint);
      if (session !== undefined) topology ??= await topologyOf(session, uri.tls);
    }
    const level = topology === undefined ? "problem" : "note"; // a process needs one of those in the URI
    for (const finding of failed.splice(0)) report({ ...finding, level });
    if (topology === undefined) return;
    for (const fact of topology.nodes.values()) {
      const address = shownEndpoint(fact);
      const session = sessions.get(address) ?? await join(fact);
      if (session === undefined) continue;
      reportConnection(uri, fact, report);
      if (fact.isPrimary) await inspectPrimary(session, address, failed, report);
    }
    for (const finding of failed) report(finding);
    reportSlots(topology, report);
    const at = (key: string) => {
      const fact = topology.primaryOf(slotOf(key));
      const session = fact && sessions.get(shownEndpoint(fact));
      return session?.isPrepared ? session : undefined;
    };
    await inspectUse(at, uri, options);
  } finally {
    for (const session of sessions.values()) await session.close();
  }
}

async function inspectPrimary(
  session: RedisSession,
  address: string,
  failed: Finding[],
  report: Report,
): Promise<void> {
  try {
    await session.prepare();
  } catch (error) {
    const { what, cure } = splitAdvice(
      printable((error as Error).message),
      "see the node's log",
    );
    failed.push({ level: "problem", about: "connection", what: `${address}: ${what}`, cure });
    return;
  }
  reportServer(session, (finding) => report({ ...finding, what: `${address}: ${finding.what}` }));
}

function reportSlots({ nodes, covered }: ClusterTopology, report: Report): void {
  const primaries = [...nodes.values()].filter(({ isPrimary }) => isPrimary).length;
  const facts = { primaries, replicas: nodes.size - primaries, slots: covered };
  const what = `the cluster has ${primaries} primaries and ${facts.replicas} replicas`;
  if (covered === slots) return report(fine("cluster", `${what}, which serve all slots`, facts));
  report({
    level: "problem",
    about: "cluster",
    what: `${what}, and ${
      slots - covered
    } of ${slots} slots have no node, so their channels cannot be used`,
    cure: "see redis-cli --cluster check; start the nodes that are down, or move their slots",
    facts,
  });
}

/** Connects as a program does. Returns undefined if that fails, which is noted in `failed`. */
async function connect(
  uri: RedisUri,
  endpoint: RedisEndpoint,
  tls: object,
  { timeout, signal }: InspectionOptions,
  failed: Finding[],
): Promise<RedisSession | undefined> {
  const processRef = new ProcessRef();
  processRef.ref();
  try {
    const member = uri.isCluster ? { ids: [], nextLink: () => 1 } : undefined;
    const options = { uri, tls, processRef, warn() {}, ...member && { member } };
    return await RedisSession.connect(options, endpoint, timeout, signal);
  } catch (error) {
    signal.throwIfAborted();
    const { message } = error as Error;
    const reason = error instanceof ChannelConnectionError ? error.reason : undefined;
    const advice = printable(message).replace(`cannot connect to ${uri.address}: `, "");
    const [, known = advice, words = ""] = /^(.*?)( \(.*\))$/.exec(advice) ?? [];
    const { what, cure } = splitAdvice(
      known,
      "check the host and the port of the URI, and see the server's log",
    );
    failed.push({
      level: "problem",
      about: "connection",
      what: `cannot connect to ${shownEndpoint(endpoint)}: ${what}${words}`,
      cure,
      facts: {
        host: endpoint.host,
        port: endpoint.port,
        ...reason === undefined ? {} : { reason },
      },
    });
    return undefined;
  }
}

function reportConnection(uri: RedisUri, endpoint: RedisEndpoint, report: Report): void {
  const { tls, database, username = "default" } = uri;
  const { host, port } = endpoint;
  report(fine(
    "connection",
    `connected to ${shownEndpoint(endpoint)} as user ${username}, database ${database}`,
    { host, port, user: username, database, tls },
  ));
  if (tls) return report(fine("tls", "the connection is encrypted"));
  if (/^(localhost|127\.|::1$)/.test(host)) return;
  report({
    level: "warning",
    about: "tls",
    what: "the connection is not encrypted: the password and all values can be read on the network",
    cure: "use rediss:, or a network that you trust",
  });
}

/** Reports what the server says of itself. */
function reportServer({ state }: RedisSession, report: Report): void {
  const { info, hazards, replicas, keepalive } = state;
  for (const { about, problem } of hazards) {
    report({ level: "warning", about, ...splitAdvice(problem, cures[about]) });
  }
  const has = (about: string) => hazards.some((hazard) => hazard.about === about);
  if (info.size > 0) {
    reportVersion(info, report);
    if (!has("persistence")) reportPersistence(info, report);
    if (!has("eviction")) reportMemory(info, report);
    const count = replicas === 1 ? "1 replica" : `${replicas} replicas`;
    report({
      level: replicas === 0 ? "note" : "ok",
      about: "replicas",
      what: replicas === 0
        ? `the server has no replica: durability "quorum" adds nothing`
        : `the server has ${count}: durability "quorum" waits for ${Math.ceil(replicas / 2)}`,
      facts: { replicas },
    });
  }
  report(fine("message-size", `a message has at most ${shownSize(state.largest)}`, {
    bytes: state.largest,
  }));
  if (keepalive !== undefined && keepalive > 0) {
    report(fine(
      "keepalive",
      `what is on loan to a host that vanishes returns after ${
        2 * keepalive
      } s, or after the time of the ` +
        "server's network stack for unanswered data (tcp-keepalive)",
      { seconds: keepalive },
    ));
  }
}

const cures = {
  info: "permit INFO to the user (+info)",
  eviction: "set maxmemory-policy to noeviction",
  persistence: "set appendonly to yes",
  keepalive: "set tcp-keepalive to 60",
} as const;

function reportVersion(info: ReadonlyMap<string, string>, report: Report): void {
  const valkey = info.get("valkey_version");
  const product = valkey === undefined ? "Redis" : "Valkey";
  const version = printable(valkey ?? info.get("redis_version") ?? "of an unknown version");
  const mode = printable(info.get("redis_mode") ?? info.get("server_mode") ?? "");
  report(fine("broker", `${product} ${version}${mode === "" ? "" : `, ${mode}`}`, {
    product,
    version,
    mode,
  }));
}

function reportPersistence(info: ReadonlyMap<string, string>, report: Report): void {
  const isFailing = (info.get("aof_last_write_status") ?? "ok") !== "ok";
  report(
    isFailing
      ? {
        level: "problem",
        about: "persistence",
        what: "the server could not write its append-only file, so it takes no messages",
        cure: "see the server's log; free space on its disk",
      }
      : fine("persistence", "the server writes an append-only file"),
  );
}

function reportMemory(info: ReadonlyMap<string, string>, report: Report): void {
  const [used, most] = ["used_memory", "maxmemory"].map((key) => Number(info.get(key) ?? NaN));
  if (used === undefined || most === undefined || Number.isNaN(used + most)) return;
  const facts = { used, most };
  if (most === 0) {
    return report({
      level: "note",
      about: "memory",
      what: `the server uses ${shownSize(used)}, and has no limit (maxmemory 0)`,
      facts,
    });
  }
  const what = `the server uses ${shownSize(used)} of ${shownSize(most)} (maxmemory)`;
  if (used < 0.8 * most) return report(fine("memory", what, facts));
  report({
    level: used < most ? "warning" : "problem",
    about: "memory",
    what: used < most ? what : `${what}: puts are refused`,
    cure: "let consumers empty the channels, or raise maxmemory",
    facts,
  });
}

/** Examines whether scripts may run, how long a round trip takes, and the channel. */
async function inspectUse(
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
async function mayRun(at: SessionOfKey, report: Report): Promise<boolean> {
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

async function inspectRoundTrip(session: RedisSession, report: Report): Promise<void> {
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
async function inspectChannel(at: SessionOfKey, name: string, report: Report): Promise<void> {
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
    report({
      level: "note",
      about: "channel",
      what: `the channel ${printable(name)} does not exist; its first use creates it`,
      facts: { exists: false },
    });
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
  if (isClosed) {
    report({
      level: "warning",
      about: "closed",
      what: `channel ${
        printable(name)
      } was closed by closeAll({ drain: true }), and takes no values`,
      cure: `delete it (channelts delete ${printable(name)}) to use the name again`,
    });
  }
  const deadKey = keyOf(`${name}.dead-letters`);
  const dead = Number(await at(deadKey)?.command(["ZCARD", `${deadKey}:ready`]) ?? 0);
  if (dead > 0) {
    report({
      level: "warning",
      about: "dead-letters",
      what: `${dead} dead ${dead === 1 ? "letter" : "letters"} of channel ${printable(name)} ` +
        `${dead === 1 ? "waits" : "wait"}`,
      cure: `see why with channelts dead-letters ${printable(name)} list, and retry or drop them`,
      facts: { messages: dead },
    });
  }
}

function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ");
}
