// The examples in a project that has the npm package: on Bun and on Node 22, without flags.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { linkPackages, noNpm } from "../support/npm.ts";
import { installedPackage } from "../support/package.ts";
import { findNode, findRuntime } from "../support/runtimes.ts";
import { test } from "../support/test.ts";
import { ROOT } from "../support/test_files.ts";
import { Program } from "./program.ts";

for (
  const [title, find] of [
    ["Bun", () => findRuntime("bun")],
    ["Node 22", () => findNode("22")],
  ] as const
) {
  test(`examples: on ${title}, each runs in a project with the package`, {
    skip: noNpm,
  }, async () => {
    const { command: [runtime] } = await find();
    const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-examples-"));
    try {
      linkPackages((await installedPackage()).folder, folder);
      writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
      cpSync(join(ROOT, "examples"), folder, { recursive: true });
      const env = { CHANNELTS_URI: `sqlite:${join(folder, "channels.db")}`, JOBS: "20" };
      const start = (file: string, ...args: string[]) =>
        new Program([runtime, join(folder, file), ...args], { ...env, INTERVAL: "5", WORK: "5" });
      const output = async (file: string, ...args: string[]) => {
        await using program = start(file, ...args);
        return await program.done();
      };

      assert.match(await output("quickstart.ts"), /^4 × 4 = 16$/m);
      const workers = await output("workers.ts", "--limit", "500000");
      assert.match(workers, /^41,538 primes: the same$/m);
      assert.match(await output("worker_pool.ts"), /^19 jobs are done$/m);
      assert.match(await output("pipeline.ts"), /^\d+ different words$/m);
      assert.match(await output("request_reply.ts"), /^fibonacci\(50\) = 12586269025$/m);
      assert.match(await output("crawler.ts", "--rate", "100"), /^13 pages$/m);
      {
        await using cron = start("cron.ts");
        await cron.line(/^write a report: /);
        cron.kill("SIGTERM");
        await cron.done();
      }
      {
        await using dashboard = start("dashboard.ts", "--port", "0");
        const [url] = await dashboard.line(/^http:.*/);
        const events = await fetch(`${url}events`, { signal: AbortSignal.timeout(30_000) });
        const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader();
        for (let text = ""; !text.includes("data: {");) text += (await reader.read()).value;
        await reader.cancel();
        dashboard.kill("SIGTERM");
        await dashboard.done();
      }
      await using worker = start("compose/worker.ts");
      assert.match(await output("compose/producer.ts"), /^all 20 jobs are done/m);
      worker.kill("SIGTERM");
      assert.match(await worker.done(), /has ended$/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
