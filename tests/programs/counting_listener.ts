// Reports each broadcast with its number and how many were missed before it, until the channel is closed for everyone.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const channel = new Channel<{ n: number }>({ name, connection });
const events = channel.broadcasts();
await events.ready;
send("listens");
for await (const { n } of events) send([n, events.missed]);
send([channel.closed, events.missed]);
