/**
 * Measures the embedded transport between two processes of this runtime, beside RabbitMQ. Each round has a channel of
 * its own. `--rounds=N`, by default 3.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Channel } from "../mod.ts";
import { type Child, startChild } from "../tests/support/child.ts";
import { median, quantile } from "./compare.ts";
import { heading, progress, record, table, thousands } from "./output.ts";

const now = () => performance.timeOrigin + performance.now();
const peer = new URL("sqlite_peer.ts", import.meta.url);

interface Measured {
  readonly label: string;
  readonly text: string;
}

async function main(): Promise<void> {
  const given = process.argv.find((arg) => arg.startsWith("--rounds="));
  const rounds = Number(given?.slice("--rounds=".length) ?? 3);
  const directory = mkdtempSync(join(tmpdir(), "channelts-bench-"));
  const transports: Record<string, string> = {
    sqlite: `sqlite:${join(directory, "normal.db")}`,
    "sqlite, synchronous=full": `sqlite:${join(directory, "full.db")}?synchronous=full`,
  };
  if (process.env.BROKER) transports.RabbitMQ = process.env.BROKER;
  heading("two processes, one file");
  try {
    for (const [title, uri] of Object.entries(transports)) {
      const rows: Measured[] = [];
      for (const [label, measure] of Object.entries(measures)) {
        progress(`${title}: ${label}`);
        rows.push({ label, text: await measure(uri, rounds) });
      }
      table(title, rows.map(({ label, text }) => [label, text]));
      for (const { label, text } of rows) record(title, label, text);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const measures: Record<string, (uri: string, rounds: number) => Promise<string>> = {
  "put, one at a time": async (uri, rounds) => {
    const rates: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await withChannel(uri, async (channel) => {
        rates.push(
          await rate(3000, async () => {
            for (let n = 0; n < 3000; n++) await channel.put(n);
          }),
        );
      });
    }
    return perSecond(rates);
  },
  "put and get, one at a time": (uri, rounds) => transfer(uri, rounds, 4000, 1, 1),
  "put and get, 200 and 50 at a time": (uri, rounds) => transfer(uri, rounds, 30_000, 200, 50),
  "put and get, 200 at a time and one loop": (uri, rounds) => transfer(uri, rounds, 30_000, 200, 1),
  "wakes a waiting get, ms": async (uri) => {
    const count = 300;
    let times: number[] = [];
    await withChannel(uri, async (channel, name) => {
      await using child = await start("wake", uri, name, String(count));
      for (let n = 0; n < count; n++) {
        await sleep(5 + Math.random() * 10);
        await channel.put(now());
      }
      times = await child.next() as number[];
    });
    return [0.5, 0.99, 1].map((q) => quantile(times, q).toFixed(2)).join(" / ") +
      " (median / 99 % / most)";
  },
  "shares of four waiting processes": async (uri) => {
    let shares: number[] = [];
    await withChannel(uri, async (channel, name) => {
      const children = await Promise.all([0, 1, 2, 3].map(() => start("share", uri, name)));
      await sleep(50);
      for (let n = 0; n < 400; n++) {
        await channel.put(n);
        await sleep(4);
      }
      await sleep(100);
      await channel.closeAll();
      shares = await Promise.all(children.map((child) => child.next() as Promise<number>));
      for (const child of children) await child[Symbol.asyncDispose]();
    });
    return shares.join(" ");
  },
  "100 waiting gets, CPU share": async (uri) => {
    let share = 0;
    await withChannel(uri, async (_, name) => {
      await using child = await start("idle", uri, name, "100");
      share = await child.next() as number;
    });
    return `${(share * 100).toFixed(2)} %`;
  },
};

/** Returns the values per second from this process to another, and for how long the other's event loop was blocked. */
async function transfer(
  uri: string,
  rounds: number,
  count: number,
  putting: number,
  getting: number,
): Promise<string> {
  const rates: number[] = [];
  let late = 0;
  for (let round = 0; round < rounds; round++) {
    await withChannel(uri, async (channel, name) => {
      await using child = await start("get", uri, name, `${count}x${getting}`);
      await sleep(20);
      const begin = now();
      let put = 0;
      await Promise.all(Array.from({ length: putting }, async () => {
        while (put < count) await channel.put(put++);
      }));
      const reported = await child.next() as { end: number; late: number };
      rates.push(count / (reported.end - begin) * 1000);
      late = Math.max(late, reported.late);
    });
  }
  return `${perSecond(rates)}, ${Math.round(late)} ms late at most`;
}

async function start(act: string, uri: string, name: string, argument = ""): Promise<Child> {
  const child = startChild(peer, { args: [act, uri, name, argument] });
  await child.next();
  return child;
}

async function withChannel(
  connection: string,
  use: (channel: Channel<number>, name: string) => Promise<void>,
): Promise<void> {
  const name = `bench ${crypto.randomUUID()}`;
  const channel = new Channel<number>({ name, connection, expires: 60_000 });
  await channel.depth();
  await use(channel, name);
  await new Channel({ name, connection }).delete();
  await channel.close();
}

async function rate(count: number, work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return count / (performance.now() - start) * 1000;
}

function perSecond(rates: number[]): string {
  return `${thousands(median(rates))} /s`;
}

await main();
