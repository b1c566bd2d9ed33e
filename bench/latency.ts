/**
 * Measures the latency from put to get across two processes, for each client with an echo process of the same client.
 */
import process from "node:process";
import { startChild } from "../tests/support/child.ts";
import { openChannelTS } from "./clients/channelts.ts";
import { type ClientName, clients } from "./clients/mod.ts";
import { openRaw, type RawClient } from "./clients/raw.ts";
import { quantile } from "./compare.ts";
import { heading, progress, record, table } from "./output.ts";

const ROUNDS = 20;
const TRIPS = 100;
const WARM_UP = 500;

/** A round trip. */
interface Trip {
  readonly label: string;
  readonly once: () => Promise<unknown>;
  /** Milliseconds of one direction: half of the round trip, for each round. */
  readonly times: number[][];
  readonly close: () => Promise<unknown>;
}

export async function benchLatency(uri: string): Promise<void> {
  heading("two processes");
  const inspector = await openRaw(uri);
  const trips: Trip[] = [];
  for (const name of Object.keys(clients) as ClientName[]) {
    trips.push(await openTrip(name, uri, inspector));
  }
  for (const { label, once } of trips) {
    progress(`latency: ${label} warms up`);
    for (let i = 0; i < WARM_UP; i++) await once();
  }
  for (let round = 0; round < ROUNDS; round++) {
    progress(`latency: round ${round + 1} of ${ROUNDS}`);
    for (const { once, times } of trips) {
      const mine: number[] = [];
      for (let i = 0; i < TRIPS; i++) {
        const start = performance.now();
        await once();
        mine.push((performance.now() - start) / 2);
      }
      times.push(mine);
    }
  }
  for (const { close } of trips) await close();
  await inspector.close();

  const title = "one way from put to get, 64 bytes, in ms";
  const rows = trips.map(({ label, times }, i) => {
    const ratios = times.map((mine, round) =>
      quantile(mine, 0.5) / quantile(trips[0]!.times[round]!, 0.5)
    );
    const all = times.flat();
    const [median, p99] = [quantile(all, 0.5).toFixed(3), quantile(all, 0.99).toFixed(3)];
    const ratio = quantile(ratios, 0.5).toFixed(2);
    record(title, label, `${median}, p99 ${p99}${i === 0 ? "" : ` (${ratio})`}`);
    const range = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`;
    return [label, median, p99, ...i === 0 ? [] : [ratio, range]];
  });
  table(title, [["", "median", "p99", `× ${trips[0]!.label}`, "least–most"], ...rows]);
}

const body = new Uint8Array(64).fill(65);

async function openTrip(name: ClientName, uri: string, inspector: RawClient): Promise<Trip> {
  const id = crypto.randomUUID();
  const [there, back] = [`bench-there-${id}`, `bench-back-${id}`];
  const ours = name === "channel" ? await openChannelTS(uri) : undefined;
  const client = ours ?? await clients[name](uri);
  for (const queue of [there, back]) await client.declare(queue);
  const child = startChild(new URL("echo.ts", import.meta.url), { args: [name, uri, there, back] });
  await child.next();
  let once: Trip["once"];
  if (ours) {
    const replies = ours.channel(back);
    once = () => {
      client.put(there, body);
      return replies.get();
    };
  } else {
    let arrived: () => void;
    await client.consume(back, 1, () => arrived());
    once = () => {
      const answer = new Promise<void>((resolve) => arrived = resolve);
      client.put(there, body);
      return answer;
    };
  }
  const close = async () => {
    await child[Symbol.asyncDispose]();
    await client.close();
    for (const queue of [there, back]) {
      await inspector.delete(queue);
      if (name === "channel") await inspector.channel.exchangeDelete(queue);
    }
  };
  return { label: client.label, once, times: [], close };
}

if (import.meta.main) await benchLatency(process.env.BROKER!);
