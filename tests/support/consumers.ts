import { AMQPClient } from "@cloudamqp/amqp-client";
import { until } from "../conformance/scene.ts";

/** How many connections wait at the broker to get from a channel: each has a consumer there. */
export async function consumersOf(client: AMQPClient, name: string): Promise<number> {
  const channel = await client.channel();
  channel.onerror = () => {};
  try {
    const { consumerCount } = await channel.queueDeclare(name, { passive: true });
    await channel.close();
    return consumerCount;
  } catch (error) {
    if (/404/.test(String(error))) return 0; // which has closed the AMQP channel
    throw error;
  }
}

/**
 * Waits until this many connections wait at the broker for a channel: a get is a consumer there once it has found the
 * queue empty. Asks the broker itself, for no channel can tell.
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
