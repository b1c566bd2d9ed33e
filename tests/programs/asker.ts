// Makes a request and does not close: it must end all the same.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const channel = new Channel<{ n: number }>({ name, connection });
send(await channel.request({ n: 1 }, { timeout: 10_000 }));
