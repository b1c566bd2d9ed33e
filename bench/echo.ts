/** The far end of `latency.ts`: sends back what it gets, by channel or by the raw client. */
import { Channel } from "@channelts/channel";
import { AMQPClient } from "@cloudamqp/amqp-client";
import { publish } from "./raw.ts";

const [how, connection = "", there = "", back = ""] = Deno.args;
if (how === "channel") {
  const replies = new Channel({ name: back, connection });
  for await (const value of new Channel({ name: there, connection })) replies.put(value);
} else {
  const client = new AMQPClient(connection);
  await client.connect();
  client.socket!.setNoDelay(true);
  const publishing = await client.channel();
  await publishing.confirmSelect();
  const consuming = await client.channel();
  await consuming.prefetch(1);
  const consumer = await consuming.basicConsume(there, { noAck: false }, (message) => {
    publish(publishing, back, message.body!);
    consuming.basicAck(message.deliveryTag);
  });
  await consumer.wait().catch(() => {}); // the queue is deleted
  await client.close();
}
