import { ChannelConnectionError } from "../../../shared/errors.ts";
import { type Finding, type InspectionOptions, splitConnectAdvice } from "../../inspection.ts";
import { ProcessRef } from "../../remote/process_ref.ts";
import { RedisSession } from "../connection/session.ts";
import { type Endpoint, shownEndpoint } from "../../remote/uri_text.ts";
import type { RedisUri } from "../uri.ts";
import { printable } from "./server_text.ts";

/** Connects as a program does. Returns undefined if that fails, which is noted in `failed`. */
export async function connect(
  uri: RedisUri,
  endpoint: Endpoint,
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
    const { what, cure } = splitConnectAdvice(
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
