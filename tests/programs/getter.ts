// Waits for one value.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
send(await new Channel({ name, connection }).get());
