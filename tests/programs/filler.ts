// Puts 0, 1, 2 …, and reports each one when it is in the channel.
import process from "node:process";
import { Channel } from "../../mod.ts";
import { send } from "../support/child_side.ts";

const [connection, name, count] = process.argv.slice(2) as [string, string, string];
const channel = new Channel<number>({ name, connection });
for (let n = 0; n < Number(count); n++) {
  await channel.put(n);
  send(n);
}
