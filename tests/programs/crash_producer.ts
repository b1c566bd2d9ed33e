// Puts numbers from FIRST on, several at a time, until it is killed. It writes the confirmed ones to a file.
import { Channel } from "../../mod.ts";
import { openSync, writeSync } from "node:fs";
import process from "node:process";

const [connection, name, log, first] = process.argv.slice(2) as [string, string, string, string];
const channel = new Channel<number>({ name, connection });
const file = openSync(log, "a");
let next = Number(first);
const putting = async () => {
  for (;;) {
    const n = next++;
    await channel.put(n);
    writeSync(file, `${n}\n`);
    if (n % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
};
await Promise.all([putting(), putting(), putting()]);
