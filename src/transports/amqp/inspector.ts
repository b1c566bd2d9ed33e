import { setTimeout as pause } from "node:timers/promises";
import { closeTimeout, within } from "../../shared/timeouts.ts";
import {
  type Finding,
  fine,
  type InspectionOptions,
  type Inspector,
  type ReportFinding,
  shownTime,
  splitAdvice,
  splitConnectAdvice,
} from "../inspection.ts";
import { AnnouncementQueue } from "./connection/announcement_queue.ts";
import type { TlsOptions } from "./connection/client.ts";
import { connectFailure, refusalOf, replyCode, wordsOf } from "./failure.ts";
import { InspectingClient, inTime, printable } from "./inspection/inspecting_client.ts";
import { reportLimits, reportNode, reportProperties } from "./inspection/node_reports.ts";
import { inspectPermissions } from "./inspection/permissions.ts";
import { Probes } from "./inspection/probes.ts";
import { inspectDefaultType, inspectQueue } from "./inspection/queue_inspection.ts";
import { type Endpoint, shownEndpoint } from "../remote/uri_text.ts";
import { type AmqpUri, leastChannels, parseAmqpUri } from "./uri.ts";

/** Examines RabbitMQ. */
export const inspector: Inspector = {
  permissions: (uri) => [`--allow-net=${parseAmqpUri(uri).endpoints.map(shownEndpoint).join(",")}`],

  async inspect(uri, options) {
    const { username, password, name, ...tls } = options.transport ?? {};
    const given = Object.entries({ username, password, name }).filter(([, value]) =>
      value !== undefined
    );
    const parsed = { ...parseAmqpUri(uri), ...Object.fromEntries(given) } as AmqpUri;
    let isExamined = false;
    const failed: Finding[] = [];
    const connecting = { ...options, report: (finding: Finding) => failed.push(finding) };
    for (const endpoint of parsed.endpoints) {
      // First, since a connection that has published while an alarm is in effect gets no answers any more.
      const alarm = isExamined ? undefined : await findAlarm(parsed, endpoint, tls, connecting);
      if (alarm === "unreachable") continue;
      const client = await connect(parsed, endpoint, tls, connecting);
      if (client === undefined) continue;
      try {
        reportNode(client, parsed, endpoint, options.report);
        if (alarm !== undefined) await examine(client, parsed, endpoint, alarm, options);
      } finally {
        await close(client, options.timeout);
      }
      isExamined = true;
    }
    for (const finding of failed) {
      // A process tries the nodes in turn, so it works without this one.
      const isLesser = isExamined && finding.level === "problem";
      options.report(isLesser ? { ...finding, level: "warning" } : finding);
    }
  },
};

/** Connects to a node. Returns undefined if that fails, which is reported. */
async function connect(
  uri: AmqpUri,
  endpoint: Endpoint,
  tls: TlsOptions,
  { timeout, signal, report }: InspectionOptions,
): Promise<InspectingClient | undefined> {
  let client: InspectingClient | undefined;
  try {
    client = new InspectingClient(uri, endpoint, tls);
    await inTime(timeout, signal, client, client.connect());
    return client;
  } catch (error) {
    client?.destroy();
    signal.throwIfAborted();
    reportProperties(client, endpoint, report);
    const { message, reason } = connectFailure(error, uri, endpoint);
    const words = wordsOf(error);
    const advice = message.slice(`cannot connect to ${uri.address}: `.length);
    const isKnown = advice.endsWith(` (${words})`);
    const [, hint = "check the host and the port of the URI, and see the broker's log"] =
      /; (try .*)$/.exec(words) ?? [];
    const { what, cure } = splitConnectAdvice(
      isKnown ? advice.slice(0, -` (${words})`.length) : printable(advice),
      hint,
    );
    report({
      level: "problem",
      about: "connection",
      what: `cannot connect to ${shownEndpoint(endpoint)}: ${what}${
        isKnown ? ` (${printable(words)})` : ""
      }`,
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

/** Examines what a connection may do, and the channel. */
async function examine(
  client: InspectingClient,
  uri: AmqpUri,
  endpoint: Endpoint,
  alarm: Alarm,
  options: InspectionOptions,
): Promise<void> {
  const { timeout, signal, report, name } = options;
  const probes = new Probes(client, timeout, signal, alarm.reason !== undefined);
  try {
    reportAlarm(alarm, report);
    reportLimits(client, uri, report);
    await inspectRoundTrip(client, probes, report);
    if (!await inspectOwnQueue(client, probes, uri, options)) return;
    await inspectPermissions(probes, uri, options);
    if (name !== undefined) await inspectQueue(probes, name, options);
    await inspectDefaultType(probes, options);
  } catch (error) {
    signal.throwIfAborted();
    const { advice } = refusalOf(error);
    const { what, cure } = splitAdvice(advice ?? "", "see the broker's log");
    report({
      level: "problem",
      about: "connection",
      what: `${shownEndpoint(endpoint)} did not answer the next question: ` +
        `${what === "" ? "" : `${what}: `}${printable(wordsOf(error))}`,
      cure,
    });
  }
}

/** Measures round trips on an open AMQP channel. */
async function inspectRoundTrip(
  client: InspectingClient,
  probes: Probes,
  report: ReportFinding,
): Promise<void> {
  const times = await probes.with(async (channel) => {
    const measured: number[] = [];
    for (let i = 0; i < 7; i++) {
      const begun = performance.now();
      const asked = channel.basicQos(1);
      client.flush(); // otherwise it leaves at the end of the turn
      await asked;
      measured.push(performance.now() - begun);
    }
    return measured.sort((a, b) => a - b);
  });
  const [shortest, median, longest] = [times[0]!, times[3]!, times[6]!];
  const what = `a round trip takes ${shownTime(median)} (${shownTime(shortest)} to ` +
    `${shownTime(longest)}, of 7)`;
  const facts = { shortest, median, longest };
  if (median < 100) report(fine("round-trip", what, facts));
  else {
    report({
      level: "note",
      about: "round-trip",
      what:
        `${what}: a handle with maxAttempts, and a channel with a capacity, makes one for each get`,
      cure: "run several gets at a time, or move the program nearer to the broker",
      facts,
    });
  }
}

/** Milliseconds after which RabbitMQ counts an AMQP channel for a limit of its user. */
const countTime = 150;

/** Opens what every connection of the library has. Returns false if the broker refuses it, which is reported. */
async function inspectOwnQueue(
  client: InspectingClient,
  probes: Probes,
  uri: AmqpUri,
  { timeout, signal, report }: InspectionOptions,
): Promise<boolean> {
  const open = async () => {
    const channels = await Promise.all(
      Array.from({ length: leastChannels - 1 }, () => client.channel()),
    );
    await pause(countTime); // so that the broker counts them
    const own = await client.channel();
    const { queue } = await AnnouncementQueue.open(own, "channelts-doctor.");
    await Promise.all(channels.map((channel) => channel.close()));
    return queue;
  };
  try {
    probes.ownQueue = await inTime(timeout, signal, client, open());
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (replyCode(error) === undefined) throw error;
    const { advice, reason } = refusalOf(error);
    const { what, cure } = splitAdvice(advice ?? printable(wordsOf(error)), "see the broker's log");
    report({
      level: "problem",
      about: reason === "permission" || reason === "limit" ? reason : "connection",
      what: `no program can use channels with this user: ${what}`,
      cure,
      facts: { user: uri.username, vhost: uri.vhost, ...reason === undefined ? {} : { reason } },
    });
    return false;
  }
}

/** Whether the broker accepts messages. */
interface Alarm {
  /** Why it accepts none. */
  readonly reason?: string;
  /** Why that is not known. */
  readonly unknown?: string;
}

/**
 * Finds out whether the broker accepts messages. RabbitMQ tells a connection of an alarm when that publishes, and then
 * reads no more from it. So this has a connection of its own, whose short heartbeat ends it soon at the broker, too.
 *
 * @returns `unreachable` if no connection can be made, which is reported
 */
async function findAlarm(
  uri: AmqpUri,
  endpoint: Endpoint,
  tls: TlsOptions,
  options: InspectionOptions,
): Promise<Alarm | "unreachable"> {
  const { timeout, signal } = options;
  const client = await connect({ ...uri, heartbeat: 5 }, endpoint, tls, options);
  if (client === undefined) return "unreachable";
  try {
    const blocked = new Promise<string>((resolve) => client.onblocked = resolve);
    const probes = new Probes(client, timeout, signal);
    const accepted = probes.publish("")
      // Another question shows that the broker reads on.
      .then(() => probes.with(() => Promise.resolve())).then(() => undefined);
    accepted.catch(() => {}); // if it is blocked, nobody answers
    const reason = await Promise.race([blocked, accepted]);
    return reason === undefined ? {} : { reason: printable(reason) };
  } catch (error) {
    signal.throwIfAborted();
    return { unknown: printable(wordsOf(error)) };
  } finally {
    if (client.blocked === undefined) await close(client, timeout);
    else client.destroy();
  }
}

function reportAlarm({ reason, unknown }: Alarm, report: ReportFinding): void {
  if (unknown !== undefined) {
    report({
      level: "warning",
      about: "alarm",
      what: `it is not known whether the broker accepts messages: ${unknown}`,
      cure: "see rabbitmq-diagnostics alarms",
    });
  } else if (reason === undefined) {
    report(fine("alarm", "the broker accepts messages: no alarm is in effect", { blocked: false }));
  } else {
    report({
      level: "problem",
      about: "alarm",
      what: `the broker accepts no messages: ${reason}; puts wait, and gets continue`,
      cure:
        "see rabbitmq-diagnostics alarms; let consumers empty the channels, or give the broker more memory " +
        "or disk",
      facts: { blocked: true, reason },
    });
  }
}

/** Closes a connection, within a bounded time. */
async function close(client: InspectingClient, timeout: number): Promise<void> {
  const { socket } = client;
  if (!client.closed && socket !== undefined && !socket.destroyed) {
    const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const closed = client.close().catch(() => {}); // it never settles if the socket ends first
    await within(Math.min(timeout, closeTimeout), Promise.race([closed, ended]));
  }
  client.destroy();
}
