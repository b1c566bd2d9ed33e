import { AMQPClient } from "@cloudamqp/amqp-client";
import { until } from "../conformance/fixture.ts";

/** Returns how many connections are waiting at the broker to get from a channel. Each has one consumer there. */
export async function consumersOf(client: AMQPClient, name: string): Promise<number> {
  const channel = await client.channel();
  channel.onerror = () => {};
  try {
    const { consumerCount } = await channel.queueDeclare(name, { passive: true });
    await channel.close();
    return consumerCount;
  } catch (error) {
    if (/404/.test(String(error))) return 0; // this error has closed the AMQP channel
    throw error;
  }
}

/**
 * Waits until `count` connections are waiting at the broker for a channel. A get becomes a consumer once it has found
 * the queue empty. This queries the broker itself, because a channel does not know.
 *
 * @throws after 20 s
 */
export async function waitForConsumers(uri: string, name: string, count: number): Promise<void> {
  const client = new AMQPClient(uri);
  await client.connect();
  try {
    client.socket!.setNoDelay(true);
    await until(async () => await consumersOf(client, name) === count, 20_000, 10);
  } finally {
    await client.close();
  }
}
