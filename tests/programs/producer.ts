// On a signal, puts COUNT numbers from FIRST on, one after the other, then waits until the channel is closed for
// everyone. The signal comes through a channel, because a program that listens to stdin does not end by itself.
import { Channel, ChannelClosedError } from "../../mod.ts";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { send } from "../support/child_side.ts";

const [connection, name, go, first, count] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const channel = new Channel<number>({ name, connection });
await channel.depth(); // attaches the handle
send("ready");
await new Channel({ name: go, connection }).get();
for (let i = 0; i < Number(count); i++) await channel.put(Number(first) + i);
send("done");
while (!channel.closed) await sleep(10);
try {
  await channel.put(-1);
} catch (error) {
  if (error instanceof ChannelClosedError) send({ reason: error.reason });
  else throw error;
}
