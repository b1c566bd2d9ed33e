import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

/** Attaches a handle and leaves it idle. The process ends as soon as nothing keeps it alive, after `ms` at least. */
const [connection, ms] = process.argv.slice(2) as [string, string];
const ch = new Channel({ name: "idle", connection });
await ch.depth();
send("attached");
setTimeout(() => send("nothing to do"), Number(ms));
