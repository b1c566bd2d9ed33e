// The example of a Python worker beside a TypeScript worker.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Channel } from "../../mod.ts";
import { connectionsRest } from "../conformance/fixture.ts";
import { brokerState } from "../support/broker_state.ts";
import { noPython } from "../support/conditions.ts";
import { controlFromEnv } from "../support/control.ts";
import { untilAsBefore } from "../support/leftovers.ts";
import { test } from "../support/test.ts";
import { example, Program } from "./program.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

const worker = fileURLToPath(new URL("../../examples/channelpy_worker.py", import.meta.url));

/** ChannelPy's client cannot do without the user and the password. */
const url = new URL(broker);
url.username ||= "guest";
url.password ||= "guest";

async function restoring(body: () => Promise<void>): Promise<void> {
  const before = await brokerState();
  try {
    await body();
  } finally {
    await new Channel({ name: "examples-squares", connection: broker }).delete();
    await connectionsRest();
  }
  if (before !== undefined) await untilAsBefore(controlFromEnv()!, before);
}

Deno.test("examples: channelpy.ts does its jobs without a Python worker", async () => {
  await restoring(async () => {
    await using jobs = new Program(example("channelpy.ts", "--connection", broker));
    assert.equal(await jobs.done(), "TypeScript has done 20 jobs");
  });
});

test("examples: channelpy_worker.py is valid Python", { skip: noPython() }, () => {
  const check = "import ast, sys; ast.parse(open(sys.argv[1]).read())";
  const { status, stderr } = spawnSync("python3", ["-c", check, worker]);
  assert.equal(status, 0, String(stderr));
});

const skip = spawnSync("python3", ["-c", "import channelpy"]).status !== 0 &&
  "python3 or its package channelpy is not installed";

test("examples: channelpy.ts shares its jobs with a Python worker", { skip }, async () => {
  await restoring(async () => {
    let output = "";
    for (let attempt = 0; attempt < 5 && !output.includes("Python"); attempt++) {
      // Each time, the jobs may all go to the other worker.
      await using python = new Program(["python3", worker, url.href]);
      await python.line(/^the Python worker is ready$/);
      await using jobs = new Program(example("channelpy.ts", "--connection", broker));
      output = await jobs.done();
      assert.match(await python.done(), /^the Python worker ends$/m);
    }
    assert.match(output, /^Python has done \d+ jobs?$/m);
  });
});
