import type { TLSSocket } from "node:tls";
import { fine, type ReportFinding, shownSize, splitAdvice } from "../../inspection.ts";
import { tooFewChannels } from "../failure.ts";
import { type Endpoint, shownEndpoint } from "../../remote/uri_text.ts";
import { type AmqpUri, leastChannels } from "../uri.ts";
import type { InspectingClient } from "./inspecting_client.ts";

/** Reports what a node says of itself. */
export function reportNode(
  client: InspectingClient,
  uri: AmqpUri,
  endpoint: Endpoint,
  report: ReportFinding,
): void {
  const { username, vhost, tls } = uri;
  const { host, port } = endpoint;
  report(fine(
    "connection",
    `connected to ${shownEndpoint(endpoint)} as user ${username}, vhost ${vhost}`,
    { host, port, user: username, vhost, tls },
  ));
  reportProperties(client, endpoint, report);
  reportEncryption(client, uri, endpoint, report);
}

/** Reports the product and the version of a broker, as far as it has answered. */
export function reportProperties(
  client: InspectingClient | undefined,
  endpoint: Endpoint,
  report: ReportFinding,
): void {
  if (client?.properties === undefined) return;
  const { product, version, platform, cluster, mechanisms } = client.properties;
  const facts = { product, version, platform, cluster, mechanisms };
  const what = `${product || "an unknown broker"} ${version}` +
    `${platform === "" ? "" : ` on ${platform}`}${cluster === "" ? "" : `, cluster ${cluster}`}`;
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (product !== "RabbitMQ") {
    report({
      level: "warning",
      about: "broker",
      what: `${shownEndpoint(endpoint)} is ${what}; ChannelTS is tested with RabbitMQ`,
      cure: "test your program with this broker, or use RabbitMQ 3.10 to 4.3",
      facts,
    });
  } else if (major < 3 || major === 3 && minor < 10) {
    report({
      level: "warning",
      about: "broker",
      what: `${what}; ChannelTS is tested with RabbitMQ 3.10 to 4.3`,
      cure: "update the broker",
      facts,
    });
  } else report(fine("broker", what, facts));
  if (mechanisms !== "" && !mechanisms.split(" ").includes("PLAIN")) {
    report({
      level: "problem",
      about: "login",
      what: `the broker does not accept the login PLAIN, only ${mechanisms}`,
      cure: "add PLAIN to auth_mechanisms of the broker",
    });
  }
}

function reportEncryption(
  client: InspectingClient,
  { tls }: AmqpUri,
  { host }: Endpoint,
  report: ReportFinding,
): void {
  if (!tls) {
    if (/^(localhost|127\.|::1$)/.test(host)) return;
    report({
      level: "warning",
      about: "tls",
      what:
        "the connection is not encrypted: the password and all values can be read on the network",
      cure: "use amqps:, or a network that you trust",
    });
    return;
  }
  const socket = client.socket as Partial<TLSSocket> | undefined;
  const protocol = socket?.getProtocol?.() ?? undefined;
  const until = socket?.getPeerCertificate?.()?.valid_to;
  const days = until === undefined
    ? NaN
    : Math.floor((Date.parse(until) - Date.now()) / 86_400_000);
  const facts = {
    ...protocol === undefined ? {} : { protocol },
    ...Number.isNaN(days) ? {} : { validUntil: until!, days },
  };
  const what = `the connection is encrypted${protocol === undefined ? "" : ` (${protocol})`}`;
  if (days < 30) {
    report({
      level: "warning",
      about: "tls",
      what: `${what}, and the broker's certificate ends in ${days} days`,
      cure: "renew the certificate of the broker",
      facts,
    });
  } else {
    const end = Number.isNaN(days) ? "" : `; the broker's certificate is valid for ${days} days`;
    report(fine("tls", what + end, facts));
  }
}

/** Reports what was agreed on when the connection was opened. */
export function reportLimits(client: InspectingClient, uri: AmqpUri, report: ReportFinding): void {
  const { heartbeat, channelMax, largestFrame } = client;
  if (heartbeat === 0) {
    report({
      level: "warning",
      about: "heartbeat",
      what: "there is no heartbeat: a host that is lost is noticed late or never",
      cure:
        (uri.heartbeat === 0 ? "leave out heartbeat=0 of the URI" : "set the broker's heartbeat") +
        ", unless a proxy forbids it",
      facts: { seconds: 0 },
    });
  } else {
    report(fine(
      "heartbeat",
      `the heartbeat is ${heartbeat} s: a host that is lost is noticed after ${2 * heartbeat} s`,
      { seconds: heartbeat },
    ));
  }
  report(fine("frame", `a frame has at most ${shownSize(largestFrame)} (frame_max)`, {
    bytes: largestFrame,
  }));
  if (channelMax > 0 && channelMax < leastChannels) {
    report({
      level: "problem",
      about: "channel-max",
      ...splitAdvice(tooFewChannels(channelMax, uri).message, ""),
      facts: { channels: channelMax },
    });
  } else {
    const most = channelMax === 0 ? "any number of" : channelMax;
    report(fine("channel-max", `the connection may have ${most} AMQP channels (channel_max)`, {
      channels: channelMax,
    }));
  }
  const version = client.properties?.version ?? "";
  const major = Number(version.split(".")[0]);
  if (client.properties?.product !== "RabbitMQ" || !(major >= 3)) return;
  const bytes = major < 4 ? 128 * 1024 * 1024 : 16 * 1024 * 1024;
  report({
    level: "note",
    about: "message-size",
    what:
      `a message has at most ${
        shownSize(bytes)
      }, unless max_message_size is set: the broker does not tell ` +
      "its limit",
    facts: { defaultBytes: bytes },
  });
}
