import { Channel } from "../mod.ts";
import { compare } from "./compare.ts";
import { heading, report } from "./output.ts";

/** Measures puts and gets within one isolate, beside the simplest code that could do it. */
export async function benchMemory(): Promise<void> {
  heading("memory:");
  const title = "put and get of a small object, both awaited";
  const ch = new Channel<{ id: number; name: string }>({ connection: "memory:" });
  const value = { id: 1, name: "foo" };
  const queue: unknown[] = [];
  report(
    title,
    await compare([
      {
        label: "array of structuredClone'd values",
        run: async (n) => {
          for (let i = 0; i < n; i++) {
            await queue.push(structuredClone(value));
            await queue.shift();
          }
        },
      },
      {
        label: "channel",
        run: async (n) => {
          for (let i = 0; i < n; i++) {
            await ch.put(value);
            await ch.get();
          }
        },
      },
    ], { title, count: 50_000 }),
  );
  await ch.delete();
}

if (import.meta.main) await benchMemory();
