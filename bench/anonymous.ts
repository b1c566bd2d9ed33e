/** Anonymous channels, as for replies: made, used once, disposed. */
import process from "node:process";
import { Channel } from "../mod.ts";
import { openRaw } from "./clients/raw.ts";
import { compare } from "./compare.ts";
import { heading, report } from "./output.ts";

export async function benchAnonymous(connection: string): Promise<void> {
  heading("anonymous channels");
  const raw = await openRaw(connection);
  await using ch = new Channel({ connection });
  const inTwenties = (once: () => Promise<unknown>) => async (count: number) => {
    for (let done = 0; done < count; done += 20) {
      await Promise.all(Array.from({ length: 20 }, once));
    }
  };
  const title = "made, a value put and got, disposed; 20 at a time";
  report(
    title,
    await compare([
      {
        label: "a queue alone, by the raw client",
        run: inTwenties(async () => {
          const queue = crypto.randomUUID();
          await raw.channel.queueDeclare(queue, { durable: true }, { "x-expires": 1_800_000 });
          await raw.put(queue, new Uint8Array([1]));
          const message = await raw.channel.basicGet(queue, { noAck: false });
          if (message === null) throw new Error("the value is not there");
          raw.channel.basicAck(message.deliveryTag);
          await raw.delete(queue);
        }),
      },
      {
        label: "ChannelTS",
        run: inTwenties(async () => {
          await using reply = ch.clone<number>();
          await reply.put(1);
          if (await reply.get() !== 1) throw new Error("another value");
        }),
      },
    ], { title, count: 200, rounds: 7 }),
  );
  await raw.close();
}

if (import.meta.main) await benchAnonymous(process.env.BROKER!);
