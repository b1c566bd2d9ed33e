// Puts COUNT values in batches, and reports its memory use after each tenth of them.
import { Channel, ChannelError } from "../../mod.ts";
import process from "node:process";
import { messages, send } from "../support/child_side.ts";

const [connection, name, ...numbers] = process.argv.slice(2) as [string, string, ...string[]];
const [count, batch, size, timeout = Infinity] = numbers.map(Number) as [number, number, number];
const channel = new Channel<string>({ name, connection, retryTimeout: Infinity });
await channel.depth();
send("ready");
for await (const _ of messages()) {
  for (let part = 0; part < 10; part++) {
    for (let n = 0; n < count / 10; n += batch) {
      const puts = Array.from({ length: batch }, (_, i) => {
        return channel.put(`${part} ${n} ${i} `.padEnd(size, "x"), { timeout });
      });
      if (timeout === Infinity) await Promise.all(puts);
      else (await Promise.allSettled(puts)).forEach(expectGivenUp);
    }
    const { heapUsed, external, rss } = process.memoryUsage();
    send({ heap: heapUsed + external, rss });
  }
}

function expectGivenUp(put: PromiseSettledResult<void>): void {
  if (put.status === "rejected" && put.reason instanceof ChannelError) return;
  throw new Error(`a put was not given up, but ${put.status}`);
}
