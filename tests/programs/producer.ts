// Told to go, puts COUNT numbers from FIRST on; then waits until the channel is closed for everyone.
import { Channel, ChannelClosedError } from "@channelts/channel";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { messages, send } from "../support/child_side.ts";

const [connection, name, first, count] = process.argv.slice(2) as [string, string, string, string];
const channel = new Channel<number>({ name, connection });
await channel.depth(); // attaches
send("ready");
await messages().next();
const puts = Array.from({ length: Number(count) }, (_, i) => channel.put(Number(first) + i));
await Promise.all(puts);
send("done");
while (!channel.closed) await sleep(10);
try {
  await channel.put(-1);
} catch (error) {
  if (error instanceof ChannelClosedError) send({ reason: error.reason });
  else throw error;
}
process.stdin.destroy(); // what the program was told by; all else ends by itself
