import { deepEqual, equal, ok } from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import {
  Channel,
  ChannelClosedError,
  ChannelConnectionError,
  ChannelSizeError,
  Connection,
} from "../mod.ts";
import { rejection, until, within } from "./conformance/fixture.ts";
import { BrokerServer } from "./faults/broker_server.ts";
import { faults } from "./faults/faults.ts";
import { Failure, runFault } from "./faults/run_fault.ts";
import { Table } from "./faults/table.ts";
import { type PrivateBroker, startPrivateBroker } from "./support/broker.ts";
import { brokerState } from "./support/broker_state.ts";
import { decidedOnFirstBroker } from "./support/conditions.ts";
import { test } from "./support/test.ts";

// Each fault occurs in each state, all states at the same time. With FAULT_TABLE=FILE the outcomes are written to a
// file. All faults use one broker, which they leave as it was.
const table = new Table();
let shared: PrivateBroker;
Deno.test.beforeAll(async () => {
  shared = await startPrivateBroker({ conf: ["max_message_size = 100000"] });
});
Deno.test.afterAll(async () => {
  await shared[Symbol.asyncDispose]();
  table.write();
});

for (const fault of faults) {
  const title = `when ${fault.title}, operations continue as far as possible`;
  test(title, { skip: fault.isLikeAnother === true && decidedOnFirstBroker }, async (t) => {
    for (const [state, outcome] of await runFault(fault, new BrokerServer(shared))) {
      const isFailure = outcome instanceof Failure;
      table.add(fault.title, state, isFailure ? `FAILED: ${outcome.reason}` : outcome);
      await t.step(state, () => {
        if (isFailure) throw outcome.reason;
      });
    }
  });
}

Deno.test("a process that keeps putting notices a broker that has become silent", async () => {
  const connection = `${shared.uri}?heartbeat=1`;
  const ch = new Channel<number>({ name: "beat", connection, retryTimeout: 500 });
  await ch.put(0);
  shared.suspend();
  const puts: Promise<unknown>[] = [];
  let failure: unknown;
  for (const end = Date.now() + 15_000; failure === undefined && Date.now() < end;) {
    puts.push(ch.put(1).catch((error) => failure ??= error));
    await pause(100);
  }
  shared.resume();
  ok(failure instanceof ChannelConnectionError, String(failure));
  await Promise.all(puts);
  await within(ch.close());
  await untilDisconnected();
});

Deno.test("a connection survives a broker that is silent for one and a half heartbeats", async () => {
  const connection = new Connection(`${shared.uri}?heartbeat=2`);
  const ch = new Channel<number>({ name: "silent", connection });
  await ch.depth();
  const start = performance.now();
  await pause(1000); // the broker's heartbeats have started
  shared.suspend();
  await pause(3000);
  shared.resume();
  await pause(500);
  equal(await ch.depth(), 0);
  // On a busy machine it was silent for longer.
  if (performance.now() - start < 5300) equal(connection.stats.reconnects, 0);
  await ch.close();
  await untilDisconnected();
});

Deno.test("a message that the broker rejects for its size does not disturb a get", async () => {
  const connection = shared.uri;
  const waiting = new Channel<string>({ name: "waiting", connection });
  const large = new Channel<Uint8Array>({ name: "large", connection });
  const got = waiting.get();
  await large.put(new Uint8Array(10));
  await rejection(large.put(new Uint8Array(200_000)), ChannelSizeError, { limit: 100_000 });
  await large.put(new Uint8Array(20));
  await waiting.put("a value");
  equal(await within(got), "a value");
  deepEqual([(await large.get()).length, (await large.get()).length], [10, 20]);
  await Promise.all([waiting.close(), large.close()]);
  await untilDisconnected();
});

for (const how of ["restart", "crash"] as const) {
  const title = `a drained channel stays closed when its broker is gone (${how}) and back`;
  test(title, { skip: how === "restart" && decidedOnFirstBroker }, async () => {
    const name = `drained ${how}`;
    const [a, b] = [0, 1].map(() =>
      new Channel<string>({ name, connection: new Connection(shared.uri), retryTimeout: 60_000 })
    );
    for (const value of ["x", "y"]) await a!.put(value);
    const loan = await b!.receive();
    await a!.closeAll({ drain: true });
    const end = rest(a!);
    if (how === "crash") await shared.crash();
    await shared.restart();
    await pause(200);
    loan.accept(); // its connection is gone, so one of the two gets it again
    const values = await within(end);
    ok(values.includes("y"), String(values));
    const drained = { reason: "drain" } as const;
    await rejection(a!.put("z"), ChannelClosedError, drained);
    await rejection(b!.put("z"), ChannelClosedError, drained);
    const late = new Channel<string>({ name, connection: shared.uri });
    await rejection(late.put("z"), ChannelClosedError, drained);
    await within(rest(b!));
    deepEqual(await within(rest(late)), []);
    await late.delete();
    await Promise.all([late, a!, b!].map((ch) => ch.close()));
    const { queues, exchanges } = (await brokerState(shared.control))!;
    deepEqual([...queues, ...exchanges].filter((one) => one.startsWith(name)), []);
    await untilDisconnected();
  });
}

Deno.test("a restart of the broker drops a value on loan of a full classic channel, and none of a quorum channel", async () => {
  const kinds = ["classic", "quorum"] as const;
  const channels = kinds.map((durability) =>
    new Channel<number>({
      ...{ name: `full ${durability}`, durability, capacity: 2 },
      ...{ connection: shared.uri, retryTimeout: 60_000 },
    })
  );
  for (const ch of channels) {
    await ch.put(1);
    await ch.put(2);
    const loan = await ch.receive();
    equal(loan.value, 1);
    await ch.put(3); // the value on loan does not count
  }
  await shared.restart();
  const left = await Promise.all(channels.map((ch) => ch.depth()));
  deepEqual(left, [2, 3]);
  for (const ch of channels) {
    await ch.delete();
    await ch.close();
  }
  await untilDisconnected();
});

async function rest<T>(channel: Channel<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of channel) values.push(value);
  return values;
}

Deno.test("a get that is cancelled while the broker is unreachable does not wait when it is back", async () => {
  const ch = new Channel<string>({ name: "away", connection: shared.uri });
  equal(await ch.depth(), 0);
  await shared.crash();
  await rejection(ch.get({ timeout: 200 }), ChannelConnectionError);
  await shared.restart();
  await ch.put("a value");
  await until(async () => (await brokerState(shared.control))?.consumers === 1); // that of the announcements
  equal(await ch.depth(), 1);
  equal(await ch.get(), "a value");
  await ch.close();
  await untilDisconnected();
});

/** Waits until no connection is left: a connection stays open for a moment after its last use. */
async function untilDisconnected(): Promise<void> {
  await until(async () => (await brokerState(shared.control))?.connections === 0);
  await pause(50);
}
