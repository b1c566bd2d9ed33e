// Reports each broadcast until the channel is closed for everyone, and then ends by itself.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const events = new Channel<unknown>({ name, connection }).broadcasts();
await events.ready;
send("listens");
for await (const value of events) send(value);
send("over");
