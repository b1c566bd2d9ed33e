/** The other process of `flatness.ts`: listens to broadcasts until it is stopped. */
import process from "node:process";
import { Channel } from "../mod.ts";
import { send } from "../tests/support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const listener = new Channel({ name, connection }).broadcasts();
await listener.ready;
send("ready");
for await (const _ of listener);
