// Receives numbers until it is killed. It writes each to a file before accepting it, with a ! if it is redelivered.
import { Channel } from "../../mod.ts";
import { openSync, writeSync } from "node:fs";
import process from "node:process";

const [connection, name, log] = process.argv.slice(2) as [string, string, string];
const channel = new Channel<number>({ name, connection });
const file = openSync(log, "a");
for (;;) {
  const delivery = await channel.receive();
  writeSync(file, `${delivery.value}${delivery.redelivered ? "!" : ""}\n`);
  delivery.accept();
}
