import { Connection } from "rabbitmq-client";
import { asBuffer } from "./amqplib.ts";
import { type Client, kept, properties, withCredentials } from "./client.ts";

/** A younger client for Node, used through its AMQP channels: its Consumer and Publisher make the same calls. */
export async function openRabbitmqClient(uri: string): Promise<Client> {
  const connection = new Connection({ url: withCredentials(uri), noDelay: true });
  connection.on("error", (error) => {
    throw error;
  });
  const publishing = await connection.acquire();
  await publishing.confirmSelect();
  publishing.on("basic.return", ({ routingKey }) => {
    throw new Error(`there is no queue ${routingKey}`);
  });
  const all = [publishing];
  const receiving = kept(async (window: number) => {
    const receiving = await connection.acquire();
    all.push(receiving);
    await receiving.basicQos({ prefetchCount: window });
    return receiving;
  });
  return {
    label: "rabbitmq-client",
    declare: (queue) => publishing.queueDeclare({ queue, durable: true }),
    put: (queue, body) =>
      publishing.basicPublish(
        { routingKey: queue, durable: true, mandatory: true, ...properties() },
        asBuffer(body),
      ),
    consume: async (queue, window, take) => {
      const consuming = await receiving(window);
      const { consumerTag } = await consuming.basicConsume({ queue, noAck: false }, (message) => {
        take(message.body);
        consuming.basicAck({ deliveryTag: message.deliveryTag });
      });
      return () => consuming.basicCancel({ consumerTag });
    },
    close: async () => {
      await Promise.all(all.map((channel) => channel.close())); // waits for pending calls
      await connection.close();
    },
  };
}
