/**
 * Measures channels on Redis beside a raw client of Redis and channels on RabbitMQ, which `BROKER` names. The server is
 * the one that `REDIS` names, or a private one with an append-only file. `--small` does a tenth.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { Channel } from "../mod.ts";
import { redisUri, withAdmin } from "../tests/support/redis_setup.ts";
import { openChannelTS } from "./clients/channelts.ts";
import { type Client, consumeSome, putMany } from "./clients/client.ts";
import { compare, type Contender } from "./compare.ts";
import { heading, report } from "./output.ts";
import { measureTrips, openChannelTrip } from "./trips.ts";

const body = new Uint8Array(64).fill(65);

/** The least that a put with a number, an order and a dedupe could do in one script. */
const rawPut = `
local seq = redis.call('HINCRBY', KEYS[1] .. ':meta', 'seq', 1)
redis.call('HSET', KEYS[1] .. ':bodies', seq, ARGV[1])
redis.call('ZADD', KEYS[1] .. ':ready', 0, seq)
return seq
`;

export async function benchRedis(uri: string, broker: string | undefined): Promise<void> {
  heading("Redis, 64 bytes");
  const scale = process.argv.includes("--small") ? 0.1 : 1;
  const ours = await openChannelTS(uri);
  const rabbit = broker === undefined ? undefined : await openChannelTS(broker);
  const named = (client: Client, label: string) => ({
    label,
    client,
    queue: `bench ${label} ${crypto.randomUUID()}`,
  });
  const all = [
    named(ours, "ChannelTS on Redis"),
    ...rabbit === undefined ? [] : [named(rabbit, "ChannelTS on RabbitMQ")],
  ];
  for (const { client, queue } of all) await client.declare(queue);
  const depth = ({ client, queue }: typeof all[number]) =>
    (client as typeof ours).channel(queue).depth();
  const empty = async (each: typeof all[number]) => {
    const count = await depth(each);
    if (count > 0) await consumeSome(each.client, each.queue, 500, count);
  };

  /** Rejects unless the channel has so many values; an earlier consumer may hold some for a moment. */
  const holds = async (each: typeof all[number], count: number) => {
    for (let i = 0; i < 100 && await depth(each) !== count; i++) await pause(50);
    assert.equal(await depth(each), count);
  };

  await withAdmin(uri, async (raw) => {
    const sha = await raw.scriptLoad(rawPut);
    const key = "channelts-bench-raw";
    const rawKeys = [":meta", ":bodies", ":ready"].map((part) => key + part);
    const bytes = Buffer.from(body);
    const putting = (run: (count: number, put: () => Promise<unknown>) => Promise<void>) => [
      {
        label: "raw client, one EVALSHA each",
        prepare: async () => void await raw.del(rawKeys),
        run: (count: number) =>
          run(count, () => raw.sendCommand(["EVALSHA", sha, "1", key, bytes] as string[])),
        check: async (count: number) => assert.equal(await raw.hLen(`${key}:bodies`), count),
      },
      ...all.map((each): Contender => ({
        label: each.label,
        prepare: () => empty(each),
        run: (count) => run(count, () => each.client.put(each.queue, body)),
        check: (count) => holds(each, count),
      })),
    ];
    let title = "put, each awaited";
    const oneByOne = (count: number, put: () => Promise<unknown>) => putMany(count, put, 1);
    report(title, await compare(putting(oneByOne), { title, count: 1000 * scale, rounds: 5 }));
    title = "put, 500 at a time";
    report(title, await compare(putting(putMany), { title, count: 10_000 * scale, rounds: 5 }));
    await raw.del(rawKeys);
  });

  let title = "get in a loop, full channel";
  const getting = all.map((each): Contender => ({
    label: each.label,
    prepare: async (count) => {
      await empty(each);
      await putMany(count, () => each.client.put(each.queue, body));
    },
    run: async (count) => {
      const channel = (each.client as typeof ours).channel(each.queue);
      for (let n = 0; n < count; n++) await channel.get();
    },
    check: () => holds(each, 0),
  }));
  report(title, await compare(getting, { title, count: 10_000 * scale, rounds: 5 }));

  title = "anonymous: made, a value put and got, disposed; 20 at a time";
  const anonymous = [uri, ...broker === undefined ? [] : [broker]].map((connection, i) => ({
    label: all[i]!.label,
    ch: new Channel({ connection }),
  }));
  for (const { ch } of anonymous) await ch.depth();
  const making = anonymous.map(({ label, ch }): Contender => ({
    label,
    run: async (count) => {
      for (let done = 0; done < count; done += 20) {
        await Promise.all(Array.from({ length: 20 }, async () => {
          await using reply = ch.clone<number>();
          await reply.put(1);
          if (await reply.get() !== 1) throw new Error("another value");
        }));
      }
    },
  }));
  report(title, await compare(making, { title, count: 1000 * scale, rounds: 5 }));

  const trips = [await openChannelTrip(all[0]!.label, uri)];
  if (broker !== undefined) trips.push(await openChannelTrip(all[1]!.label, broker));
  await measureTrips("one way from put to get, 64 bytes, in ms", trips);
  for (const { close } of trips) await close();

  for (const { ch } of anonymous) {
    await ch.delete();
    await ch.close();
  }
  for (const { client, queue } of all) {
    await (client as typeof ours).channel(queue).delete();
    await client.close();
  }
}

if (import.meta.main) await benchRedis(await redisUri(), process.env.BROKER);
