/** Measures requests and replies within one process, through the broker. */
import process from "node:process";
import { Channel, Connection, serve } from "../mod.ts";
import { openRaw } from "./clients/raw.ts";
import { compare } from "./compare.ts";
import { heading, report } from "./output.ts";

/** How many requests are in flight when they are pipelined. */
const AT_A_TIME = 50;

export async function benchRequest(connection: string): Promise<void> {
  heading("requests and replies");
  const name = `bench-request-${crypto.randomUUID()}`;
  // Requester and server have separate connections, as two processes have, and as the raw client has here.
  const asking = new Channel<number>({ name, connection: new Connection(connection) });
  const answering = new Channel<number>({ name, connection: new Connection(connection) });
  const raw = await openRawCalls(connection);
  const ask = async (n: number) => {
    if (await asking.request(n) !== n * 2) throw new Error("another reply");
  };
  for (const [title, width] of [["one at a time", 1], ["pipelined, 50", AT_A_TIME]] as const) {
    const all = (call: (n: number) => Promise<void>) => async (count: number) => {
      let next = 0;
      await Promise.all(Array.from({ length: width }, async () => {
        while (next < count) await call(next++);
      }));
    };
    const stop = new AbortController();
    const serving = serve(answering, (n) => n * 2, { concurrency: width, signal: stop.signal });
    const course = { title: `request and reply, ${title}`, count: width === 1 ? 500 : 5000 };
    report(
      course.title,
      await compare([
        { label: "raw client, confirmed and acked", run: all(raw.call) },
        { label: "ChannelTS", run: all(ask) },
      ], course),
    );
    stop.abort();
    await serving;
  }
  await asking.delete();
  await Promise.all([asking.close(), answering.close()]);
  await raw.close();
}

/**
 * Sends requests with the raw client and the same guarantees: durable queues, acknowledged replies, and a request
 * acknowledged when its reply is confirmed.
 */
async function openRawCalls(uri: string) {
  const [asking, answering] = [await openRaw(uri), await openRaw(uri)];
  const id = crypto.randomUUID();
  const [there, back] = [`bench-there-${id}`, `bench-back-${id}`];
  for (const queue of [there, back]) await asking.declare(queue);
  const server = await answering.openChannels(1);
  await server[0]!.prefetch(AT_A_TIME);
  await server[0]!.basicConsume(there, { noAck: false }, (message) => {
    const [n, of] = JSON.parse(message.bodyString()!) as [number, number];
    const reply = new TextEncoder().encode(JSON.stringify([n * 2, of]));
    answering.put(back, reply).then(() => server[0]!.basicAck(message.deliveryTag));
  });
  const waiting = new Map<number, (n: number) => void>();
  const stop = await asking.consume(back, AT_A_TIME, (body) => {
    const [n, of] = JSON.parse(new TextDecoder().decode(body)) as [number, number];
    waiting.get(of)?.(n);
    waiting.delete(of);
  });
  let last = 0;
  return {
    async call(n: number): Promise<void> {
      const of = last++;
      const reply = new Promise<number>((resolve) => waiting.set(of, resolve));
      asking.put(there, new TextEncoder().encode(JSON.stringify([n, of])));
      if (await reply !== n * 2) throw new Error("another reply");
    },
    async close(): Promise<void> {
      await stop();
      for (const queue of [there, back]) await asking.delete(queue);
      await Promise.all([asking.close(), answering.close()]);
    },
  };
}

if (import.meta.main) await benchRequest(process.env.BROKER!);
