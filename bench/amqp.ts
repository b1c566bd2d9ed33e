/** Measures puts and gets over RabbitMQ beside other clients, each on a connection of its own in this process. */
import assert from "node:assert/strict";
import process from "node:process";
import { openChannelTS } from "./clients/channelts.ts";
import { consumeSome, putMany } from "./clients/client.ts";
import { clients } from "./clients/mod.ts";
import { openRaw } from "./clients/raw.ts";
import { compare, type Contender } from "./compare.ts";
import { heading, report } from "./output.ts";
import { checkClients } from "./verify.ts";

const body = new Uint8Array(64).fill(65);

export async function benchAmqp(uri: string): Promise<void> {
  heading("RabbitMQ, 64 bytes");
  await checkClients(uri);
  const inspector = await openRaw(uri);
  const ours = await openChannelTS(uri);
  const others = [];
  for (const [name, open] of Object.entries(clients)) {
    if (name !== "channel") others.push(await open(uri));
  }
  const all = [...others, ours].map((client) => ({
    client,
    queue: `bench-${client.label.replace(/[^a-z]/gi, "-")}-${crypto.randomUUID()}`,
  }));
  for (const { client, queue } of all) await client.declare(queue);

  const holds = async (queue: string, count: number) => {
    assert.equal(await inspector.depth(queue), count, `values in ${queue}`);
  };
  const empty = async (queue: string) => {
    do await inspector.purge(queue); while (await inspector.depth(queue) > 0);
  };

  const putting = (run: (count: number, put: () => Promise<unknown>) => Promise<void>) =>
    all.map(({ client, queue }): Contender => ({
      label: client.label,
      prepare: () => empty(queue),
      run: (count) => run(count, () => client.put(queue, body)),
      check: (count) => holds(queue, count), // all are confirmed and in the queue
    }));
  let title = "put, 500 at a time";
  report(title, await compare(putting(putMany), { title, count: 5000, rounds: 9 }));

  title = "put, each awaited";
  const oneByOne = (count: number, put: () => Promise<unknown>) => putMany(count, put, 1);
  report(title, await compare(putting(oneByOne), { title, count: 500, rounds: 9 }));

  const getting = (
    { client, queue }: typeof all[number],
    how: string,
    run: (count: number) => Promise<void>,
  ): Contender => ({
    label: `${client.label}, ${how}`,
    prepare: async (count) => {
      await empty(queue);
      await putMany(count, () => client.put(queue, body));
      // An earlier consumer may hold some messages, which it returns.
      while (await inspector.depth(queue) < count);
    },
    run,
    check: () => holds(queue, 0),
  });
  const channel = all.at(-1)!;
  const ch = ours.channel(channel.queue);
  title = "get from a full queue, each accepted";
  report(
    title,
    await compare([
      ...all.slice(0, -1).flatMap((other, i) =>
        (i === 0 ? [500, 256] : [500]).map((window) =>
          getting(
            other,
            `prefetch ${window}`,
            (count) => consumeSome(other.client, other.queue, window, count),
          )
        )
      ),
      getting(channel, "get()", async (count) => {
        for (let i = 0; i < count; i++) await ch.get();
      }),
      getting(channel, "for await", async (count) => {
        let got = 0;
        for await (const _ of ch) if (++got === count) break;
      }),
    ], { title, count: 10_000, rounds: 5 }),
  );

  for (const { client, queue } of all) {
    await client.close();
    await holds(queue, 0); // unacknowledged messages would be back
    await inspector.delete(queue);
  }
  await inspector.channel.exchangeDelete(channel.queue);
  await inspector.close();
}

if (import.meta.main) await benchAmqp(process.env.BROKER!);
