/** `channelts get … | filter | channelts put …`: each part is killed in turn, and nothing is lost. */

import { equal, match, ok } from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Channel } from "../mod.ts";
import { numbers, pause, until, within } from "./conformance/fixture.ts";
import { cliCommand, cliEnv } from "./support/cli.ts";
import { redisUri } from "./support/redis_setup.ts";

const broker = process.env.BROKER!;
ok(broker, "BROKER names no broker: run with `deno task test`");
const redis = await redisUri();

/** A filter that writes a line for each line, at once: jq, or where there is none, sed. */
const filter = spawnSync("jq", ["--version"]).status === 0
  ? ["jq", "-c", "--unbuffered", "{n: .n, seen: true}"]
  : ["sed", "-u", 's/}$/,"seen":true}/'];

const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(" ");

/** A pipeline of three programs. Each is `exec`ed by a shell that has written its process id to a file. */
class Pipeline implements AsyncDisposable {
  readonly ended: Promise<number | null>;
  readonly #folder: string;
  #stderr = "";

  constructor(folder: string, uri: string, parts: readonly (readonly string[])[]) {
    this.#folder = folder;
    const line = parts.map((words, i) =>
      `sh -c 'echo $$ >"$0"; exec "$@"' ${quoted([join(folder, `pid${i}`)])} ${quoted(words)}`
    ).join(" | ");
    const shell = spawn("sh", ["-c", line], {
      env: cliEnv({ CHANNELTS_URI: uri }),
      stdio: ["ignore", "inherit", "pipe"],
    });
    shell.stderr.on("data", (chunk) => this.#stderr += chunk);
    this.ended = new Promise((resolve) => shell.on("close", (code) => resolve(code)));
  }

  get stderr(): string {
    return this.#stderr;
  }

  async pid(index: number): Promise<number> {
    const file = join(this.#folder, `pid${index}`);
    await until(() => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"));
    return Number(readFileSync(file, "utf8"));
  }

  async kill(index: number, signal: NodeJS.Signals): Promise<void> {
    try {
      process.kill(await this.pid(index), signal);
    } catch {
      // it has ended
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const index of [0, 1, 2]) await this.kill(index, "SIGKILL");
    await this.ended;
  }
}

/** Starts the pipeline between two channels, with receipts. */
async function pipelineOf(
  folder: string,
  uri: string,
  from: string,
  to: string,
): Promise<Pipeline> {
  const program = await cliCommand();
  const receipts = ["--receipts", join(folder, "receipts.sock")];
  return new Pipeline(folder, uri, [
    [...program, "get", from, "--follow", ...receipts],
    filter,
    [...program, "put", to, ...receipts],
  ]);
}

function pipelineTest(title: string, body: (folder: string, uri: string) => Promise<void>): void {
  for (const engine of ["sqlite", "amqp", "redis"] as const) {
    Deno.test({
      name: `cli pipeline: ${title} (${engine})`,
      sanitizeOps: false, // the connections stay open for a moment
      sanitizeResources: false,
      async fn() {
        const folder = mkdtempSync(
          join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-pipeline-"),
        );
        try {
          const uris = { sqlite: `sqlite:${join(folder, "channels.db")}`, amqp: broker, redis };
          await body(folder, uris[engine]);
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      },
    });
  }
}

const names = ["get", "the filter", "put"];

for (const [index, killed] of names.entries()) {
  pipelineTest(`nothing is lost if ${killed} is killed`, async (folder, uri) => {
    const suffix = crypto.randomUUID();
    const from = new Channel<{ n: number }>({ name: `pipeline-in-${suffix}`, connection: uri });
    const to = new Channel<{ n: number; seen: boolean }>({
      name: `pipeline-out-${suffix}`,
      connection: uri,
    });
    let total = 0;
    /** Keeps some values waiting until `end` resolves, so that the work goes on. */
    const feed = async (end: Promise<unknown>) => {
      let isOver = false;
      end.finally(() => isOver = true);
      while (!isOver) {
        if (total - await to.depth() > 1500) await pause(5);
        else await Promise.all(numbers(100).map(() => from.put({ n: total++ })));
      }
    };
    try {
      await to.depth(); // creates it
      {
        await using pipeline = await pipelineOf(folder, uri, from.name, to.name);
        const feeding = feed(pipeline.ended);
        await until(async () => await to.depth() > 100); // in the middle of the work
        if (killed === "put") { // it stops, so that values have no receipt when it is killed
          await pipeline.kill(index, "SIGSTOP");
          await until(async () => total - await to.depth() - await from.depth() >= 500);
        }
        await pipeline.kill(index, "SIGKILL");
        await within(pipeline.ended, 60_000);
        await feeding;
        if (index > 0) match(pipeline.stderr, /no receipt of put; they are back|has ended/);
      }
      const [moved, left] = [new Set<number>(), new Set<number>()];
      await until(async () => { // what a process that was killed held comes back
        await takeAll(to, moved);
        await takeAll(from, left);
        return new Set([...moved, ...left]).size === total; // nothing is lost
      });
      ok(
        moved.size > 100 && moved.size < total,
        `${moved.size} of ${total} were moved: it was killed too late`,
      );
      process.stdout.write(
        `${killed} killed: ${moved.size} moved, ${moved.size + left.size - total} twice\n`,
      );
    } finally {
      await from.delete();
      await to.delete();
    }
  });
}

/** Takes all values that are in a channel, and adds their numbers. */
async function takeAll(channel: Channel<{ n: number }>, numbers: Set<number>): Promise<void> {
  for (let result; (result = await channel.tryGet()).status === "ok";) numbers.add(result.value.n);
}

pipelineTest("Ctrl-C in all of it loses nothing, and puts nothing twice", async (folder, uri) => {
  const suffix = crypto.randomUUID();
  const from = new Channel<{ n: number }>({ name: `pipeline-in-${suffix}`, connection: uri });
  const to = new Channel<{ n: number }>({ name: `pipeline-out-${suffix}`, connection: uri });
  try {
    for (let n = 0; n < 10; n++) await from.put({ n });
    await using pipeline = await pipelineOf(folder, uri, from.name, to.name);
    await until(async () => await to.depth() === 10);
    for (const index of [0, 1, 2]) await pipeline.kill(index, "SIGINT");
    const code = await within(pipeline.ended, 60_000);
    ok(code === 130 || code === 0, `${code}`); // 0 if put had read the end of its input before its signal
    equal(await from.depth(), 0);
    equal(await to.depth(), 10);
  } finally {
    await from.delete();
    await to.delete();
  }
});
