// Processes on three runtimes and two kinds of pipes share the channels of one home.
import assert from "node:assert/strict";
import { Channel, ChannelTimeoutError } from "../mod.ts";
import { numbers, rejection, until, within } from "./conformance/fixture.ts";
import { censusOf, type HomeProcess, startHome } from "./homes/home_process.ts";
import { type Child, startChild } from "./support/child.ts";
import { startProxy } from "./support/proxy.ts";
import { findRuntime, type Runtime } from "./support/runtimes.ts";

const addresses = ["zmq://127.0.0.1:PORT", "ws://127.0.0.1:PORT"];
const runtimes = await Promise.all((["deno", "bun", "node"] as const).map(findRuntime));

function run(runtime: Runtime, program: string, ...args: string[]): Child {
  return startChild(new URL(`programs/${program}.ts`, import.meta.url), { runtime, args });
}

async function untilWaiting(home: HomeProcess, name: string, peers: number): Promise<void> {
  await until(async () => (await censusOf(home)).waiting[name] === peers, 40_000);
}

for (const runtime of runtimes) {
  Deno.test(`at a home on ${runtime.name}, two producers and six consumers move 3,000 values, each once, and one closeAll ends all`, async () => {
    await using home = await startHome({ addresses, runtime });
    const [zmq, ws] = home.addresses as [string, string];
    const channel = new Channel<number>({ name: "race", connection: zmq });
    const go = new Channel<true>({ name: "go", connection: zmq });
    await using stack = new AsyncDisposableStack();
    const count = 1500;
    const producers = [zmq, ws].map((uri, i) =>
      stack.use(
        run(runtimes[i]!, "producer", uri, "race", "go", String(i * count), String(count)),
      )
    );
    const consumers = runtimes.flatMap((one) =>
      [zmq, ws].map((uri) => stack.use(run(one, "consumer", uri, "race")))
    );
    for (const producer of producers) assert.equal(await producer.next(40_000), "ready");
    await untilWaiting(home, "race", consumers.length);
    for (const _ of producers) await go.put(true);
    const shares = consumers.map((): number[] => []);
    const collected = consumers.map(async (consumer, i) => {
      for await (const value of consumer.lines) shares[i]!.push(value as number);
    });
    await until(() => shares.flat().length >= 2 * count, 60_000);
    for (const producer of producers) assert.equal(await producer.next(), "done");
    await channel.closeAll();
    for (const producer of producers) {
      assert.deepEqual(await producer.next(), { reason: "closeAll" });
    }
    for (const child of [...producers, ...consumers]) {
      assert.deepEqual(await within(child.exited), { code: 0, signal: null }, child.stderr);
      assert.equal(child.stderr, "");
    }
    await Promise.all(collected);
    assert.deepEqual(shares.flat().sort((a, b) => a - b), numbers(2 * count));
    assert.ok(shares.every((share) => share.length > 0), `${shares.map((share) => share.length)}`);
    await Promise.all([channel.close(), go.close()]);
    await until(async () => (await censusOf(home)).peers.length === 0);
  });
}

for (const [pipe, n] of [["zmq", 0], ["ws", 1]] as const) {
  Deno.test(`${pipe}: what a killed peer holds goes to another at once, with its attempts counted`, async () => {
    await using home = await startHome({ addresses });
    const uri = home.addresses[n]!;
    const channel = new Channel<number>({ name: "jobs", connection: uri, maxAttempts: 50 });
    await channel.put(1);
    for (const attempts of [1, 3, 5]) {
      await using holder = run(runtimes[2]!, "holder", uri, "jobs", "50");
      assert.deepEqual(await holder.next(), { value: 1, attempts, redelivered: attempts > 1 });
      await rejection(channel.get({ timeout: 0 }), ChannelTimeoutError);
      const next = channel.receive();
      holder.kill();
      const delivery = await within(next);
      assert.ok(delivery.redelivered);
      assert.equal(delivery.attempts, attempts + 1);
      delivery.release();
    }
    await channel.delete();
    await channel.close();
  });

  Deno.test(`${pipe}: what a peer holds that is stopped, or whose network drops everything, goes to another`, async () => {
    await using home = await startHome({ addresses, options: { heartbeat: 500 } });
    const uri = home.addresses[n]!;
    const framing = pipe === "zmq" ? "zmtp" : "websocket";
    await using proxy = await startProxy(home.ports[n]!, framing);
    const throughProxy = uri.replace(`:${home.ports[n]}`, `:${proxy.port}`);
    const channel = new Channel<number>({ name: "jobs", connection: uri, maxAttempts: 50 });
    await channel.put(1);
    for (const how of ["stopped", "cut off"]) {
      const address = how === "stopped" ? uri : throughProxy;
      await using holder = run(runtimes[2]!, "holder", address, "jobs", "50");
      const { attempts } = await holder.next() as { attempts: number };
      if (how === "stopped") holder.kill("SIGSTOP");
      else proxy.dropAll();
      const delivery = await within(channel.receive(), 40_000);
      assert.deepEqual([delivery.redelivered, delivery.attempts], [true, attempts + 1]);
      delivery.release();
    }
    await channel.delete();
    await channel.close();
  });
}
