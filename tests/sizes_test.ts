/** Values that are larger than the broker accepts. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Channel, ChannelError, ChannelSizeError, Connection, serve } from "../mod.ts";
import {
  connectionsRest,
  getAll,
  numbers,
  rejection,
  until,
  within,
} from "./conformance/fixture.ts";
import { noControl } from "./support/conditions.ts";
import { controlFromEnv } from "./support/control.ts";
import { evalErlang, evalJson } from "./support/erlang.ts";
import { withRaw } from "./support/raw.ts";
import { test as declare } from "./support/test.ts";

const broker = process.env.BROKER!;
const control = controlFromEnv()!;
const limit = 100_000;
const large = new Uint8Array(2 * limit);
const isTooLarge = { name: "ChannelSizeError", limit } as const;

/** Declares a test on a broker that accepts `limit` bytes in a message, with a name and connections of its own. */
function test(title: string, body: (name: string, connection: Connection) => Promise<void>): void {
  declare(title, { skip: noControl }, async () => {
    const usual = await evalJson<number>(
      control,
      "element(2, {ok, _} = application:get_env(rabbit, max_message_size))",
    );
    await setLimit(limit);
    const name = `test ${randomUUID()}`;
    try {
      await body(name, new Connection(broker, { name }));
    } finally {
      await setLimit(usual);
    }
    const last = new Channel({ name, connection: broker });
    await last.delete();
    await last.close();
    await connectionsRest();
  });
}

/**
 * Sets the limit for AMQP channels that are opened from now on. RabbitMQ 3 reads the first setting, RabbitMQ 4 the
 * second.
 */
async function setLimit(bytes: number): Promise<void> {
  await evalErlang(
    control,
    `application:set_env(rabbit, max_message_size, ${bytes}),
     persistent_term:put(max_message_size, ${bytes})`,
  );
}

test(
  "a value that is too large is rejected, and values put with it are not",
  async (name, connection) => {
    const ch = new Channel<number | Uint8Array>({ name, connection });
    await ch.depth();
    const before = numbers(200).map((n) => ch.put(n));
    const error = await rejection(ch.put(large), ChannelSizeError, isTooLarge);
    ok(error.size > large.length && error.size < large.length + 10, String(error.size));
    equal(error.value, large);
    ok(error.message.includes(`accepts ${limit}; send it in parts`), error.message);
    ok(!("messageId" in error), "its outcome is known");
    await Promise.all([...before, ...numbers(200, 200).map((n) => ch.put(n))]);
    await rejection(ch.tryPut(large), ChannelSizeError, isTooLarge);
    await rejection(ch.broadcast(large), ChannelSizeError, isTooLarge);
    await rejection(ch.request(large, { timeout: 10_000 }), ChannelSizeError, isTooLarge);
    deepEqual(await getAll(ch, 400), numbers(400));
    await ch.close();
  },
);

test(
  "a value that is too large does not delay others, also with a capacity",
  async (name, connection) => {
    const ch = new Channel<number | Uint8Array>({ name, connection, capacity: 10 });
    const puts = [ch.put(0), ch.put(large), ch.put(1), ch.put(large), ch.put(2)];
    const outcomes = await within(Promise.allSettled(puts));
    deepEqual(outcomes.map(({ status }) => status === "fulfilled"), [
      true,
      false,
      true,
      false,
      true,
    ]);
    deepEqual(await getAll(ch, 3), [0, 1, 2]);
    await ch.close();
  },
);

test("a requester gets an error for a reply that is too large", async (name, connection) => {
  const ch = new Channel<string>({ name, connection });
  const stop = new AbortController();
  let handled = 0;
  const serving = serve(ch, (what) => {
    handled++;
    if (what === "throw") throw new SyntaxError("x".repeat(large.length));
    return large;
  }, { signal: stop.signal });
  const { message } = await rejection(ch.request("return", { timeout: 10_000 }), RangeError);
  match(message, /a value that is too large: the reply has \d+ bytes, and 100000 are allowed$/);
  const error = await rejection(ch.request("throw", { timeout: 10_000 }), SyntaxError);
  match(error.message, /^x{1000}…$/);
  const replies = new Channel<unknown>({ name: `${name} replies`, connection, capacity: 1 });
  await replies.put("that it is full");
  await (ch as Channel<unknown>).put({ id: 7, value: "return", reply_to: replies });
  await until(() => handled === 3);
  equal(await within(replies.get()), "that it is full");
  const { id, error: failure } = await within(replies.get()) as { id: number; error: Error };
  deepEqual([id, failure.name], [7, "RangeError"]);
  await replies.delete();
  await replies.close();
  stop.abort();
  await serving;
  equal(await ch.depth(), 0);
  await ch.close();
});

test(
  "a broadcast that is too large does not affect the others, which arrive once",
  async (name, connection) => {
    const ch = new Channel<number | Uint8Array>({ name, connection });
    const other = new Channel<number | Uint8Array>({ name, connection: broker });
    const listener = other.broadcasts();
    await Promise.all([listener.ready, ch.depth()]);
    const sent = [0, 1, large, 2, large, 3].map((value) => ch.broadcast(value));
    const outcomes = await within(Promise.allSettled(sent));
    deepEqual(outcomes.map(({ status }) => status === "fulfilled"), [
      true,
      true,
      false,
      true,
      false,
      true,
    ]);
    await ch.broadcast(4);
    const got: unknown[] = [];
    while (got.at(-1) !== 4) got.push((await within(listener.next())).value);
    deepEqual(got, [0, 1, 2, 3, 4]);
    await listener.return();
    await Promise.all([ch.close(), other.close()]);
    // If more than this waited for one connection, everything waiting would be dropped.
    const most = 2 ** 24;
    await setLimit(2 * most);
    const third = new Channel<Uint8Array>({ name, connection: new Connection(broker) });
    await rejection(third.broadcast(new Uint8Array(most)), ChannelSizeError, { limit: most });
    await third.close();
  },
);

test(
  "a value that has become too large since its put is received without counting its attempts",
  async (name, connection) => {
    await setLimit(10 * limit);
    const ch = new Channel<Uint8Array>({ name, connection: broker });
    await ch.put(large);
    await ch.close();
    await setLimit(limit);
    // A consumer has received it and died.
    await withRaw(broker, async (channel) => void await channel.basicGet(name, { noAck: false }));
    const other = new Channel<Uint8Array>({ name, connection, maxAttempts: 5 });
    for (const _ of numbers(3)) {
      const delivery = await within(other.receive());
      equal(delivery.value.length, large.length);
      delivery.release();
    }
    equal((await within(other.get())).length, large.length);
    await other.close();
  },
);

test("a dead letter that is too large is returned", async (name, connection) => {
  await setLimit(10 * limit);
  const ch = new Channel<Uint8Array>({ name, connection: broker });
  await ch.put(large);
  await ch.close();
  await setLimit(limit);
  const other = new Channel<Uint8Array>({ name, connection, maxAttempts: 1 });
  (await other.receive()).release();
  const { cause } = await rejection(other.receive(), ChannelError);
  ok(cause instanceof ChannelSizeError, String(cause));
  await other.close();
  const last = new Channel<Uint8Array>({ name, connection: broker });
  equal((await within(last.get())).length, large.length);
  await last.close();
});
