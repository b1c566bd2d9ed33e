// Receives one value, reports it, and holds it until it is killed.
import process from "node:process";
import { Channel } from "../../mod.ts";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const channel = new Channel<string>({ name, connection });
const delivery = await channel.receive();
send(delivery.value);
setInterval(() => delivery.value, 1000);
