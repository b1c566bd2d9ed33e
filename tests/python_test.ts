/** The client of docs/python.md: each of its blocks runs, beside peers of this library. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Channel } from "../mod.ts";
import type { HomeOptions } from "../src/home/home_options.ts";
import { listen } from "../src/home/listen.ts";
import { generateKeys } from "../src/transports/home/pipes/zmtp/key_pair.ts";
import { until, within } from "./conformance/fixture.ts";
import { blocksOf } from "./support/pages/pages.ts";
import { pyzmq, withoutPyzmq } from "./support/pyzmq.ts";
import { test } from "./support/test.ts";

const page = "docs/python.md";
const [client, worker, keyOf] = blocksOf(page).filter(({ language }) => language === "py")
  .map(({ text }) => text) as [string, string, string];

Deno.test(`python: the client of ${page} has 30 lines`, () => {
  assert.equal(client.split("\n").filter((line) => line.trim() !== "").length, 30);
});

/** Runs the worker of the page, and a body beside it. */
async function withWorker(args: readonly string[], body: () => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "channelts-python-"));
  const file = join(folder, "worker.py");
  writeFileSync(file, client + worker);
  const { python, env } = pyzmq!;
  const child = spawn(python, ["-u", file, ...args], { env, stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (data) => errors += data);
  const over = new Promise((resolve) => child.once("close", resolve));
  const failed = over.then(() => assert.fail(`the worker has ended: ${errors}`));
  failed.catch(() => {}); // it is killed at the end
  try {
    await Promise.race([within(body()), failed]);
  } finally {
    child.kill("SIGKILL");
    await over;
    rmSync(folder, { recursive: true });
  }
}

const secret = "a long random text";

for (
  const [title, options] of [
    ["without CURVE", {}],
    ["with CURVE", { keys: generateKeys() }],
    ["with CURVE and a secret", { keys: generateKeys(), secret }],
    ["with a secret alone", { secret }],
  ] as [string, HomeOptions][]
) {
  test(`python: ${title}: a worker in Python gets and puts JSON, beside peers of this library`, {
    skip: withoutPyzmq,
  }, async () => {
    const home = await listen("zmq://127.0.0.1:0", options);
    const uri = new URL(home.address);
    const key = options.keys?.publicKey ?? (options.secret === undefined ? "" : madeKey(secret));
    const args = [`tcp://${uri.host}`, key, options.secret ?? ""];
    const json = { connection: home, encoding: "json" } as const;
    const jobs = new Channel<unknown>({ name: "jobs", ...json, capacity: 2 });
    const squares = new Channel<unknown>({ name: "squares", ...json, capacity: 2 });
    const address = options.secret === undefined
      ? home.address
      : home.address.replace("//", `//:${encodeURIComponent(secret)}@`);
    const peer = { connection: address, encoding: "json" } as const;
    const far = new Channel<unknown>({ name: "jobs", ...peer });
    const farSquares = new Channel<unknown>({ name: "squares", ...peer });
    try {
      await withWorker(args, async () => {
        await jobs.put(6);
        assert.equal(await squares.get(), 36);
        // From a peer, and more than the channels hold: the worker's put waits for room.
        const puts = [1, 2, 3, 4, 5, 6].map((n) => far.put(n));
        await until(async () => await squares.depth() === 2);
        const got = [];
        for (let i = 0; i < 6; i++) got.push(await farSquares.get());
        assert.deepEqual(got, [1, 4, 9, 16, 25, 36]);
        await Promise.all(puts);
      });
      await jobs.put(7); // the worker was killed as it waited: nobody gets this for it
      assert.equal(await far.get(), 7);
    } finally {
      await Promise.all([far, farSquares].map((ch) => ch.close()));
      await Promise.all([jobs, squares].map((ch) => ch.delete()));
      await home.close();
    }
  });
}

test("python: a wrong key, and none, raise ConnectionError", { skip: withoutPyzmq }, async () => {
  const home = await listen("zmq://127.0.0.1:0", { keys: generateKeys() });
  // It asks again after half a second in place of ten.
  const program = `${client.replaceAll("10_000", "500")}\nimport sys\nHome(*sys.argv[1:])`;
  const run = async (...keys: string[]) => {
    const args = ["-c", program, `tcp://${new URL(home.address).host}`, ...keys];
    const child = spawn(pyzmq!.python, args, {
      env: pyzmq!.env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let errors = "";
    child.stderr.on("data", (data) => errors += data);
    const over = new Promise((resolve) => child.once("close", resolve));
    try {
      await within(over);
    } finally {
      child.kill("SIGKILL");
      await over;
    }
    assert.match(errors, /^ConnectionError: the home does not answer$/m);
  };
  try {
    await Promise.all([run(generateKeys().publicKey), run()]);
  } finally {
    await home.close();
  }
});

/** Returns the key that the page's function makes of a secret. */
function madeKey(secret: string): string {
  const program = `${keyOf}\nimport sys\nprint(key_of(sys.argv[1]))`;
  const { python, env } = pyzmq!;
  const { status, stdout, stderr } = spawnSync(python, ["-c", program, secret], {
    env,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}
