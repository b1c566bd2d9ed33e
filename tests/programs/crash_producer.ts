// Puts numbers from FIRST on, several at a time, until it is killed; tells of each that was taken.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name, first] = process.argv.slice(2) as [string, string, string];
const channel = new Channel<number>({ name, connection });
let next = Number(first);
const putting = async () => {
  for (;;) {
    const n = next++;
    await channel.put(n);
    send(n);
    if (n % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
};
await Promise.all([putting(), putting(), putting()]);
