import { Channel } from "@channelts/channel";
import { compare, report } from "./compare.ts";
import { openRaw } from "./raw.ts";

/** Puts and gets over RabbitMQ, beside the raw client on a connection of its own in the same process. */
export async function benchAmqp(uri: string): Promise<void> {
  const id = crypto.randomUUID();
  const raw = await openRaw(uri, `bench-raw-${id}`);
  const ch = new Channel<Uint8Array>({ name: `bench-${id}`, connection: uri });
  const body = new Uint8Array(64).fill(65);

  const pipelined = async (count: number, put: () => Promise<unknown>) => {
    for (let done = 0; done < count; done += 500) {
      await Promise.all(Array.from({ length: 500 }, put));
    }
  };
  const putRaw = () => raw.put(body);
  const putChannel = () => ch.put(body);
  const emptyRaw = async () => void await raw.channel.queuePurge(`bench-raw-${id}`);
  const emptyChannel = async () => {
    while (await ch.depth() > 0) await raw.channel.queuePurge(`bench-${id}`);
  };

  report(
    "pipelined put, 500 at a time, 64 bytes, confirmed, persistent",
    await compare([
      { label: "raw client", prepare: emptyRaw, run: (n) => pipelined(n, putRaw) },
      { label: "channel", prepare: emptyChannel, run: (n) => pipelined(n, putChannel) },
    ], { count: 10_000 }),
  );

  const sequential = async (count: number, put: () => Promise<unknown>) => {
    for (let i = 0; i < count; i++) await put();
  };
  report(
    "sequential put, each awaited",
    await compare([
      { label: "raw client", prepare: emptyRaw, run: (n) => sequential(n, putRaw) },
      { label: "channel", prepare: emptyChannel, run: (n) => sequential(n, putChannel) },
    ], { count: 1000 }),
  );

  await emptyRaw();
  await emptyChannel();
  report(
    "get loop on a full queue, each accepted",
    await compare([
      {
        label: "raw consumer, prefetch 500, ack each",
        prepare: (n) => pipelined(n, putRaw),
        run: (n) => raw.consume(n),
      },
      {
        label: "for (;;) await ch.get()",
        prepare: (n) => pipelined(n, putChannel),
        run: async (n) => {
          for (let i = 0; i < n; i++) await ch.get();
        },
      },
      {
        label: "for await (const value of ch)",
        prepare: (n) => pipelined(n, putChannel),
        run: async (n) => {
          let got = 0;
          for await (const _ of ch) if (++got === n) break;
        },
      },
    ], { count: 10_000 }),
  );

  report(
    "anonymous channel made, used once, disposed; 20 at a time",
    await compare([
      {
        label: "channel",
        run: async (n) => {
          for (let done = 0; done < n; done += 20) {
            await Promise.all(Array.from({ length: 20 }, async () => {
              const reply = ch.clone<number>();
              await reply.put(1);
              await reply.get();
              await reply[Symbol.asyncDispose]();
            }));
          }
        },
      },
    ], { count: 200, rounds: 3 }),
  );

  await raw.close();
  await ch.delete();
}
