import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Channel, select } from "../mod.ts";
import { compare } from "./compare.ts";
import { heading, report } from "./output.ts";

/** Measures selects from three channels with values and from one of a hundred, beside a get. */
export async function benchSelect(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "channelts-select-"));
  const broker = process.env.BROKER ?? "amqp://localhost";
  for (const connection of ["memory:", `sqlite:${join(directory, "bench.db")}`, broker]) {
    await benchOn(connection);
  }
  rmSync(directory, { recursive: true, maxRetries: 5, retryDelay: 100 });
}

async function benchOn(connection: string): Promise<void> {
  const scheme = connection.split(":")[0]!;
  heading(`select on ${scheme}:`);
  const title = "values, one after the other, put before";
  const channels = Array.from({ length: 100 }, () => new Channel<number>({ connection }));
  const [one, two, three] = channels as [Channel<number>, Channel<number>, Channel<number>];
  await Promise.all(channels.map((channel) => channel.depth()));
  report(
    title,
    await compare([
      {
        label: "get",
        run: async (n) => {
          await Promise.all(Array.from({ length: n }, (_, i) => one.put(i)));
          for (let i = 0; i < n; i++) await one.get();
        },
      },
      {
        label: "select of three, all with values",
        run: async (n) => {
          const of = [one, two, three];
          await Promise.all(Array.from({ length: n }, (_, i) => of[i % 3]!.put(i)));
          for (let i = 0; i < n; i++) await select(of);
        },
      },
      {
        label: "select of a hundred, one with values",
        run: async (n) => {
          await Promise.all(Array.from({ length: n }, (_, i) => one.put(i)));
          for (let i = 0; i < n; i++) await select(channels);
        },
      },
    ], { title, count: scheme === "memory" ? 10_000 : 1000 }),
  );
  await Promise.all(channels.map((channel) => channel.delete()));
}

if (import.meta.main) await benchSelect();
