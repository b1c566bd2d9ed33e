import type { Finding, Inspector } from "../inspection.ts";
import { inspectUse } from "./inspection/channel_inspection.ts";
import { inspectCluster } from "./inspection/cluster_inspection.ts";
import { connect } from "./inspection/inspecting_session.ts";
import { reportConnection, reportServer } from "./inspection/server_findings.ts";
import { shownEndpoint } from "../remote/uri_text.ts";
import { parseRedisUri, type RedisUri } from "./uri.ts";

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
