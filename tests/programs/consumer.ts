// Gets numbers until the channel is closed for everyone, and reports each.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const channel = new Channel<number>({ name, connection });
for await (const value of channel) send(value);
