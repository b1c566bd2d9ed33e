/**
 * The other process of `hoarding.ts`: hoarding_peer.ts URI NAME gets as many values as requested, quickly, then stops.
 */
import process from "node:process";
import { Channel } from "../mod.ts";
import { messages, send } from "../tests/support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const channel = new Channel<number>({ name, connection });
await channel.depth(); // attaches the handle
send("ready");
for await (const count of messages()) {
  for (let i = 0; i < (count as number); i++) await channel.get();
  send(performance.timeOrigin + performance.now());
}
