// What a logger is told: one line for each event, at the level that docs/troubleshooting.md names; with pino.

import { deepEqual, equal, match, ok } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { Channel, ChannelConnectionError, Connection, serve } from "../mod.ts";
import type { Logger } from "../mod.ts";
import { connectionsRest, rejection, until } from "./conformance/fixture.ts";
import { startGateway } from "./support/gateway.ts";
import { noNpm, npmPackages } from "./support/npm.ts";
import { test } from "./support/test.ts";

const broker = process.env.BROKER!;
ok(broker, "BROKER names no broker: run with `deno task test`");

/** A line that pino has written. */
interface Line {
  readonly level: string;
  readonly msg: string;
}

/** The texts of a connection that the page lists, with their levels. */
const listed = [
  ...readFileSync(new URL("../docs/troubleshooting.md", import.meta.url), "utf8")
    .matchAll(/^\| `(error|warn|info|debug)` *\| `([^`]+)`/gm),
].map(([, level, text]) => ({ level: level!, text: text!, pattern: patternOf(text!) }))
  .filter(({ text }) => !/ peer |WebSocket/.test(text));

function patternOf(text: string): RegExp {
  const escaped = text.replaceAll(/[.*+?^$()[\]\\|]/g, "\\$&").replaceAll("…", ".*");
  return new RegExp(`^${escaped.replaceAll(/\b[A-Z]{4,}\b|\bN\b/g, ".+")}$`);
}

type Pino = (
  options: object,
  destination: { write(line: string): void },
) => Required<Logger>;

/** Returns a logger of pino, and the lines that it has written. */
async function startPino(): Promise<{ logger: Required<Logger>; lines: Line[] }> {
  const require = createRequire(join(await npmPackages("pino"), "node_modules", "x.js"));
  const lines: Line[] = [];
  const options = {
    level: "debug",
    base: null,
    formatters: { level: (level: string) => ({ level }) },
  };
  const write = (line: string) => void lines.push(JSON.parse(line));
  return { logger: (require("pino") as Pino)(options, { write }), lines };
}

/** The listed texts that the lines have; fails for a line that is not listed at its level, or is no line. */
function textsOf(lines: readonly Line[]): string[] {
  return lines.map(({ level, msg }) => {
    match(msg, /^ChannelTS: \P{Cc}+$/u);
    const found = listed.find((each) =>
      each.level === level && each.pattern.test(msg.slice("ChannelTS: ".length))
    );
    ok(found, `the page does not list: ${level} ${msg}`);
    return found.text;
  });
}

test("logger: pino has a line for a loss, a reconnect, a copy that is dropped and a refusal", {
  skip: noNpm,
}, async () => {
  const { logger, lines } = await startPino();
  await using gateway = await startGateway(broker);
  let returns = 0;
  const connection = new Connection(gateway.uri, { logger, onreconnect: () => returns++ });
  const jobs = new Channel<string>({ name: `test ${randomUUID()}`, connection });
  await jobs.put("value");
  const delivery = await jobs.receive({ timeout: 20_000 });
  gateway.hold("toBroker"); // holds the acknowledgement back, too
  delivery.accept();
  await new Promise((resolve) => setTimeout(resolve));
  gateway.cut();
  gateway.open();
  await until(() => returns === 1);
  await until(async () => await jobs.depth() === 1); // it was requeued
  const getting = jobs.get({ timeout: 20_000 });
  await until(async () => await jobs.depth() === 0); // the copy was dropped
  await jobs.put("another");
  equal(await getting, "another");
  await jobs.delete();
  await jobs.close();
  const texts = textsOf(lines).filter((text) => !text.endsWith("next try in N ms"));
  deepEqual(texts, [
    "connected to ADDRESS",
    "the connection to ADDRESS was lost: REASON",
    "connected again to ADDRESS",
    "channel NAME on ADDRESS: a copy of a value was dropped: this process has had the value",
  ]);
  lines.length = 0;
  const refused = new Connection(broker, { username: "guest", password: "wrong", logger });
  const ch = new Channel({ name: "refused", connection: refused });
  await rejection(ch.get(), ChannelConnectionError, { transient: false });
  await ch.close();
  deepEqual(textsOf(lines), ["cannot connect to ADDRESS: REASON; no further try"]);
  await connectionsRest();
});

test("logger: pino has a line for each dead letter and for each failure of a server", {
  skip: noNpm,
}, async () => {
  const { logger, lines } = await startPino();
  const connection = new Connection("memory:logger", { logger });
  const jobs = new Channel<string>({ name: "jobs", connection, maxAttempts: 1 });
  for (const job of ["a", "b"]) await jobs.put(job);
  for (const _ of ["a", "b"]) (await jobs.receive()).release();
  await until(async () => await jobs.deadLetters.depth() === 2);
  const dead = "channel NAME: a value is now a dead letter: REASON";
  await until(() => lines.length === 2);
  deepEqual(textsOf(lines), [dead, dead]);
  match(lines[0]!.msg, /channel jobs .*maxAttempts: received 1 times and never accepted$/);

  lines.length = 0;
  await jobs.deadLetters.closeAll({ drain: true }); // it takes no more
  await jobs.put("c");
  const other = new Channel<string>({ name: "jobs", connection, maxAttempts: 1, retryTimeout: 0 });
  (await other.receive()).release();
  await until(() => lines.length > 0);
  deepEqual(textsOf(lines), [
    "receive: channel NAME: a dead letter could not be put into NAME.dead-letters …",
  ]);
  await other.close();
  await jobs.get();

  lines.length = 0;
  const stop = new AbortController();
  const requests = new Channel<unknown>({ name: "requests", connection });
  const serving = serve(requests, () => "reply", { signal: stop.signal });
  await requests.put("no\nrequest");
  await until(() => lines.length === 1);
  stop.abort();
  await serving.catch(() => {});
  deepEqual(textsOf(lines), ["serve: channel NAME: a message was not answered: ERROR: MESSAGE"]);
  for (const ch of [jobs.deadLetters, jobs, requests]) await ch.delete();
});

Deno.test("logger: an object with some of the methods is enough, and a text is one line", async () => {
  const lines: Line[] = [];
  const error = (msg: string) => void lines.push({ level: "error", msg });
  const connection = new Connection("memory:lines", { logger: { error } });
  const requests = new Channel<unknown>({ name: "requests", connection });
  const stop = new AbortController();
  const onerror = () => {
    throw new Error("first line\nChannelTS: a forged line");
  };
  const serving = serve(requests, () => "reply", { signal: stop.signal, onerror });
  await requests.put("no request");
  await until(() => lines.length === 1);
  stop.abort();
  await serving.catch(() => {});
  deepEqual(textsOf(lines), ["serve: channel NAME: the option onerror failed: ERROR: MESSAGE"]);
  await requests.delete();
});
