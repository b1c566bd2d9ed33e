// Pitfalls of AMQP, RabbitMQ and its client that no other test covers.

import { deepEqual, equal, ok } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Channel, ChannelTimeoutError, Connection, select, serve } from "../mod.ts";
import {
  connectionsRest,
  getAll,
  numbers,
  pause,
  rejection,
  within,
} from "./conformance/fixture.ts";
import { startProxy } from "./support/proxy.ts";
import { withRaw } from "./support/raw.ts";
import { brokerState } from "./support/broker_state.ts";
import { controlFromEnv } from "./support/control.ts";
import { untilAsBefore } from "./support/leftovers.ts";
import { waitForConsumers } from "./support/consumers.ts";
import { test as declare, type TestOptions } from "./support/test.ts";
import { noLocalBroker } from "./support/conditions.ts";

const broker = process.env.BROKER!;
ok(broker, "BROKER names no broker: run with `deno task test`");

/** Declares a test with a proxy to a broker of this machine that can cut connections. */
function lossTest(
  title: string,
  body: (uri: string, cut: () => void, name: string) => Promise<void>,
): void {
  const url = new URL(broker);
  declare(title, { skip: noLocalBroker }, async () => {
    {
      await using proxy = await startProxy(Number(url.port || 5672));
      url.host = `127.0.0.1:${proxy.port}`;
      await body(url.href, () => proxy.cut(), `test ${randomUUID()}`);
    }
    await connectionsRest();
  });
}

/** Declares a test with a connection and a name of its own, which leaves nothing at the broker. */
function test(
  title: string,
  body: (connection: Connection, name: string) => Promise<void>,
  options: TestOptions = {},
): void {
  declare(title, options, async () => {
    const control = controlFromEnv();
    const before = await brokerState(control);
    const connection = new Connection(broker, { name: title });
    const name = `traps ${randomUUID()}`;
    try {
      await body(connection, name);
    } finally {
      const last = new Channel({ name, connection });
      await last.delete();
      await last.close();
    }
    await connectionsRest();
    if (control !== undefined) await untilAsBefore(control, before!);
  });
}

/** In milliseconds: half of a delayed TCP acknowledgement, and a hundred times what a broker takes. */
const quick = 20;

for (const isCut of [false, true]) {
  // Without TCP_NODELAY, each packet would wait for an acknowledgement that is delayed by 40 ms.
  test(
    `small values do not wait for full packets${isCut ? ", also after a loss" : ""}`,
    async (_, name) => {
      const url = new URL(broker);
      await using proxy = await startProxy(Number(url.port || 5672));
      url.host = `127.0.0.1:${proxy.port}`;
      const ch = new Channel<number>({ name, connection: url.href });
      await ch.put(0);
      if (isCut) proxy.cut();
      equal(await ch.get(), 0);
      const times: number[] = [];
      for (const n of numbers(21)) {
        await pause(1); // otherwise it is sent together with the previous value's acknowledgement
        const start = performance.now();
        await ch.put(n);
        equal(await ch.get(), n);
        times.push(performance.now() - start);
      }
      const median = times.sort((a, b) => a - b)[10]!;
      ok(median < quick, `a put and a get took ${median} ms`);
      await ch.close();
    },
    {
      skip: noLocalBroker,
      timed: "a delayed packet shows only as 40 ms",
    },
  );
}

test(
  "a rejection on one AMQP channel does not disturb others on the connection",
  async (connection, name) => {
    const waiting = new Channel<number>({ name, connection });
    const got = waiting.get();
    await waiting.depth();
    const other = `${name} of others`;
    await withRaw(broker, async (channel) => {
      await channel.queueDeclare(other, { durable: true }, { "x-max-priority": 3 });
      await channel.exchangeDeclare(other, "fanout", { durable: false });
    });
    // 406 for its two declarations, then 404, because it was deleted.
    const refused = new Channel<number>({ name: other, connection });
    await refused.put(1);
    equal(await refused.get(), 1);
    await withRaw(broker, (channel) => channel.queueDelete(other));
    await refused.depth().catch(() => {});
    await waiting.put(2);
    equal(await within(got), 2);
    equal(connection.stats.reconnects, 0);
    await Promise.all([waiting.close(), refused.close()]);
    await new Channel({ name: other, connection }).delete();
  },
);

test("a cancelled get leaves an anonymous channel in place", async (connection) => {
  const ch = new Channel<number>({ connection });
  await ch.depth();
  await rejection(ch.get({ timeout: 60 }), ChannelTimeoutError);
  await waitForConsumers(broker, ch.name, 0);
  await ch.put(1);
  equal(await ch.get(), 1);
  await ch[Symbol.asyncDispose]();
});

test("a put that finds its queue full waits for room", async (connection, name) => {
  const full = { "x-max-length": 2, "x-overflow": "reject-publish" };
  await withRaw(broker, (channel) => channel.queueDeclare(name, { durable: true }, full));
  const ch = new Channel<number>({ name, connection });
  await Promise.all([ch.put(1), ch.put(2)]);
  // The broker rejects both in one frame, whose bits the client misreads, so that the first would never be settled.
  const late = ch.put(3);
  await rejection(ch.put(4, { timeout: 300 }), ChannelTimeoutError);
  equal(await ch.get(), 1);
  await within(late);
  deepEqual(await getAll(ch, 2), [2, 3]);
  await ch.close();
});

test("a value that was sent to a getter but not got goes to others", async (connection, name) => {
  // A prefetch applies to consumers that are opened after it, and is not a limit of the AMQP channel.
  const slow = new Channel<number>({ name, connection });
  const elsewhere = new Channel<number>({ name, connection: `${broker}?name=elsewhere` });
  await slow.depth(); // creates the queue
  const first = slow.get();
  await waitForConsumers(broker, name, 1);
  await slow.put(0);
  equal(await first, 0);
  await Promise.all(numbers(10).map((n) => slow.put(n)));
  const got = await getAll(elsewhere, 10);
  deepEqual(got.sort((a, b) => a - b), numbers(10));
  await Promise.all([slow.close(), elsewhere.close()]);
});

test(
  "a quorum channel keeps the order, finds values at once, and supports a large prefetch",
  async (connection, name) => {
    const ch = new Channel<number>({ name, connection, durability: "quorum" });
    for (const n of numbers(30)) {
      await ch.put(n);
      equal(await ch.get({ timeout: 0 }), n); // its message count may be 0 for a moment
    }
    // A quorum queue rejects a global prefetch and requeues messages in flight to a cancelled consumer.
    await Promise.all(numbers(2000).map((n) => ch.put(n)));
    const got: number[] = [];
    for await (const n of ch) if (got.push(n) === 2000) break;
    deepEqual(got, numbers(2000));
    await ch.close();
  },
);

test("after a loss, announcements reach each channel of the connection", async (_, name) => {
  const url = new URL(broker);
  await using proxy = await startProxy(Number(url.port || 5672));
  url.host = `127.0.0.1:${proxy.port}`;
  const names = [name, ...[1, 2, 3, 4].map((n) => `${name} ${n}`)];
  const handles = names.map((name) => new Channel({ name, connection: url.href }));
  await Promise.all(handles.map((handle) => handle.depth()));
  proxy.cut();
  await Promise.all(handles.map((handle) => handle.depth())); // they are attached again
  const gets = handles.map((handle) => handle.get().catch((error) => error.reason));
  await Promise.all(names.map(async (name) => {
    const other = new Channel({ name, connection: broker });
    await other.closeAll();
    await other.close();
  }));
  deepEqual(await within(Promise.all(gets)), names.map(() => "closeAll"));
  for (const name of names) {
    const other = new Channel({ name, connection: broker });
    await other.delete();
    await other.close();
  }
}, { skip: noLocalBroker });

lossTest(
  "broadcasts arrive and can be sent after a loss, in their order",
  async (uri, cut, name) => {
    const listen = (connection: string) => {
      const channel = new Channel<number>({ name, connection });
      return { channel, events: channel.broadcasts() };
    };
    const [lost, steady] = [listen(uri), listen(broker)];
    await Promise.all([lost.events.ready, steady.events.ready]);
    await lost.channel.broadcast(0);
    cut();
    const sent = numbers(20, 1).map((n) => lost.channel.broadcast(n));
    await within(Promise.all(sent));
    await steady.channel.broadcast(21);
    for (const { events } of [lost, steady]) {
      const received: number[] = [];
      while (!received.includes(21)) received.push((await within(events.next())).value!);
      deepEqual([...new Set(received)], numbers(22)); // a broadcast sent during the loss may arrive twice
      await events.return();
    }
    await lost.channel.close();
    await steady.channel.delete();
  },
);

lossTest("a waiting select and a waiting request continue after a loss", async (uri, cut, name) => {
  const [a, b] = ["a", "b"].map((end) =>
    new Channel<number>({ name: `${name} ${end}`, connection: uri })
  );
  const [far, answering] = [a!, b!].map((ch) =>
    new Channel<number>({ name: ch.name, connection: broker })
  );
  const idle = new Channel<number>({ name: `${name} idle`, connection: uri });
  await Promise.all([a!, b!, idle, far!, answering!].map((ch) => ch.depth()));
  for (const n of numbers(3)) {
    const chosen = select({ a: a!, b: idle });
    const asked = b!.request(n);
    for (const ch of [a!, idle]) await waitForConsumers(broker, ch.name, 1);
    cut();
    const serving = new AbortController();
    const served = serve(answering!, (m) => m + 1, { signal: serving.signal });
    await far!.put(n);
    deepEqual(await within(chosen), { key: "a", value: n, closed: false });
    equal(await within(asked), n + 1);
    serving.abort();
    await served;
  }
  await Promise.all([a!, b!, idle].map((ch) => ch.delete()));
  await Promise.all([a!, b!, idle, far!, answering!].map((ch) => ch.close()));
});
