import { type AMQPChannel, AMQPClient } from "@cloudamqp/amqp-client";
import { type Client, kept, properties } from "./client.ts";

/** The client on which ChannelTS is based, with default settings except for TCP_NODELAY. */
export interface RawClient extends Client {
  /** An AMQP channel on which nothing is published. */
  readonly channel: AMQPChannel;
  /** Opens more AMQP channels: RabbitMQ processes the calls on one channel one after the other. */
  openChannels(count: number): Promise<AMQPChannel[]>;
  /** Returns how many messages are ready in a queue. */
  depth(queue: string): Promise<number>;
  delete(queue: string): Promise<unknown>;
  purge(queue: string): Promise<unknown>;
}

export async function openRaw(uri: string): Promise<RawClient> {
  const client = new AMQPClient(uri);
  await client.connect();
  client.socket!.setNoDelay(true);
  const publishing = await client.channel();
  await publishing.confirmSelect();
  publishing.onReturn = (message) => {
    throw new Error(`there is no queue ${message.routingKey}`);
  };
  const channel = await client.channel();
  const receiving = kept(async (window: number) => {
    const receiving = await client.channel();
    await receiving.prefetch(window);
    return receiving;
  });
  return {
    label: "@cloudamqp/amqp-client",
    channel,
    openChannels: (count) => Promise.all(Array.from({ length: count }, () => client.channel())),
    declare: (queue) => channel.queueDeclare(queue, { durable: true }),
    put: (queue, body) =>
      publishing.basicPublish("", queue, body, { deliveryMode: 2, ...properties() }, true),
    consume: async (queue, window, take) => {
      const consuming = await receiving(window);
      const consumer = await consuming.basicConsume(queue, { noAck: false }, (message) => {
        take(message.body!);
        consuming.basicAck(message.deliveryTag);
      });
      return () => consumer.cancel();
    },
    depth: async (queue) =>
      (await channel.queueDeclare(queue, { durable: true, passive: true })).messageCount,
    delete: (queue) => channel.queueDelete(queue),
    purge: (queue) => channel.queuePurge(queue),
    close: () => client.close(),
  };
}
