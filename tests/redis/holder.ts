// A process that takes one value from each channel and keeps it. Arguments: the URI, the names of the channels.
import process from "node:process";
import { Channel } from "../../mod.ts";
import { messages, send } from "../support/child_side.ts";

const [connection, ...names] = process.argv.slice(2);
const channels = names.map((name) => new Channel({ name, connection: connection! }));
const deliveries = await Promise.all(channels.map((channel) => channel.receive()));
send(deliveries.length);
for await (const _ of messages()); // until the test ends
