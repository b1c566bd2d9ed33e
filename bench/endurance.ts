/**
 * Measures whether memory stays constant: endurance.ts [--puts=1000000], in awaited batches, with each value got again.
 */
import process from "node:process";
import { Channel } from "../mod.ts";
import { putMany } from "./clients/client.ts";
import { megabytes, memory } from "./gc.ts";
import { heading, progress, record, table, thousands } from "./output.ts";

const BATCHES = 500;
const STEPS = 10;

export async function benchEndurance(connection: string, puts: number): Promise<void> {
  heading("memory, over time");
  const ch = new Channel<Uint8Array>({
    name: `bench-endurance-${crypto.randomUUID()}`,
    connection,
  });
  const body = new Uint8Array(64);
  const rows = [];
  // The broker's memory is not measured: only a part of the values is in the queue at a time.
  const part = Math.min(20_000, Math.ceil(puts / STEPS));
  let done = 0;
  let first;
  let last;
  for (let step = 1; step <= STEPS; step++) {
    while (done < puts * step / STEPS) {
      progress(`endurance: ${thousands(done)} of ${thousands(puts)}`);
      const count = Math.min(part, puts - done);
      await putMany(count, () => ch.put(body), BATCHES);
      for (let i = 0; i < count; i++) await ch.get();
      done += count;
    }
    last = await memory();
    first ??= last;
    rows.push([thousands(done), megabytes(last.rss), megabytes(last.heap)]);
  }
  await ch.delete();
  const title = `${thousands(puts)} puts, 500 at a time, and as many gets`;
  table(title, [["after", "RSS", "heap"], ...rows]);
  const [rss, heap] = [last!.rss - first!.rss, last!.heap - first!.heap];
  const text = `RSS ${megabytes(rss)}, heap ${megabytes(heap)}`;
  record(title, "growth after the first tenth", text);
}

if (import.meta.main) {
  const option = process.argv.find((arg) => arg.startsWith("--puts="))?.slice("--puts=".length);
  await benchEndurance(process.env.BROKER!, Number(option ?? 1_000_000));
}
