import {
  type Finding,
  fine,
  type InspectionOptions,
  type ReportFinding,
  splitAdvice,
} from "../../inspection.ts";
import { type ClusterTopology, topologyOf } from "../cluster/cluster_topology.ts";
import { slotOf, slots } from "../cluster/slot.ts";
import type { RedisSession } from "../connection/session.ts";
import { type Endpoint, shownEndpoint } from "../../remote/uri_text.ts";
import type { RedisUri } from "../uri.ts";
import { inspectUse } from "./channel_inspection.ts";
import { connect } from "./inspecting_session.ts";
import { reportConnection, reportServer } from "./server_findings.ts";
import { printable } from "./server_text.ts";

/** Examines each node, and the channel on that which has its slot. */
export async function inspectCluster(
  uri: RedisUri,
  tls: object,
  options: InspectionOptions,
): Promise<void> {
  const { report } = options;
  const failed: Finding[] = [];
  const sessions = new Map<string, RedisSession>();
  const join = async (endpoint: Endpoint) => {
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
  report: ReportFinding,
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

function reportSlots({ nodes, covered }: ClusterTopology, report: ReportFinding): void {
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
