// What a connection and its server say of themselves.

import { fine, type ReportFinding, shownSize, splitAdvice } from "../../inspection.ts";
import type { RedisSession } from "../connection/session.ts";
import { type Endpoint, shownEndpoint } from "../../remote/uri_text.ts";
import type { RedisUri } from "../uri.ts";
import { printable } from "./server_text.ts";

export function reportConnection(
  uri: RedisUri,
  endpoint: Endpoint,
  report: ReportFinding,
): void {
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
export function reportServer({ state }: RedisSession, report: ReportFinding): void {
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

function reportVersion(info: ReadonlyMap<string, string>, report: ReportFinding): void {
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

function reportPersistence(info: ReadonlyMap<string, string>, report: ReportFinding): void {
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

function reportMemory(info: ReadonlyMap<string, string>, report: ReportFinding): void {
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
