// Processes on three runtimes share the channels of one Redis.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Channel, ChannelTimeoutError, serve } from "../mod.ts";
import { connectionsRest, numbers, rejection, until, within } from "./conformance/fixture.ts";
import { CORPUS } from "./codec/corpus.ts";
import { assertEquivalent } from "./codec/equivalent.ts";
import { type Child, startChild } from "./support/child.ts";
import { redisSetup, redisUri } from "./support/redis_setup.ts";
import { findRuntime, type Runtime } from "./support/runtimes.ts";

const runtimes = await Promise.all((["deno", "bun", "node"] as const).map(findRuntime));
const uri = await redisUri();
const { waiting } = redisSetup(uri);

/** The names of the channels, which are deleted at the end. */
const names: string[] = [];
Deno.test.afterAll(async () => {
  for (const name of names) {
    const channel = new Channel({ name, connection: uri });
    await channel.delete();
    await channel.close();
  }
});

/** Returns a name that nobody else uses. */
function newName(what: string): string {
  const name = `test ${randomUUID()} ${what}`;
  names.push(name);
  return name;
}

function run(runtime: Runtime, program: string, ...args: string[]): Child {
  return startChild(new URL(`programs/${program}.ts`, import.meta.url), { runtime, args });
}

async function untilWaiting(name: string, processes: number): Promise<void> {
  await until(async () => await waiting(name) === processes, 40_000, 20);
}

async function endsInOrder(child: Child): Promise<void> {
  assert.deepEqual(await within(child.exited), { code: 0, signal: null }, child.stderr);
  assert.equal(child.stderr, "");
}

Deno.test("redis: three producers and three consumers on three runtimes move 1,500 values, each once and in order, and one closeAll ends all", async () => {
  await using stack = new AsyncDisposableStack();
  const channel = new Channel<number>({ name: newName("race"), connection: uri });
  const go = new Channel<true>({ name: newName("go"), connection: uri });
  const count = 500;
  const start = (program: string, ...args: string[]) =>
    runtimes.map((one, i) =>
      stack.use(
        run(
          one,
          program,
          uri,
          channel.name,
          ...args.map((arg) => arg === "I" ? String(i * count) : arg),
        ),
      )
    );
  const producers = start("producer", go.name, "I", String(count));
  const consumers = start("consumer");
  for (const producer of producers) assert.equal(await producer.next(40_000), "ready");
  await untilWaiting(channel.name, consumers.length);
  for (const _ of producers) await go.put(true);
  const shares = consumers.map((): number[] => []);
  const collected = consumers.map(async (consumer, i) => {
    for await (const value of consumer.lines) shares[i]!.push(value as number);
  });
  await until(() => shares.flat().length >= 3 * count, 60_000);
  for (const producer of producers) assert.equal(await producer.next(), "done");
  await channel.closeAll();
  for (const producer of producers) {
    assert.deepEqual(await producer.next(), { reason: "closeAll" });
  }
  for (const child of [...producers, ...consumers]) await endsInOrder(child);
  await Promise.all(collected);
  assert.deepEqual(shares.flat().sort((a, b) => a - b), numbers(3 * count));
  for (const share of shares) {
    assert.ok(share.length > 0);
    for (const i of [0, 1, 2]) {
      const ofOne = share.filter((value) => Math.floor(value / count) === i);
      assert.deepEqual(ofOne, ofOne.toSorted((a, b) => a - b), `the order of producer ${i}`);
    }
  }
  await Promise.all([channel.close(), go.close()]);
  await connectionsRest();
});

Deno.test("redis: processes on three runtimes are served in the order of their waiting", async () => {
  await using stack = new AsyncDisposableStack();
  const channel = new Channel<number>({ name: newName("turns"), connection: uri });
  const getters: Child[] = [];
  for (const runtime of runtimes) {
    getters.push(stack.use(run(runtime, "getter", uri, channel.name)));
    await untilWaiting(channel.name, getters.length);
  }
  for (const n of [0, 1, 2]) await channel.put(n);
  for (const [n, getter] of getters.entries()) {
    assert.equal(await getter.next(), n);
    await endsInOrder(getter);
  }
  await channel.close();
  await connectionsRest();
});

for (const runtime of runtimes) {
  Deno.test(`redis: what a process on ${runtime.name} holds when it is killed goes to another, with its attempts counted`, async () => {
    const name = newName(`held by ${runtime.name}`);
    const channel = new Channel<number>({ name, connection: uri, maxAttempts: 50 });
    await channel.put(1);
    for (const attempts of [1, 3]) {
      await using holder = run(runtime, "holder", uri, name, "50");
      assert.deepEqual(await holder.next(40_000), {
        value: 1,
        attempts,
        redelivered: attempts > 1,
      });
      await rejection(channel.get({ timeout: 0 }), ChannelTimeoutError);
      const next = channel.receive();
      holder.kill();
      const delivery = await within(next);
      assert.deepEqual([delivery.redelivered, delivery.attempts], [true, attempts + 1]);
      delivery.release();
    }
    await channel.close();
    await connectionsRest();
  });

  Deno.test(`redis: a process on ${runtime.name} replies on channels that it gets, waits for a receiver, and sends each value back`, async () => {
    await using stack = new AsyncDisposableStack();
    // A channel in a message, in both directions.
    const jobs = new Channel<unknown>({ name: newName("jobs"), connection: uri });
    const replier = stack.use(run(runtime, "replier", uri, jobs.name));
    const replies = new Channel<{ square: number; more: Channel<string> }>({ connection: uri });
    for (const n of [6, 7]) {
      await jobs.put({ n, replyTo: replies });
      const { square, more } = await replies.get({ timeout: 40_000 });
      assert.equal(square, n * n);
      await more.put(`thanks for ${square}`);
      await more.close();
      assert.equal(await replier.next(), `thanks for ${square}`);
    }
    await jobs.closeAll();
    await endsInOrder(replier);
    // A channel without capacity, and one with a capacity of 1.
    const there = new Channel<unknown>({ name: newName("there"), connection: uri, capacity: 0 });
    const back = new Channel<unknown>({ name: newName("back"), connection: uri, capacity: 1 });
    const echo = stack.use(run(runtime, "echo", uri, there.name, back.name));
    const arrived = (async () => {
      const values: unknown[] = [];
      for await (const value of back) if (values.push(value) === CORPUS.length) break;
      return values;
    })();
    for (const [, make] of CORPUS) await within(there.put(make()), 40_000);
    for (const [i, value] of (await within(arrived)).entries()) {
      assertEquivalent(value, CORPUS[i]![1]());
    }
    await there.closeAll();
    await endsInOrder(echo);
    await Promise.all([jobs, replies, there, back].map((channel) => channel.close()));
    await connectionsRest();
  });
}

Deno.test("redis: broadcasts and requests reach processes on three runtimes, which then end by themselves", async () => {
  await using stack = new AsyncDisposableStack();
  const channel = new Channel<unknown>({ name: newName("news"), connection: uri });
  const listeners = runtimes.map((one) => stack.use(run(one, "listener", uri, channel.name)));
  for (const listener of listeners) assert.equal(await listener.next(40_000), "listens");
  for (const n of [1, 2]) await channel.broadcast(n);
  await channel.closeAll();
  for (const listener of listeners) {
    for (const reported of [1, 2, "over"]) assert.equal(await listener.next(), reported);
    await endsInOrder(listener);
  }
  const questions = new Channel<{ n: number }>({ name: newName("questions"), connection: uri });
  const stop = new AbortController();
  const serving = serve(questions, ({ n }) => ({ n: n + 1 }), { signal: stop.signal });
  const askers = runtimes.map((one) => stack.use(run(one, "asker", uri, questions.name)));
  for (const asker of askers) {
    assert.deepEqual(await asker.next(40_000), { n: 2 });
    await endsInOrder(asker);
  }
  stop.abort();
  await serving.catch(() => {}); // it rejects with the signal's reason
  await Promise.all([channel.close(), questions.close()]);
  await connectionsRest();
});
