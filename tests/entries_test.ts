// The entries of the package: what they export, load and do as they are imported.

import { deepEqual, equal, ok } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { within } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { ENTRIES } from "./support/entries.ts";
import { startRedis } from "./support/redis.ts";
import { findRuntime, type RuntimeName } from "./support/runtimes.ts";
import { ROOT } from "./support/test_files.ts";

const deno = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));

/** The part of a transport's code that every URI of its schemes needs, so that `.` imports it. */
const known =
  /^src\/transports\/(?:(?:sqlite|amqp|redis)\/(?:scheme|uri)|remote\/uri_text|home\/(?:\w+_scheme|home_code|from_port|pipes\/websocket_uri|pipes\/zmtp\/uri))\.ts$/;

Deno.test("entries: deno.json names the same files for users and for the tests", () => {
  for (const [name, file] of ENTRIES) {
    equal(deno.imports[`@channelts/channel${name.slice(1)}`], file);
  }
});

Deno.test("entries: ./cli exports its program, and reaches no transport before a command runs", async () => {
  deepEqual(Object.keys(await import(join(ROOT, "cli.ts"))), ["main"]);
  const files = reached("cli.ts");
  deepEqual(
    [...files].filter((file) =>
      !/^(?:cli\.ts$|src\/(?:cli|shared)\/|commander$|node:process$)/.test(file)
    ),
    [],
  );
});

/** What entries export besides what ./memory does. */
const MORE: Readonly<Record<string, readonly string[]>> = {
  ".": ["fromPort"],
  "./web": ["fromPort"],
  "./opentelemetry": ["Instrumented", "contextOf", "instrument", "processing"],
  "./home": ["Home", "fromPort", "generateKeys", "listen"],
};

Deno.test("entries: each exports what ./memory exports, and some more", async () => {
  const exported = async (file: string) => Object.keys(await import(join(ROOT, file)));
  const memory = await exported("memory.ts");
  ok(memory.includes("Channel"));
  for (const [entry, file] of ENTRIES) {
    if (entry === "./cli") continue; // a program
    deepEqual((await exported(file)).sort(), [...memory, ...MORE[entry] ?? []].sort(), entry);
  }
});

/** Returns what a file imports statically, directly or not: files of the project, and the names of other modules. */
function reached(file: string, found = new Set<string>()): Set<string> {
  found.add(file);
  const text = readFileSync(join(ROOT, file), "utf8");
  const statements = /^(?:import|export)(?! type\b)(?:[\w\s{},*]*\bfrom)?\s*"([^"]+)";$/gm;
  for (const [, specifier] of text.matchAll(statements)) {
    const target = specifier!.startsWith(".")
      ? relative(ROOT, join(ROOT, dirname(file), specifier!)).replaceAll("\\", "/")
      : specifier!;
    if (found.has(target)) continue;
    if (target === specifier) found.add(target);
    else reached(target, found);
  }
  return found;
}

/** The files among these that load a module when something is first used. */
function loading(files: Iterable<string>): string[] {
  return [...files].filter((file) =>
    file.endsWith(".ts") && /(?<!typeof )\bimport\(/.test(readFileSync(join(ROOT, file), "utf8"))
  );
}

Deno.test("entries: ./memory reaches no module of a runtime, no package and no other transport", () => {
  const files = reached("memory.ts");
  ok(files.size > 90, `${files.size}`);
  deepEqual([...files].filter((file) => !/^(?:memory\.ts$|src\/)/.test(file)), []);
  deepEqual([...files].filter((file) => /^src\/transports\/(?!memory\/)\w+\//.test(file)), []);
  deepEqual(loading(files), []);
});

Deno.test("entries: ./web reaches no module of a runtime, no package, no home and no broker", () => {
  const files = reached("web.ts");
  ok(files.has("src/transports/home/transport.ts"));
  const strange = /^(?!web\.ts$|memory\.ts$|src\/)|^src\/home\/|\/(?:sqlite|amqp|zmtp)\//;
  deepEqual([...files].filter((file) => strange.test(file)), []);
  deepEqual(loading(files), []);
});

Deno.test("entries: ./home reaches no module of a runtime, so that a page can be a home of its Workers", () => {
  const files = reached("home.ts");
  ok(files.has("src/home/home.ts"));
  deepEqual([...files].filter((file) => !/^(?:\w+\.ts$|src\/)/.test(file)), []);
});

Deno.test("entries: only ./opentelemetry reaches the API of OpenTelemetry, and it reaches no transport but memory", () => {
  const name = "@opentelemetry/api";
  for (const [entry, file] of ENTRIES) equal(reached(file).has(name), entry === "./opentelemetry");
  const files = [...reached("opentelemetry.ts")];
  const strange = files.filter((file) =>
    !/^(?:opentelemetry|memory)\.ts$|^src\/(?!transports\/(?!memory\/)\w+\/)/.test(file)
  );
  deepEqual(strange, [name]);
  deepEqual(loading(files), []);
});

Deno.test("entries: ./sqlite, ./amqp and ./redis reach nothing of each other", () => {
  const [sqlite, amqp, redis] = [reached("sqlite.ts"), reached("amqp.ts"), reached("redis.ts")];
  ok(sqlite.has("src/transports/sqlite/transport.ts") && amqp.has("@cloudamqp/amqp-client"));
  ok(redis.has("src/transports/redis/transport.ts"));
  deepEqual([...sqlite].filter((file) => /amqp|redis|yaml/.test(file)), []);
  deepEqual([...amqp].filter((file) => /sqlite|redis|yaml/.test(file)), []);
  deepEqual([...redis].filter((file) => /sqlite|amqp|yaml/.test(file)), []);
});

/** Runs `programs/loaded_modules.ts`. Returns the modules that were loaded by the import, and by each connection. */
async function loaded(entry: string, ...connections: string[]): Promise<string[][]> {
  const program = new URL("programs/loaded_modules.ts", import.meta.url);
  const runtime = await findRuntime("node");
  const args = [join(ROOT, entry), ...connections];
  await using child = startChild(program, { runtime, args, env: { CHANNELTS_URI: "memory:" } });
  const lists: string[][] = [];
  for (let n = -1; n < connections.length; n++) {
    lists.push(await within(child.next() as Promise<string[]>, 60_000));
  }
  return lists;
}

Deno.test("entries: . loads the code of a transport when a channel first uses it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "channelts-entries-"));
  try {
    await using server = await startRedis();
    const uris = ["memory:", `sqlite:${folder}/channels.db`, server.uri];
    const [imported, memory, sqlite, redis] = await loaded("mod.ts", ...uris);
    const strange = /^node:|^node_modules\/|^src\/transports\/(?!memory\/)\w+\/|config_file/;
    deepEqual(imported!.filter((url) => strange.test(url) && !known.test(url)), []);
    deepEqual(memory, []);
    ok(sqlite!.includes("src/transports/sqlite/transport.ts"));
    deepEqual(
      sqlite!.filter((url) =>
        !/^node:|^src\/(?:transports\/(?:sqlite\/|\w+\.ts)|shared\/)/.test(url)
      ),
      [],
    );
    ok(redis!.includes("src/transports/redis/transport.ts"));
    deepEqual(
      redis!.filter((url) =>
        !/^node:|^src\/(?:transports\/(?:redis\/|remote\/|\w+\.ts)|shared\/)/.test(url)
      ),
      [],
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

Deno.test("entries: ./sqlite, ./amqp and ./redis have loaded the code of their transport", async () => {
  const [sqlite] = await loaded("sqlite.ts");
  ok(sqlite!.includes("src/transports/sqlite/transport.ts"));
  ok(!sqlite!.includes("node:sqlite")); // Node 20 has none
  const [amqp] = await loaded("amqp.ts");
  ok(amqp!.includes("src/transports/amqp/transport.ts"));
  const [redis] = await loaded("redis.ts");
  ok(redis!.includes("src/transports/redis/transport.ts"));
});

for (const name of ["deno", "bun", "node"] satisfies RuntimeName[]) {
  Deno.test(`entries: importing one does nothing else on ${name}`, async () => {
    const program = new URL("programs/quiet_import.ts", import.meta.url);
    await using child = startChild(program, { runtime: await findRuntime(name) });
    const exported = await within(child.next(), 60_000);
    equal(typeof exported, "number", `${exported}`);
  });
}
