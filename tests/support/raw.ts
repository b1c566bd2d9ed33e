import { type AMQPChannel, AMQPClient } from "@cloudamqp/amqp-client";
import { setTimeout as pause } from "node:timers/promises";

/** Runs `use` on a broker without the library, on a connection and an AMQP channel of its own. */
export async function withRaw<T>(
  uri: string,
  use: (channel: AMQPChannel, client: AMQPClient) => Promise<T>,
): Promise<T> {
  const client = new AMQPClient(uri);
  client.onerror = () => {};
  await client.connect();
  try {
    client.socket!.setNoDelay(true);
    const channel = await client.channel();
    channel.onerror = () => {};
    return await use(channel, client);
  } finally {
    await client.close().catch(() => {});
  }
}

/** Puts values into a queue, confirmed, as ChannelPy does: in JSON, without a message id. */
export async function rawPut(uri: string, queue: string, values: unknown[]): Promise<void> {
  await withRaw(uri, async (channel) => {
    await channel.confirmSelect();
    const properties = { deliveryMode: 2, contentType: "application/json" };
    await Promise.all(
      values.map((value) => channel.basicPublish("", queue, JSON.stringify(value), properties)),
    );
  });
}

/** A message that {@linkcode rawDrain} took. */
export interface RawMessage {
  /** The value of a JSON message; undefined for another one. */
  readonly value: unknown;
  readonly messageId: string | undefined;
  readonly redelivered: boolean;
}

/** Takes all messages of a queue, in order. */
export async function rawDrain(uri: string, queue: string): Promise<RawMessage[]> {
  return await withRaw(uri, async (channel) => {
    const found: RawMessage[] = [];
    const consumer = await channel.basicConsume(queue, { noAck: true }, (message) => {
      const { contentType, messageId } = message.properties;
      found.push({
        value: contentType === "application/json" ? JSON.parse(message.bodyString()!) : undefined,
        messageId,
        redelivered: message.redelivered,
      });
    });
    while ((await channel.queueDeclare(queue, { passive: true })).messageCount > 0) await pause(10);
    await consumer.cancel(); // the queue answers after all messages that it has sent
    return found;
  });
}
