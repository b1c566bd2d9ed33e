// Waits in a get until it rejects, and reports the error.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const channel = new Channel({ name, connection });
await channel.depth();
send("waiting");
await channel.get().catch((error) => send({ error: error.name }));
