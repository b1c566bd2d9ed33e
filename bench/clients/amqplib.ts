import { Buffer } from "node:buffer";
import { connect } from "amqplib";
import { type Client, kept, properties, withCredentials } from "./client.ts";

/** The most widely used client for Node. */
export async function openAmqplib(uri: string): Promise<Client> {
  const connection = await connect(withCredentials(uri), { noDelay: true });
  const publishing = await connection.createConfirmChannel();
  publishing.on("return", ({ fields }) => {
    throw new Error(`there is no queue ${fields.routingKey}`);
  });
  const receiving = kept(async (window: number) => {
    const receiving = await connection.createChannel();
    await receiving.prefetch(window);
    return receiving;
  });
  return {
    label: "amqplib",
    declare: (queue) => publishing.assertQueue(queue, { durable: true }),
    put: (queue, body) =>
      new Promise<void>((resolve, reject) => {
        const options = { persistent: true, mandatory: true, ...properties() };
        publishing.publish("", queue, asBuffer(body), options, (error) => {
          if (error) reject(error);
          else resolve();
        });
      }),
    consume: async (queue, window, take) => {
      const consuming = await receiving(window);
      const { consumerTag } = await consuming.consume(queue, (message) => {
        if (message === null) return; // the queue was deleted
        take(message.content);
        consuming.ack(message);
      }, { noAck: false });
      return () => consuming.cancel(consumerTag);
    },
    close: () => connection.close(),
  };
}

/** Returns a Buffer on the same bytes, without a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
