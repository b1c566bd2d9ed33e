import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Connection } from "../mod.ts";
import { SqliteTransport } from "../src/transports/sqlite/transport.ts";
import { testTransport } from "./conformance.ts";
import { numbers, pause, type Setup, type State } from "./conformance/scene.ts";

const directory = mkdtempSync(join(tmpdir(), "channelts-sqlite-"));
globalThis.addEventListener?.("unload", () => rmSync(directory, { recursive: true, force: true }));
const path = join(directory, "channels.db");
const uri = `sqlite:${path}`;

/** Connections of their own on one file; children are told of it by its URI. */
const connections = [0, 1, 2, 3].map(() =>
  Object.assign(new Connection(uri), { toString: () => uri })
);

const options = {
  retryTimeout: 1000,
  signal: new AbortController().signal,
  observer: { announced() {}, gone() {} },
};

const setup: Setup = {
  features: { shared: true },
  connection: (n) => connections[n]!,
  async raw(name) {
    const transport = new SqliteTransport(uri);
    const link = await transport.open(name, { ...options, create: true });
    return {
      put: (message) =>
        new Promise((resolve, reject) => {
          link.put({ message, settled: false, taken: resolve, reject });
        }),
      async get() {
        const loan = await link.tryTake(false);
        loan?.accept();
        return loan?.message;
      },
      async [Symbol.asyncDispose]() {
        await link.close();
        transport.rest();
        await pause(35);
      },
    };
  },
  async exists(name) {
    const transport = new SqliteTransport(uri);
    const link = await transport.open(name, { ...options, create: false }).catch(() => undefined);
    await link?.close();
    transport.rest();
    await pause(35);
    return link !== undefined;
  },
  state: () => Promise.resolve(tables()),
};

/** What the file holds. */
function tables(): State | undefined {
  if (!existsSync(path)) {
    return { connections: 0, channels: 0, consumers: 0, queues: [], exchanges: [] };
  }
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    db.exec("PRAGMA busy_timeout = 1000");
    const count = (table: string) =>
      (db.prepare(`SELECT count(*) AS n FROM ${table}`).get() as { n: number }).n;
    const names = db.prepare("SELECT name FROM channels WHERE expires IS NULL").all() as {
      name: string;
    }[];
    return {
      connections: count("sessions"),
      channels: count("links"),
      consumers: count("waiters"),
      queues: names.map(({ name }) => name),
      exchanges: numbers(count("mail") + count("trash")).map(String),
    };
  } finally {
    db.close();
  }
}

testTransport("sqlite", setup);
void assert;
