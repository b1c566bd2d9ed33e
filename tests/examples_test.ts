import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { brokerState } from "./support/broker_state.ts";
import { untilNoMoreThan } from "./support/leftovers.ts";
import { waitUntil } from "./support/net.ts";
import { startRedis } from "./support/redis.ts";
import { stateOf, withAdmin } from "./support/redis_setup.ts";
import { test } from "./support/test.ts";
import { noControl } from "./support/conditions.ts";
import { quickstartOutput } from "./support/quickstart.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");
const { hostname, port } = new URL(broker);
const host = `${hostname}:${port || 5672}`;

const root = new URL("../", import.meta.url);
const path = (file: string) => fileURLToPath(new URL(file, root));

interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `deno run` with these arguments in a shell's environment. node:child_process is not used, because a Deno child
 * inherits this process's permissions from it.
 */
async function deno(...args: string[]): Promise<Output> {
  return await denoWith({}, ...args);
}

/** Runs it with these variables. */
async function denoWith(env: Record<string, string>, ...args: string[]): Promise<Output> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--frozen", ...args],
    env: { ...env, NO_COLOR: "1" },
    stdin: "null",
    signal: AbortSignal.timeout(300_000), // kills it; the demo itself ends if it makes no progress
  });
  const { code, stdout, stderr } = await command.output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/**
 * Runs it on a terminal, where Deno prompts for permissions that are not granted. Ends when the program does, or when
 * it has printed `until`.
 */
async function denoOnTerminal(args: string[], until?: string): Promise<string> {
  const words = [Deno.execPath(), "run", "--frozen", ...args];
  const command = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  const terminal = new Deno.Command("script", {
    args: ["--quiet", "--return", "--command", command, "/dev/null"],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "null",
    signal: AbortSignal.timeout(300_000),
  }).spawn();
  let printed = "";
  for await (const text of terminal.stdout.pipeThrough(new TextDecoderStream())) {
    printed += text.replaceAll("\r", "");
    if (until !== undefined && printed.includes(until)) terminal.kill("SIGTERM"); // hangs up
  }
  const { code } = await terminal.status;
  return until === undefined ? `${printed}code ${code}` : printed;
}

const permissions = [
  { label: "on memory the quickstart needs no permission", flags: [], args: [] },
  {
    label: "on a broker the quickstart needs only --allow-net for its address",
    flags: [`--allow-net=${host}`],
    args: [broker],
  },
];
const probe = path("tests/programs/permissions.ts");
const hasTerminal = spawnSync("script", ["--version"]).status === 0;

for (const { label, flags, args } of permissions) {
  Deno.test(label, async () => {
    const refused = await deno("--no-prompt", ...flags, probe);
    assert.deepEqual(JSON.parse(refused.stdout), {
      refused: ["read", "env", "run", "sys", "net"],
    }, refused.stderr);

    const output = await deno("--no-prompt", ...flags, path("examples/quickstart.ts"), ...args);
    assert.deepEqual(output, { code: 0, stdout: quickstartOutput, stderr: "" });
  });

  const skip = !hasTerminal && "script(1), which provides a terminal, is not installed";
  test(`${label}, and Deno does not prompt on a terminal`, { skip }, async () => {
    const request = "requests read access";
    assert.match(await denoOnTerminal([...flags, probe], request), new RegExp(request));

    const quickstart = [...flags, path("examples/quickstart.ts"), ...args];
    assert.equal(await denoOnTerminal(quickstart), `${quickstartOutput}code 0`);
  });
}

Deno.test("the demo completes all jobs although a worker is killed, and leaves no file", async () => {
  const directory = mkdtempSync(join(tmpdir(), "channelts-demo-test-"));
  try {
    assertProven(await denoWith({ TMPDIR: directory }, "-A", path("examples/demo.ts")));
    assert.deepEqual(readdirSync(directory), []);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("the demo on a broker has the same output and leaves nothing there", {
  skip: noControl,
}, async () => {
  const before = (await brokerState())!;
  assertProven(await deno("-A", path("examples/demo.ts"), "--connection", broker));
  let now = before;
  const isClean = async () => {
    now = (await brokerState())!;
    return now.queues.length === before.queues.length && now.connections <= before.connections;
  };
  await waitUntil(isClean, 20_000);
  assert.deepEqual(now.queues, before.queues);
  assert.deepEqual(now.exchanges, before.exchanges);
});

Deno.test("the demo on a Redis has the same output and leaves nothing there", async () => {
  await using redis = await startRedis();
  const before = await withAdmin(redis.uri, stateOf);
  assertProven(await deno("-A", path("examples/demo.ts"), "--connection", redis.uri));
  await untilNoMoreThan(() => withAdmin(redis.uri, stateOf), before);
});

function assertProven({ code, stdout, stderr }: Output): void {
  assert.equal(stderr, "");
  assert.equal(code, 0, stdout);
  assert.equal(stdout.match(/^✔ /gm)?.length, 5, stdout);
  assert.match(stdout, /^✔ 1,000 jobs, all answered$/m);
  assert.match(stdout, /^✔ the job of a killed worker was done by another worker$/m);
  assert.doesNotMatch(stdout, /FAILED|\r/);
}

Deno.test("the demo explains a missing broker and fails", async () => {
  const uri = "amqp://guest:hunter2@127.0.0.1:1";
  const { code, stderr } = await deno("-A", path("examples/demo.ts"), "--connection", uri);
  assert.equal(code, 1);
  assert.match(stderr, /nothing listens on 127\.0\.0\.1:1; check that the broker is running/);
  assert.doesNotMatch(stderr, /hunter2/);
});

Deno.test("the demo rejects a connection that does not leave its thread", async () => {
  const { code, stderr } = await deno("-A", path("examples/demo.ts"), "--connection", "memory:");
  assert.equal(code, 1);
  assert.match(stderr, /memory: stays in one thread/);
});

Deno.test("the demo has a help text", async () => {
  const { code, stdout } = await deno("-A", path("examples/demo.ts"), "--help");
  assert.equal(code, 0);
  assert.match(stdout, /deno task demo --connection amqp:/);
  assert.match(stdout, /deno task demo --connection redis:/);
});
