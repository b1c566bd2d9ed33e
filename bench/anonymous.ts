/** Measures anonymous channels as used for replies: created, used once, disposed of. */
import assert from "node:assert/strict";
import process from "node:process";
import type { AMQPChannel } from "@cloudamqp/amqp-client";
import { Channel } from "../mod.ts";
import { brokerState } from "../tests/support/broker_state.ts";
import { openRaw } from "./clients/raw.ts";
import { compare } from "./compare.ts";
import { heading, report } from "./output.ts";

export async function benchAnonymous(connection: string): Promise<void> {
  heading("anonymous channels");
  const raw = await openRaw(connection);
  await using ch = new Channel({ connection });
  await ch.depth(); // attaches the handle
  const channels = await raw.openChannels(20);
  const inTwenties =
    (once: (channel: AMQPChannel) => Promise<unknown>) => async (count: number) => {
      for (let done = 0; done < count; done += channels.length) {
        await Promise.all(channels.map(once));
      }
    };
  const bound = `bench-bound-${crypto.randomUUID()}`;
  await raw.declare(bound);
  const before = await namesAtBroker();
  const check = async () => assert.deepEqual(await namesAtBroker(), before, "left at the broker");
  const declare = (channel: AMQPChannel, queue: string) =>
    channel.queueDeclare(queue, { durable: true }, { "x-expires": 1_800_000 });
  const use = async (channel: AMQPChannel, queue: string) => {
    await raw.put(queue, new Uint8Array([1]));
    const message = await channel.basicGet(queue, { noAck: false });
    if (message === null) throw new Error("the queue is empty");
    channel.basicAck(message.deliveryTag);
  };
  const title = "made, a value put and got, disposed; 20 at a time";
  report(
    title,
    await compare([
      {
        label: "raw client: queue, exchange, binding",
        check,
        run: inTwenties(async (channel) => {
          const name = crypto.randomUUID();
          await Promise.all([
            declare(channel, name),
            channel.exchangeDeclare(name, "fanout", { durable: false, autoDelete: true }),
            channel.queueBind(bound, name, ""),
          ]);
          await use(channel, name);
          // The exchange is deleted with its last binding.
          await Promise.all([channel.queueUnbind(bound, name, ""), channel.queueDelete(name)]);
        }),
      },
      {
        label: "raw client: a queue alone",
        check,
        run: inTwenties(async (channel) => {
          const name = crypto.randomUUID();
          await declare(channel, name);
          await use(channel, name);
          await channel.queueDelete(name);
        }),
      },
      {
        label: "ChannelTS",
        check,
        run: inTwenties(async () => {
          await using reply = ch.clone<number>();
          await reply.put(1);
          if (await reply.get() !== 1) throw new Error("another value");
        }),
      },
    ], { title, count: 200, rounds: 7 }),
  );
  await raw.delete(bound);
  await raw.close();
}

/** Returns the names that exist at the broker, if it can be queried. */
async function namesAtBroker(): Promise<unknown> {
  const state = await brokerState();
  return [state?.queues, state?.exchanges];
}

if (import.meta.main) await benchAnonymous(process.env.BROKER!);
