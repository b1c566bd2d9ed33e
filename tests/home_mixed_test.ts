// One channel of a home, used by this process, a page in Chromium over a WebSocket, a Python process over ZeroMQ, and a
// Node process over either.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Channel, listen } from "../home.ts";
import { connectionsRest, until } from "./conformance/fixture.ts";
import { Program } from "./examples/program.ts";
import { Chromium, findChromium } from "./support/chromium.ts";
import { linkPackages, noNpm } from "./support/npm.ts";
import { installedPackage } from "./support/package.ts";
import { pyzmq, withoutPyzmq } from "./support/pyzmq.ts";
import { findRuntime } from "./support/runtimes.ts";
import { test } from "./support/test.ts";
import { TESTS } from "./support/test_files.ts";

const chromium = noNpm ? new Error(noNpm) : await findChromium();
const skip = withoutPyzmq || (chromium instanceof Error && chromium.message);

const HTML = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<script type="importmap">{ "imports": { "@channelts/channel/web": "/package/web.js" } }</script>`;

interface Job {
  readonly n: number;
  readonly text: string;
  readonly replyTo: Channel<Answer>;
}

interface Answer {
  readonly who: string;
  readonly n: number;
  readonly square: number;
  readonly text: string;
}

/** Serves the page, and the scripts of the package as they are. */
async function servePage(scripts: string) {
  const server = createServer((request, response) => {
    const path = request.url!;
    const type = path === "/" ? "text/html" : "text/javascript";
    response.setHeader("content-type", `${type}; charset=utf-8`);
    if (path === "/") response.end(HTML);
    else if (path === "/worker.js") response.end(readFileSync(join(TESTS, "web/mixed_worker.js")));
    else response.end(readFileSync(join(scripts, path.replace("/package/", ""))));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

test(
  "homes: a page, a Python process, and Node processes over ZeroMQ and WebSocket do the jobs of one channel",
  {
    skip,
  },
  async () => {
    const { folder: installed } = await installedPackage();
    const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-mixed-"));
    const site = await servePage(join(installed, "node_modules/@channelts/channel"));
    const programs: Program[] = [];
    try {
      linkPackages(installed, folder);
      writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);
      cpSync(join(TESTS, "web/mixed_worker.js"), join(folder, "mixed_worker.js"));
      await using home = await listen(["zmq://127.0.0.1:0", "ws://127.0.0.1:0/channels"], {
        origins: [site.origin],
      });
      const [zmq, ws] = home.addresses as [string, string];
      const jobs = new Channel<Job>({ name: "mixed jobs", connection: home, encoding: "json" });
      const answers = jobs.clone<Answer>();

      await using browser = await Chromium.start(chromium as string);
      const page = await browser.open(site.origin);
      const args = ["a page", ws, jobs.name].map((arg) => JSON.stringify(arg));
      const ended = page.evaluate(`import("/worker.js").then(({ work }) => work(${args}))`);
      const { command: node } = await findRuntime("node");
      const start = (...command: string[]) => {
        const program = new Program(command, pyzmq!.env, folder);
        programs.push(program);
        return program;
      };
      const worker = join(TESTS, "programs/mixed_worker.py");
      const python = start(pyzmq!.python, worker, zmq.replace("zmq:", "tcp:"), jobs.name);
      const nodes = [zmq, ws].map((address) => {
        const name = `Node over ${address.split(":")[0]}`;
        return start(...node, "mixed_worker.js", name, address, jobs.name);
      });

      // Jobs are put until each worker has done some, and each job is done once.
      const counts = new Map<string, number>();
      const seen = new Set<number>();
      const workers = 2 + nodes.length;
      let n = 0;
      await until(async () => {
        await jobs.put({ n, text: `é ${n}`, replyTo: answers });
        const { who, ...answer } = await answers.get({ timeout: 20_000 });
        assert.deepEqual(answer, { n, square: n ** 2, text: `É ${n}` });
        assert.ok(!seen.has(n), `${n} is done once`);
        seen.add(n++);
        counts.set(who, (counts.get(who) ?? 0) + 1);
        return counts.size === workers && Math.min(...counts.values()) >= 5;
      }, 60_000);
      await jobs.closeAll({ drain: true });
      assert.equal(await ended, counts.get("a page"));
      assert.match(await python.done(), /^ended$/m);
      for (const program of nodes) {
        const [, name, count] = /^(.*) has done (\d+) jobs$/m.exec(await program.done())!;
        assert.equal(Number(count), counts.get(name!));
      }
      assert.equal(await answers.depth(), 0);
      assert.deepEqual(page.problems, []);
      process.stdout.write(`${[...counts].map(([who, count]) => `${who}: ${count}`).join(", ")}\n`);
      await Promise.all([jobs.delete(), answers.delete()]);
    } finally {
      for (const program of programs) await program[Symbol.asyncDispose]();
      await site.close();
      await connectionsRest();
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
