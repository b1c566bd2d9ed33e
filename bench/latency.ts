/**
 * Measures the latency from put to get across two processes, for each client with an echo process of the same client.
 */
import process from "node:process";
import { type ClientName, clients } from "./clients/mod.ts";
import { openRaw, type RawClient } from "./clients/raw.ts";
import { heading } from "./output.ts";
import { body, measureTrips, openChannelTrip, startEcho, type Trip } from "./trips.ts";

export async function benchLatency(uri: string): Promise<void> {
  heading("two processes");
  const inspector = await openRaw(uri);
  const trips: Trip[] = [];
  for (const name of Object.keys(clients) as ClientName[]) {
    const isOurs = name === "channel";
    trips.push(await (isOurs ? openChannelTrip("ChannelTS", uri) : openTrip(name, uri, inspector)));
  }
  await measureTrips("one way from put to get, 64 bytes, in ms", trips);
  for (const { close } of trips) await close();
  await inspector.close();
}

/** Opens the trip of two processes with another client. */
async function openTrip(name: ClientName, uri: string, inspector: RawClient): Promise<Trip> {
  const id = crypto.randomUUID();
  const [there, back] = [`bench-there-${id}`, `bench-back-${id}`];
  const client = await clients[name](uri);
  for (const queue of [there, back]) await client.declare(queue);
  const child = await startEcho(name, uri, there, back);
  let arrived: () => void;
  await client.consume(back, 1, () => arrived());
  return {
    label: client.label,
    once: () => {
      const answer = new Promise<void>((resolve) => arrived = resolve);
      client.put(there, body);
      return answer;
    },
    close: async () => {
      await child[Symbol.asyncDispose]();
      await client.close();
      for (const queue of [there, back]) await inspector.delete(queue);
    },
  };
}

if (import.meta.main) await benchLatency(process.env.BROKER!);
