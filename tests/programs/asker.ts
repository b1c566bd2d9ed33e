// Makes a request without closing anything; the process must end nevertheless.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const channel = new Channel<{ n: number }>({ name, connection });
send(await channel.request({ n: 1 }, { timeout: 10_000 }));
