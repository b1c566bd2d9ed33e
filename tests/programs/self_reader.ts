// Receives one value, and reads the lock file of its own session on request, as a backup of the directory does.
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { Channel } from "../../mod.ts";
import { messages, send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const channel = new Channel<string>({ name, connection });
const path = connection.slice("sqlite:".length);
const delivery = await channel.receive();
send(delivery.value);
for await (const message of messages()) {
  if (message === "read") {
    for (const file of readdirSync(dirname(path))) {
      if (!file.startsWith(basename(path)) || !file.endsWith(".lock")) continue;
      readFileSync(join(dirname(path), file));
    }
    send("has read");
  } else {
    delivery.accept();
    send("accepted");
  }
}
