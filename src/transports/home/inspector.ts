import { ChannelClosedError, ChannelConnectionError } from "../../shared/errors.ts";
import {
  fine,
  type InspectionOptions,
  type Inspector,
  shownSize,
  shownTime,
  splitConnectAdvice,
} from "../inspection.ts";
import type { LinkOptions, Scheme } from "../transport.ts";
import { parseWebSocketUri } from "./pipes/websocket_uri.ts";
import { parseZmqUri } from "./pipes/zmtp/uri.ts";
import { HomeTransport } from "./transport.ts";
import { webSocketSchemes } from "./websocket_scheme.ts";
import { zmqSchemes } from "./zmq_scheme.ts";

/** Examines homes. */
export const inspector: Inspector = {
  permissions(uri) {
    const { host, port } = placeOf(uri);
    return [`--allow-net=${host.includes(":") ? `[${host}]` : host}:${port}`];
  },

  async inspect(uri, options) {
    const { report, signal, name } = options;
    reportEncryption(uri, report);
    const home = await load(uri, options);
    try {
      if (!await connect(home, options)) return;
      reportWelcome(home, report);
      await inspectRoundTrip(home, options);
      if (name !== undefined) await inspectChannel(home, name, options);
    } catch (error) {
      signal.throwIfAborted();
      reportFailure(home, error, options);
    } finally {
      home.rest();
    }
  },
};

function placeOf(uri: string): { readonly host: string; readonly port: number } {
  if (/^zmq:/i.test(uri)) return parseZmqUri(uri);
  const url = new URL(parseWebSocketUri(uri).address);
  const port = Number(url.port || (url.protocol === "wss:" ? 443 : 80));
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port };
}

function reportEncryption(uri: string, report: InspectionOptions["report"]): void {
  const { host } = placeOf(uri);
  const isProtected = /^wss:/i.test(uri) || /[?&]key=/.test(uri);
  if (isProtected || /^(localhost|127\.|::1$)/.test(host)) return;
  report({
    level: "warning",
    about: "tls",
    what: "the connection is not encrypted: the secret and all values can be read on the network",
    cure: /^zmq:/i.test(uri)
      ? "give the home keys, and peers its address with ?key="
      : "use wss:, or a network that you trust",
  });
}

async function load(uri: string, { transport }: InspectionOptions): Promise<HomeTransport> {
  const schemes: Record<string, Scheme> = {
    ...zmqSchemes(async () => {
      const { zmqDial } = await import("./pipes/zmtp/zmtp_dial.ts");
      return { HomeTransport, dialer: zmqDial };
    }),
    ...webSocketSchemes(async () => {
      const { webSocketDialer } = await import("./pipes/websocket_dialer.ts");
      return { HomeTransport, dialer: await webSocketDialer() };
    }, ["ca", "cert", "key", "servername"]),
  };
  const scheme = schemes[uri.slice(0, uri.indexOf(":") + 1).toLowerCase()]!;
  return await scheme.load(uri, transport) as HomeTransport;
}

/** A name of a channel that nobody has: to ask for it creates nothing. */
const absent = "channelts.doctor.absent";

function optionsOf({ timeout, signal }: InspectionOptions): LinkOptions {
  return {
    create: false,
    retryTimeout: timeout,
    signal,
    observer: { announced() {}, missed() {}, gone() {} },
  };
}

/** Connects. Returns false if that fails, which is reported. */
async function connect(home: HomeTransport, options: InspectionOptions): Promise<boolean> {
  const begun = performance.now();
  try {
    await ask(home, options);
  } catch (error) {
    options.signal.throwIfAborted();
    reportFailure(home, error, options);
    return false;
  }
  const ms = performance.now() - begun;
  options.report(fine("connection", `connected to ${home.address} in ${shownTime(ms)}`, {
    address: home.address,
    ms,
  }));
  return true;
}

/** Makes a round trip: asks for a channel that does not exist. */
async function ask(home: HomeTransport, options: InspectionOptions): Promise<void> {
  try {
    const link = await home.open(absent, optionsOf(options));
    await link.close();
  } catch (error) {
    if (error instanceof ChannelClosedError) return;
    // The home has answered, if it refuses this name.
    if (error instanceof ChannelConnectionError && error.reason === "permission" && home.welcome) {
      return;
    }
    throw error;
  }
}

function reportFailure(
  home: HomeTransport,
  error: unknown,
  { report }: InspectionOptions,
): void {
  const { message } = error as Error;
  const [, problem = message, words = ""] =
    /^(?:attach(?: on channel \S+)?: )?(.*?)( \([^()]*\))?$/s.exec(message) ?? [];
  const reason = error instanceof ChannelConnectionError ? error.reason : undefined;
  const { what, cure } = splitConnectAdvice(
    problem,
    "check that the home runs at this address, and see its log",
  );
  report({
    level: "problem",
    about: "connection",
    what: what + words,
    cure,
    facts: { address: home.address, ...reason === undefined ? {} : { reason } },
  });
}

/** Reports what the home has told of itself. */
function reportWelcome({ welcome }: HomeTransport, report: InspectionOptions["report"]): void {
  if (welcome === undefined) return;
  const { terms, rendezvous, maxFrame, maxPuts } = welcome;
  const can = [...terms, ...rendezvous ? ["capacity 0"] : []];
  report(
    fine("home", `the home supports ${can.length === 0 ? "no options of puts" : can.join(", ")}`, {
      home: welcome.home,
      terms: terms.join(", "),
      rendezvous,
    }),
  );
  const frame = maxFrame === Infinity ? "any size" : `at most ${shownSize(maxFrame)}`;
  const puts = maxPuts === Infinity ? "any number of" : `at most ${maxPuts}`;
  report(fine("message-size", `a frame has ${frame}; ${puts} puts are without an answer`, {
    ...maxFrame === Infinity ? {} : { bytes: maxFrame },
    ...maxPuts === Infinity ? {} : { puts: maxPuts },
  }));
}

async function inspectRoundTrip(home: HomeTransport, options: InspectionOptions): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < 7; i++) {
    const begun = performance.now();
    await ask(home, options);
    times.push(performance.now() - begun);
  }
  times.sort((a, b) => a - b);
  const [shortest, median, longest] = [times[0]!, times[3]!, times[6]!];
  options.report(fine(
    "round-trip",
    `a round trip takes ${shownTime(median)} (${shownTime(shortest)} to ${
      shownTime(longest)
    }, of 7)`,
    { shortest, median, longest },
  ));
}

async function inspectChannel(
  home: HomeTransport,
  name: string,
  options: InspectionOptions,
): Promise<void> {
  const { report } = options;
  try {
    const link = await home.open(name, optionsOf(options));
    try {
      const { depth, ...others } = await link.stats?.() ?? { depth: await link.depth() };
      const { loans, consumers, capacity, closed } = others;
      const also = [
        ...loans === undefined ? [] : [`${loans} on loan`],
        ...consumers === undefined ? [] : [`${consumers} consumers`],
        ...capacity === undefined ? [] : [`capacity ${capacity}`],
      ].map((text) => `, ${text}`).join("");
      report(fine("channel", `channel ${name} exists: ${depth} values wait${also}`, {
        exists: true,
        messages: depth,
        ...others,
      }));
      if (closed === true) {
        report({
          level: "warning",
          about: "closed",
          what: `channel ${name} was closed by closeAll({ drain: true }), and takes no values`,
          cure: `delete it (channelts delete ${name}) to use the name again`,
        });
      }
    } finally {
      await link.close();
    }
    report({
      level: "note",
      about: "permission",
      what:
        "this peer may use the channel; whether it may put, get, close and delete, the home says when it does",
    });
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof ChannelClosedError) {
      report({
        level: "note",
        about: "channel",
        what: `channel ${name} does not exist; the first program that uses it creates it`,
        facts: { exists: false },
      });
    } else if (error instanceof ChannelConnectionError && error.reason === "permission") {
      report({
        level: "warning",
        about: "permission",
        what: `the home does not let this peer use channel ${name}, or read its depth`,
        cure: "let authorize of the home allow it, or use another name or secret",
      });
    } else throw error;
  }
}
