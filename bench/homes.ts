/**
 * Measures the channels of homes, each in a process of its own, beside RabbitMQ; and threads that share the channels of
 * the main thread over a port, beside an SQLite file. `--rounds=N`, by default 7.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Channel } from "../home.ts";
import { type Child, startChild } from "../tests/support/child.ts";
import { putMany } from "./clients/client.ts";
import { compare, type Contender } from "./compare.ts";
import { benchThreads } from "./homes_threads.ts";
import { heading, report } from "./output.ts";
import { measureTrips, openChannelTrip } from "./trips.ts";

/** Where channels are. */
interface Place {
  readonly label: string;
  readonly uri: string;
}

/** A job on a channel. */
interface Job {
  /** Whether the channel holds all values before it, and none afterwards; otherwise the reverse. */
  readonly isFull: boolean;
  readonly run: (channel: Channel<Uint8Array>, count: number) => Promise<void>;
}

const body = new Uint8Array(64).fill(65);

export async function benchHomes(broker: string, rounds: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "channelts-bench-"));
  const homes: Child[] = [];
  const start = async (connection: string, scheme: string, protection = "none") => {
    const home = startChild(new URL("homes_server.ts", import.meta.url), {
      args: [`${scheme}://127.0.0.1:0`, connection, protection],
    });
    homes.push(home);
    return await home.next() as string;
  };
  try {
    const places: Place[] = [
      { label: "RabbitMQ", uri: broker },
      { label: "a home, zmq:", uri: await start("memory:", "zmq") },
      { label: "a home, zmq:, encrypted", uri: await start("memory:", "zmq", "keys") },
      { label: "a home, ws:", uri: await start("memory:", "ws") },
      {
        label: "a home on a file, zmq:",
        uri: await start(`sqlite:${join(folder, "home.db")}`, "zmq"),
      },
    ];
    heading("homes beside RabbitMQ, 64 bytes");
    for (const [title, { count, ...job }] of Object.entries(jobs)) {
      const contenders = places.map((place) => contender(place, job));
      report(title, await compare(contenders, { title, count, rounds }));
    }
    for (const [title, width] of [["one", 1], ["20", 20]] as const) {
      await anonymous(`anonymous channel, used once, ${title} at a time`, places, width, rounds);
    }
    const trips = [];
    for (const { label, uri } of places) trips.push(await openChannelTrip(label, uri));
    await measureTrips("one way from put to get, between two peers, in ms", trips);
    for (const { close } of trips) await close();
    await benchThreads(folder, rounds);
  } finally {
    for (const home of homes) await home[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }
}

const jobs: Record<string, Job & { readonly count: number }> = {
  "put, each awaited": {
    count: 1000,
    isFull: false,
    run: async (ch, count) => {
      for (let i = 0; i < count; i++) await ch.put(body);
    },
  },
  "put, 500 at a time": {
    count: 5000,
    isFull: false,
    run: (ch, count) => putMany(count, () => ch.put(body)),
  },
  "get in a loop": {
    count: 5000,
    isFull: true,
    run: async (ch, count) => {
      for (let i = 0; i < count; i++) await ch.get();
    },
  },
  "get, 50 at a time": {
    count: 10_000,
    isFull: true,
    run: async (ch, count) => {
      let left = count;
      await Promise.all(Array.from({ length: 50 }, async () => {
        while (left-- > 0) await ch.get();
      }));
    },
  },
};

/** Returns a contender that does a job on a new channel in each round. */
function contender({ label, uri }: Place, { isFull, run }: Job): Contender {
  let ch: Channel<Uint8Array>;
  return {
    label,
    prepare: async (count) => {
      const name = `bench ${crypto.randomUUID()}`;
      ch = new Channel({ name, connection: uri, expires: 600_000 });
      if (isFull) await putMany(count, () => ch.put(body));
      assert.equal(await ch.depth(), isFull ? count : 0);
    },
    run: (count) => run(ch, count),
    check: async (count) => {
      assert.equal(await ch.depth(), isFull ? 0 : count);
      await ch.delete();
    },
  };
}

/** Compares channels that are created, used once and disposed of. */
async function anonymous(
  title: string,
  places: readonly Place[],
  width: number,
  rounds: number,
): Promise<void> {
  const handles: Channel[] = [];
  const contenders = places.map(({ label, uri }): Contender => {
    const ch = new Channel({ connection: uri });
    handles.push(ch);
    const once = async () => {
      await using reply = ch.clone<number>();
      await reply.put(1);
      assert.equal(await reply.get(), 1);
    };
    return {
      label,
      prepare: () => ch.depth().then(() => {}), // the connection is open
      run: (count) => putMany(count, once, width),
    };
  });
  report(title, await compare(contenders, { title, count: 200, rounds }));
  for (const ch of handles) await ch.delete();
}

if (import.meta.main) {
  const given = process.argv.find((arg) => arg.startsWith("--rounds="));
  await benchHomes(process.env.BROKER!, Number(given?.slice("--rounds=".length) ?? 7));
}
