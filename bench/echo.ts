/** The remote side of `latency.ts`: echo.ts CLIENT URI THERE BACK returns what it gets. */
import process from "node:process";
import { messages, send } from "../tests/support/child_side.ts";
import { type ClientName, clients } from "./clients/mod.ts";

const [how, uri, there, back] = process.argv.slice(2) as [ClientName, string, string, string];
const client = await clients[how](uri);
await client.consume(there, 1, (body) => client.put(back, body));
send("ready");
for await (const _ of messages()); // until the parent process ends
