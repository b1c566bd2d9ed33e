// Requests between processes, some of which die.
import assert from "node:assert/strict";
import process from "node:process";
import { Channel } from "../mod.ts";
import { connectionsRest, numbers, pause, shareOfRuntime, within } from "./conformance/fixture.ts";
import { type Child, startChild } from "./support/child.ts";
import { decidedOnFirstBroker } from "./support/conditions.ts";
import { redisUri } from "./support/redis_setup.ts";
import { sqliteDirectory } from "./support/sqlite_file.ts";
import { test as declare } from "./support/test.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

const redis = decidedOnFirstBroker === false ? await redisUri() : "";

/** In the gate, each runtime has all tests, each on one of the transports. A further broker has all of its own. */
const share = decidedOnFirstBroker === false ? shareOfRuntime() : undefined;
let declared = 0;

type Work = { n: number; die?: number[] };

interface Context {
  readonly channel: Channel<Work>;
  server(): Promise<Child>;
  asker(): Child;
}

/** Declares a test of servers on a new channel, which is deleted after it. */
function test(
  title: string,
  use: (context: Context) => Promise<void>,
  options: { maxAttempts?: number } = {},
): void {
  const number = declared++;
  const all = [["amqp", broker], ["redis", redis], ["sqlite", ""]] as const;
  for (const [i, [label, connection]] of all.entries()) {
    const isElsewhere = share !== undefined && (number + i) % share.of !== share.part;
    const skip = isElsewhere
      ? "requests between processes: the case runs on another runtime"
      : label !== "amqp" && decidedOnFirstBroker;
    declare(`requests between processes: ${title} (${label})`, { skip }, async () => {
      const uri = connection || `sqlite:${sqliteDirectory()}/requests.db`;
      const channel = new Channel<Work>({
        name: `test ${crypto.randomUUID()}`,
        connection: uri,
        ...options,
      });
      const children: Child[] = [];
      const start = (program: string) => {
        const more = options.maxAttempts === undefined ? [] : [String(options.maxAttempts)];
        const child = startChild(new URL(`programs/${program}.ts`, import.meta.url), {
          args: [uri, channel.name, ...more],
        });
        children.push(child);
        return child;
      };
      try {
        await channel.depth();
        await use({
          channel,
          async server() {
            const child = start("server");
            assert.equal(await within(child.next()), "ready");
            return child;
          },
          asker: () => start("asker"),
        });
      } finally {
        for (const child of children) await child[Symbol.asyncDispose]();
        await channel.close();
        const ending = new Channel({ name: channel.name, connection: uri });
        await ending.delete();
        await connectionsRest();
        await pause(100); // an unused file stays open for a moment, too
      }
    });
  }
}

test("servers share requests, and an idle server ends with the channel", async (context) => {
  const servers = [await context.server(), await context.server()];
  const answers = await within(
    Promise.all(numbers(200).map((n) => context.channel.request<{ n: number; by: number }>({ n }))),
  );
  assert.deepEqual(answers.map(({ n }) => n), numbers(200, 1));
  assert.equal(new Set(answers.map(({ by }) => by)).size, 2);
  await context.channel.closeAll();
  for (const server of servers) {
    assert.deepEqual(await within(server.exited), { code: 0, signal: null }, server.stderr);
  }
});

test("a request whose server is killed goes to another server", async (context) => {
  const first = await context.server();
  const request = context.channel.request({ n: 1, die: [] });
  assert.deepEqual(await within(first.next()), { began: 1 });
  const second = await context.server();
  process.kill(first.pid, "SIGKILL");
  assert.deepEqual(await within(second.next()), { began: 1 });
  const gaveUp = assert.rejects(request, { name: "ChannelClosedError" });
  await context.channel.close();
  await gaveUp;
  assert.deepEqual(await within(second.next()), { aborted: 1 });
});

test(
  "a request that kills its servers becomes a dead letter and does not affect others",
  async (context) => {
    const dead = context.channel.deadLetters;
    const fatal = context.channel.request({ n: 1, die: [9] }).catch((error) => error);
    for (const _ of numbers(2)) {
      const server = await context.server();
      assert.deepEqual(await within(server.next()), { began: 1 });
      await within(server.exited);
    }
    const last = await context.server();
    assert.equal((await within(context.channel.request<{ n: number }>({ n: 5 }))).n, 6);
    const { value } = await within(dead.get()) as unknown as { value: Work };
    assert.equal(value.n, 1);
    await dead.delete();
    await context.channel.closeAll();
    assert.equal((await fatal as Error).name, "ChannelClosedError");
    await within(last.exited);
  },
  { maxAttempts: 2 },
);

test("a process that has sent a request and waits for nothing ends", async (context) => {
  const server = await context.server();
  const asker = context.asker();
  assert.equal((await within(asker.next()) as Work).n, 2);
  assert.deepEqual(await within(asker.exited), { code: 0, signal: null }, asker.stderr);
  await context.channel.closeAll();
  await within(server.exited);
});
