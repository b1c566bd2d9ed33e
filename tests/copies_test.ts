/**
 * Messages with one id that arrive twice: duplicates that the library made, and messages that others moved or put
 * again.
 */
import type { AMQPMessage, AMQPProperties } from "@cloudamqp/amqp-client";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import {
  Channel,
  ChannelClosedError,
  ChannelTimeoutError,
  Connection,
  type Delivery,
} from "../mod.ts";
import { connectionsRest, numbers, rejection, until, within } from "./conformance/fixture.ts";
import { startGateway } from "./support/gateway.ts";
import { rawPut, withRaw } from "./support/raw.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

/** Calls `use` with a channel of maxAttempts 1 and its dead letters, and deletes both. */
async function withChannel(
  connection: Connection | string,
  use: (jobs: Channel<unknown>, name: string) => Promise<void>,
): Promise<void> {
  const name = `test ${randomUUID()}`;
  const jobs = new Channel<unknown>({ name, connection, maxAttempts: 1 });
  try {
    await jobs.depth();
    await use(jobs, name);
  } finally {
    await jobs.deadLetters.delete();
    await jobs.delete();
    await jobs.close();
    await connectionsRest();
  }
}

/**
 * Receives `count` values and releases them, so that they become dead letters. Resolves when the broker has read the
 * acknowledgements of the originals. If the connection were cut before, the originals would be redelivered and become
 * dead letters a second time.
 */
async function makeDeadLetters(jobs: Channel<unknown>, count: number): Promise<void> {
  const before = await jobs.deadLetters.depth();
  const consumer = jobs.dup();
  for (let i = 0; i < count; i++) (await consumer.receive({ timeout: 20_000 })).release();
  await until(async () => await jobs.deadLetters.depth() === before + count);
  await consumer.close(); // the acknowledgements were sent
  await jobs.depth(); // the answer arrives after the broker has read them
}

/** Moves every message of a queue with its id and headers, as RabbitMQ's shovel does. */
async function move(from: string, to: string): Promise<number> {
  return await withRaw(broker, async (channel) => {
    await channel.confirmSelect();
    let count = 0;
    for (
      let message;
      (message = await channel.basicGet(from, { noAck: false })) !== null;
      count++
    ) {
      await channel.basicPublish("", to, message.body, message.properties);
      await channel.basicAck(message.deliveryTag);
    }
    return count;
  });
}

/** Takes every message of a queue and requeues it, as a consumer does that reads ahead and ends. */
async function touch(queue: string): Promise<void> {
  await withRaw(broker, async (channel) => {
    const messages: AMQPMessage[] = [];
    const takeAll = async () => {
      for (let message; (message = await channel.basicGet(queue, { noAck: false })) !== null;) {
        messages.push(message);
      }
      return messages.length > 0; // otherwise a consumer that ends is returning them
    };
    await until(takeAll);
    await channel.basicNack(messages.at(-1)!.deliveryTag, true, true);
    await channel.prefetch(1); // answered when the broker has read the requeues
  });
}

async function acceptAll(jobs: Channel<unknown>, count: number): Promise<unknown[]> {
  const values = [];
  for (let i = 0; i < count; i++) {
    const delivery = await jobs.receive({ timeout: 20_000 });
    values.push(delivery.value);
    delivery.accept();
  }
  return values.sort((a, b) => (a as number) - (b as number));
}

for (const isCut of [false, true]) {
  const after = isCut ? ", after a loss of the connection too" : "";
  Deno.test(`copies: dead letters that are moved back are all received${after}`, async () => {
    await using gateway = await startGateway(broker);
    let returns = 0;
    const connection = new Connection(gateway.uri, { onreconnect: () => returns++ });
    await withChannel(connection, async (jobs, name) => {
      await Promise.all(numbers(20).map((n) => jobs.put(n)));
      await makeDeadLetters(jobs, 20);
      if (isCut) {
        gateway.cut();
        gateway.open();
        await until(() => returns === 1);
      }
      assert.equal(await move(`${name}.dead-letters`, name), 20);
      await touch(name);
      const plain = new Channel<unknown>({ name, connection });
      assert.deepEqual(await acceptAll(plain, 20), numbers(20));
      await plain.close();
    });
  });
}

Deno.test("copies: an accepted value that somebody puts again is received again each time", async () => {
  await withChannel(broker, async (jobs, name) => {
    const kept = await takeWhole(jobs, name);
    for (let i = 0; i < 3; i++) {
      await putWhole(name, kept);
      await touch(name);
      assert.equal(await jobs.get({ timeout: 20_000 }), "value");
    }
  });
});

Deno.test("copies: a value that is put again while its first delivery is held is a different value", async () => {
  await withChannel(broker, async (jobs, name) => {
    await jobs.put("value");
    const kept = await peekWhole(name);
    const plain = new Channel<unknown>({ name, connection: broker });
    const held: Delivery<unknown> = await plain.receive({ timeout: 20_000 });
    await putWhole(name, kept);
    await touch(name);
    const again = await plain.receive({ timeout: 20_000 });
    assert.equal(again.value, "value");
    held.release();
    again.accept();
    assert.equal(await plain.get({ timeout: 20_000 }), "value");
    await rejection(plain.get({ timeout: 50 }), ChannelTimeoutError);
    await plain.close();
  });
});

Deno.test("copies: an accepted value whose acknowledgement was lost with the connection is dropped once", async () => {
  await using gateway = await startGateway(broker);
  let returns = 0;
  const connection = new Connection(gateway.uri, { onreconnect: () => returns++ });
  await withChannel(connection, async (jobs, name) => {
    await jobs.put("value");
    const kept = await peekWhole(name);
    const plain = new Channel<unknown>({ name, connection });
    const delivery = await plain.receive({ timeout: 20_000 });
    gateway.hold("toBroker"); // holds the acknowledgement back, too
    delivery.accept();
    await new Promise((resolve) => setTimeout(resolve));
    gateway.cut();
    gateway.open();
    await until(() => returns === 1);
    await until(async () => await jobs.depth() === 1); // it was requeued
    await rejection(plain.get({ timeout: 300 }), ChannelTimeoutError);
    assert.equal(await plain.depth(), 0);
    await putWhole(name, kept);
    await touch(name);
    assert.equal(await plain.get({ timeout: 20_000 }), "value");
    await plain.close();
  });
});

/** A message with all its properties. */
interface Whole {
  readonly body: Uint8Array;
  readonly properties: AMQPProperties;
}

async function peekWhole(queue: string): Promise<Whole> {
  return await withRaw(broker, async (channel) => {
    const message = await channel.basicGet(queue, { noAck: false });
    return { body: message!.body!, properties: message!.properties };
  });
}

async function takeWhole(jobs: Channel<unknown>, name: string): Promise<Whole> {
  await jobs.put("value");
  const whole = await peekWhole(name);
  assert.equal(await jobs.get({ timeout: 20_000 }), "value");
  return whole;
}

async function putWhole(queue: string, { body, properties }: Whole): Promise<void> {
  await withRaw(broker, async (channel) => {
    await channel.confirmSelect();
    await channel.basicPublish("", queue, body, properties);
  });
}

/** Two ways in which others give ids to messages. */
const foreign: [string, (n: number) => string | undefined][] = [
  ["no id", () => undefined],
  ["one id for all", () => "the same"],
  ["ids of their own", (n) => `order ${n}`],
];
for (const [title, idOf] of foreign) {
  Deno.test(`returned: dead letters with ${title} are not lost if their queue was deleted`, async () => {
    await withChannel(broker, async (jobs, name) => {
      await rawPut(broker, name, ["first"]);
      await makeDeadLetters(jobs, 1); // attaches their channel
      assert.equal(await jobs.deadLetters.get({ timeout: 20_000 }), "first");
      await withRaw(broker, async (channel) => {
        await channel.confirmSelect();
        for (const n of numbers(6)) {
          const messageId = idOf(n);
          await channel.basicPublish("", name, JSON.stringify(n), {
            deliveryMode: 2,
            contentType: "application/json",
            ...messageId === undefined ? {} : { messageId },
          });
        }
        const deliveries = [];
        for (let i = 0; i < 6; i++) deliveries.push(await jobs.receive({ timeout: 20_000 }));
        await channel.queueDelete(`${name}.dead-letters`);
        for (const delivery of deliveries) delivery.release();
      });
      await within(everywhere(name, 6));
    });
  });
}

/** Waits until `count` values are in a channel or among its dead letters. */
async function everywhere(name: string, count: number): Promise<void> {
  await until(async () => {
    const both = [name, `${name}.dead-letters`].map((each) =>
      new Channel<unknown>({ name: each, connection: broker })
    );
    try {
      const depths = await Promise.all(both.map((ch) => ch.depth()));
      return depths[0]! + depths[1]! === count;
    } catch (error) {
      if (error instanceof ChannelClosedError) return false; // this process has just noticed the deletion
      throw error;
    } finally {
      await Promise.all(both.map((ch) => ch.close()));
    }
  });
}
