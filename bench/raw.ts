import { type AMQPChannel, AMQPClient } from "@cloudamqp/amqp-client";

/**
 * Publishes with a channel's guarantees: persistent, confirmed, mandatory, with the content type that
 * tells a reader what the bytes are, and the id that tells which message the broker returned.
 */
export function publish(channel: AMQPChannel, queue: string, body: Uint8Array): Promise<number> {
  const messageId = `${unique}${(count++).toString(36)}`;
  const properties = { deliveryMode: 2, contentType: "application/cbor", messageId };
  return channel.basicPublish("", queue, body, properties, true);
}

const unique = `${crypto.randomUUID().slice(0, 13)}-`;
let count = 0;

/**
 * The raw AMQP client with the guarantees of a channel: a durable queue, `publish`, manual acks; and
 * with TCP_NODELAY, without which each answer takes 40 ms.
 */
export interface Raw {
  readonly channel: AMQPChannel;
  put(body: Uint8Array): Promise<unknown>;
  /** Consumes `count` messages as they come, each acked; 500 may be on their way. */
  consume(count: number): Promise<void>;
  close(): Promise<void>;
}

export async function openRaw(uri: string, queue: string): Promise<Raw> {
  const client = new AMQPClient(uri);
  await client.connect();
  client.socket!.setNoDelay(true);
  const publishing = await client.channel();
  await publishing.confirmSelect();
  await publishing.queueDeclare(queue, { durable: true });
  const channel = await client.channel();
  await channel.prefetch(500);
  return {
    channel,
    put: (body) => publish(publishing, queue, body),
    consume: async (count) => {
      let got = 0;
      let done: () => void;
      const all = new Promise<void>((resolve) => done = resolve);
      const consumer = await channel.basicConsume(queue, { noAck: false }, (message) => {
        channel.basicAck(message.deliveryTag);
        if (++got === count) done();
      });
      await all;
      await consumer.cancel();
    },
    close: async () => {
      await publishing.queueDelete(queue);
      await client.close();
    },
  };
}
