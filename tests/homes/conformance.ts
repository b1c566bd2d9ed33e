import { Buffer } from "node:buffer";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Channel, Connection, type ConnectionOption, type Features, fromPort } from "../../mod.ts";
import { generateKeys } from "../../src/transports/home/pipes/zmtp/key_pair.ts";
import { testTransport } from "../conformance.ts";
import {
  allStats,
  brokerStats,
  numbers,
  type Raw,
  type Setup,
  type Share,
  shareOf,
  type State,
  until,
} from "../conformance/fixture.ts";
import { brokerState } from "../support/broker_state.ts";
import { noControl } from "../support/conditions.ts";
import { redisUri, stateOf, withAdmin } from "../support/redis_setup.ts";
import { test } from "../support/test.ts";
import { checkFile, count, query, sqliteDirectory } from "../support/sqlite_file.ts";
import { censusOf, startHome, type TestedHome } from "./home_process.ts";
import { type HomeThread, startHomeThread } from "./home_thread.ts";

/** What carries frames between a peer and a home. */
export type PipeName = "zmq" | "curve" | "ws" | "port";

/** What is behind a home. */
export type EngineName = "memory" | "sqlite" | "amqp" | "redis";

/** What `HOMES=all` runs. */
export const pipes: readonly PipeName[] = ["zmq", "curve", "ws", "port"];
export const engines: readonly EngineName[] = ["memory", "sqlite", "amqp", "redis"];

/**
 * What the gate runs of them on each runtime: each pipe once, with a share of the cases. On Deno, the two shares together
 * are all cases. A broker behind a home is left to `HOMES`.
 */
const gate: Record<string, Record<string, Share | undefined>> = {
  deno: { "zmq sqlite": shareOf(0, 2), "port memory": shareOf(1, 2) },
  bun: { "ws memory": shareOf(0, 3) },
  node: { "curve memory": shareOf(1, 3) },
};

/** Declares the conformance suite for this pipe, with the engines that `HOMES` or {@linkcode gate} names. */
export async function testHomes(pipe: PipeName): Promise<void> {
  const wanted = engines.filter((engine) => isWanted(pipe, engine));
  for (const engine of wanted) await testHome(pipe, engine);
  if (wanted.length > 0) return;
  test(
    `${pipe}: the conformance suite`,
    { skip: "it runs on another runtime, or with HOMES" },
    () => {},
  );
}

/** Reports whether `HOMES` wants a combination: `all`, or combinations such as `zmq memory,ws amqp`. */
function isWanted(pipe: PipeName, engine: EngineName): boolean {
  const { HOMES = "" } = process.env;
  if (HOMES === "all") return true;
  const wanted = HOMES === "" ? Object.keys(gate[runtime]!) : HOMES.split(",");
  return wanted.includes(`${pipe} ${engine}`);
}

const runtime = process.versions.deno ? "deno" : process.versions.bun ? "bun" : "node";

/** What a home shares does not depend on the pipe. */
const features: Record<EngineName, Features> = {
  memory: { shared: true, terms: ["delay", "expires", "priority"], rendezvous: true },
  sqlite: { shared: true, terms: ["delay", "expires", "priority"], rendezvous: true },
  amqp: { shared: true, terms: ["expires"] },
  redis: { shared: true, terms: ["delay", "expires", "priority"], rendezvous: true },
};

async function testHome(pipe: PipeName, engine: EngineName): Promise<void> {
  const file = join(sqliteDirectory(), "channels.db");
  const behind = {
    memory: "memory:",
    sqlite: `sqlite:${file}`,
    amqp: process.env.BROKER!,
    redis: engine === "redis" ? await redisUri() : "",
  }[engine];
  const [home, connections, elsewhere] = await start(pipe, behind);
  const setup: Setup = {
    features: features[engine],
    tells: engine === "amqp" ? brokerStats : allStats,
    ...process.env.HOMES ? {} : {
      untimed: "it runs on memory, a file and a broker, and with HOMES",
      share: gate[runtime]![`${pipe} ${engine}`],
    },
    connection: (n) => connections[n]!,
    elsewhere: () => elsewhere,
    raw: (name) => Promise.resolve(rawAt(home, name)),
    exists: async (name) => await home.ask({ ask: "exists", name }) as boolean,
    waiting: async (name) => (await censusOf(home)).waiting[name] ?? 0,
    ...engine === "amqp" && noControl ? {} : {
      async state() {
        const { peers, links, waiting } = await censusOf(home);
        const kept = await keptBy[engine](behind);
        return {
          connections: peers.length + kept.connections,
          channels: links + kept.channels,
          consumers: Object.values(waiting).reduce((sum, n) => sum + n, kept.consumers),
          queues: kept.queues,
          exchanges: kept.exchanges,
        };
      },
    },
  };
  testTransport(`${pipe} to ${engine}`, setup);
  Deno.test.afterAll(async () => {
    await until(async () => (await censusOf(home)).peers.length === 0);
    await home[Symbol.asyncDispose]();
  });
}

/** The number of connections that a test may use. */
const most = 6;

async function start(
  pipe: PipeName,
  engine: string,
): Promise<[home: TestedHome, connections: ConnectionOption[], elsewhere: ConnectionOption]> {
  if (pipe === "port") {
    // Child processes, which have no port, are peers over ZeroMQ.
    const home = await startHomeThread({ addresses: ["zmq://127.0.0.1:0"], engine });
    const all = numbers(most + 1).map((n) => overPort(home, n < most ? "here" : "elsewhere"));
    // A port is read until it is closed, which Deno would count as a leak of the test that uses it first.
    for (const connection of all) {
      await using channel = new Channel({ connection });
      await channel.depth();
    }
    await until(async () => (await censusOf(home)).peers.length === 0);
    return [home, all.slice(0, most), all[most]!];
  }
  const secret = pipe === "curve" ? "a secret of the tests' homes" : undefined;
  // Without keys, each connection would first make them from the secret, which takes 0.1 s to 0.4 s.
  const options = secret === undefined ? undefined : { secret, keys: generateKeys() };
  const home = await startHome({
    addresses: pipe === "ws"
      ? ["ws://127.0.0.1:PORT/channels", "ws://127.0.0.1:PORT"]
      : ["zmq://127.0.0.1:PORT", "zmq://127.0.0.1:PORT"],
    engine,
    ...options === undefined ? {} : { options },
  });
  const [uri, elsewhere] = home.addresses.map((address) => {
    const url = new URL(address);
    if (secret !== undefined) url.password = encodeURIComponent(secret);
    return url.href;
  });
  const all = numbers(most).map(() => Object.assign(new Connection(uri!), { toString: () => uri }));
  return [home, all, elsewhere!];
}

/** Each port of a process has an address of its own, unless it is given one. */
function overPort(home: HomeThread, address: string): ConnectionOption {
  return Object.assign(fromPort(home.port()), {
    address: `port:${address}`,
    toString: () => home.addresses[0]!,
  });
}

function rawAt(home: TestedHome, name: string): Raw {
  return {
    async put({ body, contentType }) {
      await home.ask({ ask: "put", name, body: Buffer.from(body).toString("base64"), contentType });
    },
    async get() {
      const message = await home.ask({ ask: "get", name }) as
        | { body: string; contentType: string }
        | null
        | undefined;
      if (!message) return undefined;
      return { ...message, body: new Uint8Array(Buffer.from(message.body, "base64")) };
    },
    async announce(event) {
      await home.ask({ ask: "announce", name, body: Buffer.from(event).toString("base64") });
    },
    async [Symbol.asyncDispose]() {},
  };
}

const none: State = { connections: 0, channels: 0, consumers: 0, queues: [], exchanges: [] };

/** What each engine keeps for a home, by its URI. */
const keptBy: Record<EngineName, (uri: string) => State | Promise<State>> = {
  memory: () => none,
  sqlite: (uri) => inFile(uri.slice("sqlite:".length)),
  amqp: async () => (await brokerState())!,
  redis: (uri) => withAdmin(uri, stateOf),
};

/** Returns what a file contains. */
function inFile(file: string): State {
  if (!existsSync(file)) return none;
  checkFile(file);
  const sql = `SELECT name FROM channels WHERE expires IS NULL OR expires > ${Date.now()}`;
  return {
    connections: count(file, "sessions"),
    channels: count(file, "links"),
    consumers: count(file, "waiters"),
    queues: query<{ name: string }>(file, sql).map(({ name }) => name),
    exchanges: numbers(count(file, "mail") + count(file, "announcements") + count(file, "trash"))
      .map(String),
  };
}
