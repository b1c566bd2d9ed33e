import { AMQPClient } from "@cloudamqp/amqp-client";
import { waitUntil } from "./net.ts";

/**
 * Waits until this many getters wait at the broker for a channel: a get is a consumer there once it has found the
 * queue empty. Asks the broker itself, for no channel can tell.
 *
 * @throws after 10 s: says how many there are
 */
export async function waitForConsumers(uri: string, name: string, count: number): Promise<void> {
  const client = new AMQPClient(uri);
  await client.connect();
  try {
    client.socket!.setNoDelay(true);
    const channel = await client.channel();
    let found = 0;
    const arrived = await waitUntil(async () => {
      found = (await channel.queueDeclare(name, { passive: true })).consumerCount;
      return found === count;
    }, 10_000);
    if (!arrived) throw new Error(`${found} getters wait for ${name}, and ${count} should`);
  } finally {
    await client.close();
  }
}
