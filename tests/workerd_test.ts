/** The package on workerd, the runtime of Cloudflare Workers. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Channel, ChannelConnectionError, Connection, listen, serve } from "../home.ts";
import { census } from "./homes/census.ts";
import {
  connectionsRest,
  getAll,
  numbers,
  rejection,
  until,
  within,
} from "./conformance/fixture.ts";
import { type Snippet, snippetsOf } from "./support/pages/pages.ts";
import { linkPackages, noNpm } from "./support/npm.ts";
import { installedPackage } from "./support/package.ts";
import { test } from "./support/test.ts";
import { TESTS } from "./support/test_files.ts";
import { bundle } from "./support/web_bundle.ts";
import { Workerd, type WorkerScript } from "./support/workerd.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

/** The page whose programs are tested here. */
const PAGE = "docs/browsers-and-edge.md";

/**
 * Starts workerd with a Worker, bundled as Cloudflare's tools do.
 *
 * @param program the name of a file in `tests/web`, or a program of the page
 */
async function start(
  program: string | Snippet,
  rest: Omit<WorkerScript, "script"> = {},
): Promise<Workerd> {
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-worker-"));
  try {
    linkPackages((await installedPackage()).folder, folder);
    const files = await bundle({
      ...typeof program === "string"
        ? { entryPoints: [join(TESTS, "web", program)] }
        : { stdin: { contents: program.text, loader: "ts", resolveDir: folder } },
      platform: "browser",
      conditions: ["workerd", "worker", "browser"],
      nodePaths: [join(folder, "node_modules")],
    }, rest.flags?.includes("nodejs_compat") ? "node" : undefined);
    const [script] = files.values();
    return await Workerd.start({ ...rest, script: script! });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Asserts that no code outside of requests has failed. */
function assertNoError({ output }: Workerd): void {
  assert.doesNotMatch(output, /Error|Disallowed|exception/);
}

test("workerd: channels in memory, without nodejs_compat", { skip: noNpm }, async () => {
  await using workerd = await start("memory_worker.js");
  const parts = await workerd.get("/exercise") as string[];
  assert.ok(Array.isArray(parts) && parts.length > 10, String(parts));
  const all = await Promise.all(Array.from({ length: 5 }, () => workerd.get("/exercise")));
  for (const each of all) assert.deepEqual(each, parts);
  assertNoError(workerd);
});

test("workerd: requests share channels in memory", { skip: noNpm }, async () => {
  await using workerd = await start("memory_worker.js");
  const got = workerd.get("/get?name=a&timeout=20000");
  assert.equal(await workerd.get("/put?name=a&value=1"), "put");
  assert.equal(await got, "1");
  // A timer belongs to a request. That of the put is gone when the value is due.
  assert.equal(await workerd.get("/later?name=d&delay=300"), "put");
  assert.equal(await workerd.get("/get?name=d&timeout=20000"), "later");
  assert.match(String(await workerd.get("/get?name=e&timeout=1")), /^ChannelTimeoutError: /);
});

test(
  "workerd: channels that requests have dropped disturb no other request",
  { skip: noNpm },
  async () => {
    await using workerd = await start("memory_worker.js");
    for (let round = 0; round < 5; round++) {
      const loops = Array.from({ length: 4 }, (_, i) => workerd.get(`/loop?name=${i}`));
      assert.deepEqual(await Promise.all(loops), ["done", "done", "done", "done"]);
      assert.equal(await workerd.get("/collect"), "collected");
    }
    assertNoError(workerd);
  },
);

test("workerd: a get that nothing can end is ended by the runtime, and the next works", {
  skip: noNpm,
}, async () => {
  await using workerd = await start("memory_worker.js");
  await assert.rejects(workerd.get("/forever?name=a") as Promise<unknown>, /500/);
  assert.equal(await workerd.get("/put?name=b&value=1"), "put");
  assert.equal(await workerd.get("/get?name=b&timeout=20000"), "1");
});

test("workerd: amqp: with nodejs_compat", { skip: noNpm }, async () => {
  await using workerd = await start("amqp_worker.js", {
    flags: ["nodejs_compat"],
    bindings: { BROKER: broker },
  });
  const names = Array.from({ length: 12 }, () => `workerd ${crypto.randomUUID()}`);
  const get = (path: string, name: string) =>
    workerd.get(`${path}?name=${encodeURIComponent(name)}&timeout=20000`);
  try {
    // Requests share a connection: all but the first are told so at once.
    const first = get("/shared", names[0]!);
    await until(async () => await workerd.get("/started") === 1);
    for (const text of await Promise.all(names.slice(1).map((name) => get("/shared", name)))) {
      assert.match(
        `${text}`,
        /^ChannelConnectionError: get: .* belongs to another request/,
      );
    }
    assert.equal(await get("/put", names[1]!), "put"); // the isolate is not broken
    assert.equal(await get("/put", names[0]!), "put");
    assert.equal(await first, "put");
    // The first request has closed its channels, so the next one has the connection anew.
    const second = get("/shared", names[0]!);
    assert.equal(await get("/put", names[0]!), "put");
    assert.equal(await second, "put");

    assert.match(String(await get("/sqlite", "x")), /^ChannelConfigError: .*sqlite:/);
  } finally {
    for (const name of names) await new Channel({ name, connection: broker }).delete();
    await connectionsRest();
  }
});

test("workerd: a Worker is a peer of a home, without nodejs_compat", { skip: noNpm }, async () => {
  await using home = await listen("ws://127.0.0.1:0/channels");
  await using workerd = await start("home_worker.js", { bindings: { HOME: home.address } });
  const name = "jobs";
  const get = workerd.get(`/get?name=${name}`);
  const own = new Channel<unknown>({ name, connection: home });
  await own.put({ value: "from the home" });
  assert.equal(await get, "from the home");
  const puts = numbers(8).map((n) => workerd.get(`/put?name=${name}&value=${n}`));
  for (const answer of await Promise.all(puts)) assert.equal(answer, "put");
  const values = await getAll(own, 8) as { readonly value: string; readonly big: bigint }[];
  assert.deepEqual(values.map(({ value }) => value).sort(), numbers(8).map(String));
  assert.equal(values[0]!.big, 2n ** 70n);

  const squares = new Channel<number>({ name: "squares", connection: home });
  const serving = serve(squares, (n) => n * n);
  assert.equal(await workerd.get("/request?name=squares&value=7"), 49);
  await squares.closeAll();
  await serving;
  await until(() => census(home).peers.length === 0); // each request has closed its connection
  assertNoError(workerd);
  for (const ch of ["squares", name]) await new Channel({ name: ch, connection: home }).delete();
  await own.close();
});

const programs = snippetsOf(PAGE).filter(({ use }) => use === "tested");
const homeObject = programs.find(({ text }) => text.includes("class Channels"))!;

test(`workerd: a home in a Durable Object, as ${PAGE} shows it`, { skip: noNpm }, async () => {
  await using workerd = await start(homeObject, {
    flags: ["nodejs_compat"],
    durableObject: "Channels",
  });
  const connection = `${workerd.url.replace("http", "ws")}/channels`;
  const [one, two] = [new Connection(connection), new Connection(connection)];
  const name = "public.jobs";
  const jobs = new Channel<unknown>({ name, connection: one });
  const far = new Channel<unknown>({ name, connection: two });
  const got = jobs.get();
  await far.put({ from: "another peer", bytes: new Uint8Array(200_000) });
  assert.equal((await within(got) as { readonly from: string }).from, "another peer");
  for (const n of numbers(200)) await far.put(n);
  assert.deepEqual(await getAll(jobs, 200), numbers(200));

  await far.put("held");
  const held = await far.receive();
  await far.close(); // its loan returns
  assert.equal(await within(jobs.get()), "held");
  held.accept();

  const heard = jobs.broadcasts();
  await heard.ready;
  const other = new Channel<unknown>({ name, connection: two });
  await other.broadcast("hello");
  assert.equal((await within(heard.next())).value, "hello");
  await heard.return!();
  await rejection(new Channel({ name: "x", connection: two }).put(1), ChannelConnectionError, {
    reason: "permission",
  });
  await other.delete();
  await jobs.close();
  await connectionsRest();
  assertNoError(workerd);
});

for (const program of programs.filter((one) => one !== homeObject)) {
  const isObject = program.text.includes("class Jobs");
  const title = isObject ? "a Durable Object" : "a connection for each request";
  test(`workerd: ${title}, as ${PAGE} shows it`, { skip: noNpm }, async () => {
    await using workerd = await start(program, {
      flags: ["nodejs_compat"],
      bindings: { BROKER: broker },
      ...isObject ? { durableObject: "Jobs" } : {},
    });
    const jobs = new Channel<string>({ name: "jobs", connection: broker });
    try {
      const sent = numbers(12).map(String);
      const answers = await Promise.all(
        sent.map((body) => fetch(workerd.url, { method: "POST", body })),
      );
      for (const answer of answers) {
        assert.equal(answer.status, 202);
        assert.equal(await answer.text(), "accepted");
      }
      assert.deepEqual((await getAll(jobs, 12)).sort(), sent.sort());
    } finally {
      await jobs.delete();
      await connectionsRest();
    }
  });
}
