// Each example tells its story, on a SQLite file, a broker and a Redis, and survives the crashes that it claims to survive.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { Channel } from "../../mod.ts";
import { connectionsRest } from "../conformance/fixture.ts";
import { brokerState } from "../support/broker_state.ts";
import { controlFromEnv } from "../support/control.ts";
import { untilAsBefore, untilNoMoreThan } from "../support/leftovers.ts";
import { redisUri, stateOf, withAdmin } from "../support/redis_setup.ts";
import { sqliteDirectory } from "../support/sqlite_file.ts";
import { ROOT } from "../support/test_files.ts";
import { example, killed, Program } from "./program.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");
const redis = await redisUri();
const directory = sqliteDirectory();

Deno.test("examples: each is on the page, and says how to run it on each runtime", () => {
  const folder = join(ROOT, "examples");
  const page = readFileSync(join(folder, "README.md"), "utf8");
  const parts = ["demo_output.ts", "demo_workers.ts", "worker.ts"]; // of demo.ts
  for (const file of readdirSync(folder).filter((file) => /\.(ts|py)$/.test(file))) {
    if (parts.includes(file)) continue;
    assert.ok(page.includes(`[\`${file}\`](${file})`), `README.md lists ${file}`);
    if (file === "demo.ts" || file.endsWith(".py")) continue;
    const head = /^(\/\/.*\n)+/.exec(readFileSync(join(folder, file), "utf8"))![0];
    for (const command of ["deno run", "bun", "node"]) {
      assert.match(head, new RegExp(`\\b${command} .*${file}`), file);
    }
    assert.match(head, /22\.18 or newer/, file);
    assert.match(head, /killed|terminated|crash/, file);
  }
});

/** Declares a test for each transport. Afterwards, nothing may be left on the servers but the named channels. */
function each(
  title: string,
  body: (run: (...args: string[]) => Program, connection: string) => Promise<void>,
  channels: readonly string[] = [],
): void {
  const file = `sqlite:${join(directory, `${title.replaceAll(/\W+/g, "_")}.db`)}`;
  const all = [["SQLite", file], ["a broker", broker], ["a Redis", redis]] as const;
  for (const [transport, connection] of all) {
    Deno.test(`examples: ${title}, on ${transport}`, async () => {
      const before = connection === broker ? await brokerState() : undefined;
      const held = connection === redis ? await withAdmin(redis, stateOf) : undefined;
      const started: Program[] = [];
      try {
        await body((file, ...args) => {
          const program = new Program(example(file!, ...args, "--connection", connection));
          started.push(program);
          return program;
        }, connection);
      } finally {
        for (const program of started) await program[Symbol.asyncDispose]();
        if (connection !== file) {
          for (const name of channels) await new Channel({ name, connection }).delete();
          await connectionsRest();
        }
      }
      if (before !== undefined) await untilAsBefore(controlFromEnv()!, before);
      if (held !== undefined) await untilNoMoreThan(() => withAdmin(redis, stateOf), held);
    });
  }
}

each("worker_pool.ts does all jobs although workers die", async (run) => {
  const output = await run("worker_pool.ts").done();
  assert.equal(output.match(/^worker \d+ was killed by SIGKILL$/gm)?.length, 3, output);
  assert.equal(output.match(/^worker \d+ starts$/gm)?.length, 6, output);
  assert.match(output, /^job 7 was done by worker \d+, at attempt 2$/m);
  assert.match(output, /^19 jobs are done$/m);
  assert.match(output, /^job 13 is a dead letter: maxAttempts: received 2 times/m);
});

each("pipeline.ts counts right although a stage is killed", async (run) => {
  const file = join(directory, "lines.txt");
  const lines = Array.from({ length: 1000 }, (_, i) => i % 5 === 0 ? "one two" : "one, one");
  writeFileSync(file, lines.join("\n"));
  const pipeline = run("pipeline.ts", file);
  killed(Number((await pipeline.line(/^process (\d+) splits lines$/))[1]));
  const output = await pipeline.done();
  assert.match(output, /^ 1800 one$/m);
  assert.match(output, /^ {2}200 two$/m);
  assert.match(output, /^2 different words$/m);
});

each("request_reply.ts answers although a server is killed", async (run) => {
  const client = run("request_reply.ts", "60", "60", "61", "0.5");
  const first = run("request_reply.ts", "serve");
  await first.line(/^server \d+ works on 60$/);
  first.kill("SIGKILL");
  const second = run("request_reply.ts", "serve");
  const output = await client.done();
  assert.equal(output.match(/^fibonacci\(60\) = 1548008755920$/gm)?.length, 2, output);
  assert.match(output, /^fibonacci\(61\) = 2504730781961$/m);
  assert.match(output, /^fibonacci\(0\.5\): 0\.5 is not a natural number$/m);
  second.kill("SIGTERM");
  assert.match(await second.done(), /^server \d+ has ended$/m);
}, ["examples: fibonacci"]);

each("crawler.ts fetches each page at its rate although a fetcher is killed", async (run) => {
  const rate = 20;
  let last = 0;
  const fetched: string[] = [];
  const site = createServer((request, response) => {
    last = performance.now();
    const isFirst = !fetched.includes(request.url!);
    fetched.push(request.url!);
    const n = Number(request.url!.slice(1));
    if (n === 2 && isFirst) return killed(Number(/\d+/.exec(request.headers["user-agent"]!)![0]));
    if (n >= 10) return response.writeHead(404).end();
    response.end(
      `<a href="/${2 * n + 1}">, <a class=x href='/' href="${2 * n + 2}">, ` +
        '<a href="http://localhost:1/elsewhere">, <a href="/1#here">, <a href="http://[">',
    );
  });
  await once(site.listen(0, "127.0.0.1"), "listening");
  const { port } = site.address() as AddressInfo;
  try {
    const start = performance.now();
    const output = await run(
      "crawler.ts",
      `http://127.0.0.1:${port}/0`,
      ...["--rate", `${rate}`, "--fetchers", "3"],
    ).done();
    assert.match(output, /^fetcher \d+ was killed by SIGKILL$/m);
    assert.match(output, /^21 pages$/m);
    assert.equal(output.match(/^200 http/gm)?.length, 10, output);
    assert.equal(output.match(/^404 http/gm)?.length, 11, output);
    assert.equal(fetched.length, 22, "only the page of the killed fetcher was fetched twice");
    assert.ok(last - start >= fetched.length * 1000 / rate, `${last - start} ms`);
  } finally {
    site.close();
    site.closeAllConnections();
  }
});

each("cron.ts does each run although a worker is killed", async (run) => {
  const schedule = run("cron.ts", "schedule");
  await schedule.line(/^write a report: skipped, the last run still waits$/);
  for (let isAgain = false; !isAgain;) {
    const worker = run("cron.ts", "work");
    const report = /^write a report: \d{4}-[\d:.T-]+Z(, again)?, by process \d+$/;
    isAgain = (await worker.line(report))[1] !== undefined;
    worker.kill(isAgain ? "SIGTERM" : "SIGKILL"); // which may come after the run
    if (isAgain) await worker.done();
  }
  schedule.kill("SIGTERM");
  await schedule.done();
}, ["examples: cron: collect figures", "examples: cron: write a report"]);

each("dashboard.ts sends the broadcasts of processes that come and go to browsers", async (run) => {
  const servers = [1, 2].map(() => run("dashboard.ts", "serve", "--port", "0"));
  const streams = await Promise.all(servers.map(async (server) => {
    const [url] = await server.line(/^http:.*/);
    const page = await (await fetch(url!)).text();
    assert.match(page, /new EventSource\("\/events"\)/);
    const response = await fetch(`${url}events`, { signal: AbortSignal.timeout(60_000) });
    assert.equal(response.headers.get("content-type"), "text/event-stream");
    return response.body!.pipeThrough(new TextDecoderStream()).getReader();
  }));
  const heard = async (reader: ReadableStreamDefaultReader<string>, text: string) => {
    for (let received = ""; !received.includes(text);) {
      const { value, done } = await reader.read();
      assert.ok(!done, "the stream ends");
      received += value;
    }
  };
  for (const source of ["ada", "bob"]) {
    const measuring = run("dashboard.ts", "measure", source);
    await Promise.all(
      streams.map((reader) => heard(reader, `data: {"source":"${source}","value":`)),
    );
    measuring.kill("SIGKILL");
  }
  await streams[0]!.cancel(); // a browser leaves
  for (const server of servers) server.kill("SIGTERM");
  await Promise.all(servers.map((server) => server.done()));
  while (!(await streams[1]!.read().catch(() => ({ done: true }))).done) await delay(0);
}, ["examples: measurements"]);
