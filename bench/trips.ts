/** Round trips between this process and an echo process, which `echo.ts` is. */
import { type Child, startChild } from "../tests/support/child.ts";
import { openChannelTS } from "./clients/channelts.ts";
import type { ClientName } from "./clients/mod.ts";
import { quantile } from "./compare.ts";
import { progress, record, table } from "./output.ts";

const ROUNDS = 20;
const TRIPS = 100;
const WARM_UP = 500;

/** The value of a trip. */
export const body: Uint8Array = new Uint8Array(64).fill(65);

/** A round trip. */
export interface Trip {
  readonly label: string;
  readonly once: () => Promise<unknown>;
  readonly close: () => Promise<unknown>;
}

/** Makes the trips in turn, in rounds, and reports the time of one direction. The first trip is the reference. */
export async function measureTrips(title: string, trips: readonly Trip[]): Promise<void> {
  for (const { label, once } of trips) {
    progress(`latency: ${label} warms up`);
    for (let i = 0; i < WARM_UP; i++) await once();
  }
  /** Milliseconds of one direction, half of the round trip, for each trip and round. */
  const times: number[][][] = trips.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    progress(`latency: round ${round + 1} of ${ROUNDS}`);
    for (const [i, { once }] of trips.entries()) {
      const mine: number[] = [];
      for (let i = 0; i < TRIPS; i++) {
        const start = performance.now();
        await once();
        mine.push((performance.now() - start) / 2);
      }
      times[i]!.push(mine);
    }
  }
  const rows = trips.map(({ label }, i) => {
    const ratios = times[i]!.map((mine, round) =>
      quantile(mine, 0.5) / quantile(times[0]![round]!, 0.5)
    );
    const all = times[i]!.flat();
    const [median, p99] = [quantile(all, 0.5).toFixed(3), quantile(all, 0.99).toFixed(3)];
    const ratio = quantile(ratios, 0.5).toFixed(2);
    record(title, label, `${median}, p99 ${p99}${i === 0 ? "" : ` (${ratio})`}`);
    const range = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`;
    return [label, median, p99, ...i === 0 ? [] : [ratio, range]];
  });
  table(title, [["", "median", "p99", `× ${trips[0]!.label}`, "least–most"], ...rows]);
}

/** Starts the echo process of a client. */
export async function startEcho(
  name: ClientName,
  uri: string,
  there: string,
  back: string,
): Promise<Child> {
  const child = startChild(new URL("echo.ts", import.meta.url), { args: [name, uri, there, back] });
  await child.next();
  return child;
}

/** Opens the trip of two ChannelTS processes. */
export async function openChannelTrip(label: string, uri: string): Promise<Trip> {
  const id = crypto.randomUUID();
  const [there, back] = [`bench-there-${id}`, `bench-back-${id}`];
  const client = await openChannelTS(uri);
  for (const name of [there, back]) await client.declare(name);
  const child = await startEcho("channel", uri, there, back);
  const replies = client.channel(back);
  return {
    label,
    once: () => {
      client.put(there, body);
      return replies.get();
    },
    close: async () => {
      await child[Symbol.asyncDispose]();
      for (const name of [there, back]) await client.channel(name).delete();
      await client.close();
    },
  };
}
