// Puts 0, 1, 2 …, several at a time, until the channel is closed; then reports which of them were confirmed.
import process from "node:process";
import { Channel, ChannelClosedError } from "../../mod.ts";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const channel = new Channel<number>({ name, connection });
await channel.depth();
send("ready");
const stored: number[] = [];
const puts = new Set<Promise<void>>();
let isOpen = true;
for (let n = 0; isOpen; n++) {
  const put = channel.put(n).then(() => void stored.push(n), (error) => {
    if (!(error instanceof ChannelClosedError)) throw error;
    isOpen = false;
  });
  puts.add(put);
  put.finally(() => puts.delete(put));
  if (puts.size >= 10) await Promise.race(puts);
}
await Promise.all(puts);
send(stored.sort((a, b) => a - b));
