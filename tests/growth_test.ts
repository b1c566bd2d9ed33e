// The cost of an operation must not depend on the number of others. Each pattern of use is compared with as many plain
// puts and gets in the same process: a quadratic cost is tens of times as much.
import { equal, ok } from "node:assert/strict";
import process from "node:process";
import { Channel } from "../mod.ts";
import { MemoryTransport } from "../src/transports/memory/transport.ts";
import type { Offer } from "../src/transports/transport.ts";
import { numbers } from "./conformance/fixture.ts";
import { collector } from "./support/garbage.ts";
import { linkOptions } from "./support/link.ts";

const N = 16_000;
/** How many times the cost of plain puts and gets a pattern may have. The actual maximum is four. */
const MOST = 12;

/** Returns the CPU time of `work` in microseconds. */
async function cost(work: () => Promise<unknown>): Promise<number> {
  const start = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(start);
  return user + system;
}

const order = (i: number) => i * 7919 % N;

const shapes: Record<string, (ch: Channel<number>) => Promise<unknown>> = {
  async "values that expire later, each got at once"(ch) {
    for (const n of numbers(N)) {
      await ch.put(n, { expires: 60_000 });
      await ch.get();
    }
  },
  async "values that wait, and expire at different times"(ch) {
    await Promise.all(numbers(N).map((n) => ch.put(n, { expires: 60_000 + order(n) })));
    for (const _ of numbers(N)) await ch.get();
  },
  async "delayed values"(ch) {
    await Promise.all(numbers(N).map((n) => ch.put(n, { delay: 1 + order(n) % 50 })));
    for (const _ of numbers(N)) await ch.get();
  },
  async "values of as many priorities"(ch) {
    await Promise.all(numbers(N).map((n) => ch.put(n, { priority: order(n) })));
    for (const _ of numbers(N)) await ch.get();
  },
  async "deliveries that are released in order"(ch) {
    await Promise.all(numbers(N).map((n) => ch.put(n)));
    const deliveries = await Promise.all(numbers(N).map(() => ch.receive()));
    for (const delivery of deliveries) delivery.release();
    for (const _ of numbers(N)) await ch.get();
  },
  async "deliveries that are released out of order"(ch) {
    await Promise.all(numbers(N).map((n) => ch.put(n)));
    const deliveries = await Promise.all(numbers(N).map(() => ch.receive()));
    for (const n of numbers(N)) deliveries[order(n)]!.release();
    for (const _ of numbers(N)) await ch.get();
  },
};

async function plain(ch: Channel<number>): Promise<void> {
  await Promise.all(numbers(N).map((n) => ch.put(n)));
  for (const _ of numbers(N)) await ch.get();
}

Deno.test("memory: the cost of an operation does not grow with the number of values", async () => {
  await using ch = new Channel<number>({ connection: "memory:growth" });
  await plain(ch); // warms up
  const least = Math.min(await cost(() => plain(ch)), await cost(() => plain(ch)));
  for (const [name, shape] of Object.entries(shapes)) {
    const ratio = await cost(() => shape(ch)) / least;
    ok(ratio < MOST, `${name}: ${ratio.toFixed(1)} times as much as plain ones`);
  }
});

Deno.test("memory: priorities that were used once do not make later puts more expensive", async () => {
  await using fresh = new Channel<number>({ connection: "memory:growth" });
  await using used = new Channel<number>({ connection: "memory:growth" });
  await shapes["values of as many priorities"]!(used);
  await plain(fresh); // warms up
  const least = Math.min(await cost(() => plain(fresh)), await cost(() => plain(fresh)));
  const ratio = await cost(() => plain(used)) / least;
  ok(ratio < 4, `${ratio.toFixed(1)} times as much as in a channel without priorities`);
});

Deno.test("memory: a value that was got leaves neither a timer nor its bytes", async () => {
  const collect = (await collector())!;
  const transport = new MemoryTransport();
  const link = await transport.open("growth", linkOptions);
  const put = (expires: number) => {
    const body = new Uint8Array(100_000);
    const message = { body, contentType: "", expires };
    link.put({ message, settled: false, taken() {}, reject() {} } satisfies Offer);
    return new WeakRef(body);
  };
  const take = async () => (await link.tryTake(false))!;
  // Only the accepted value is dropped; a waiting value stays.
  const [accepted, released, waiting] = [put(60_000), put(60_000), put(50_000)];
  (await take()).accept();
  (await take()).release();
  (await take()).accept();
  await collect();
  equal(accepted.deref(), undefined);
  equal(released.deref(), undefined);
  ok(waiting.deref() !== undefined);
  (await take()).accept(); // no timer is left, which Deno checks
  await link.close();
});

Deno.test("memory: a small waiting value does not retain the memory of values that passed", async () => {
  const collect = (await collector())!;
  await using waiting = new Channel<number>({ connection: "memory:growth" });
  await using passing = new Channel<Uint8Array>({ connection: "memory:growth" });
  const body = new Uint8Array(1500);
  const count = 1000;
  await collect();
  const before = process.memoryUsage();
  for (const n of numbers(count)) {
    await waiting.put(n);
    for (const _ of numbers(12)) { // enough for a buffer of the codec
      await passing.put(body);
      await passing.get();
    }
  }
  await collect();
  const after = process.memoryUsage();
  const each = (after.heapUsed + after.external - before.heapUsed - before.external) / count;
  ok(each < 4000, `${Math.round(each)} bytes each`);
  for (const n of numbers(count)) equal(await waiting.get(), n);
});
