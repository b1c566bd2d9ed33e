/** Puts a value at a home and stays attached, idle or waiting for an answer. */
import process from "node:process";
import { Channel } from "../../mod.ts";
import { send } from "../support/child_side.ts";

const [connection, then] = process.argv.slice(2) as [string, string];
const jobs = new Channel<string>({ name: "jobs", connection });
await jobs.put("job");
send("put");
if (then === "get") send(await new Channel<string>({ name: "answers", connection }).get());
