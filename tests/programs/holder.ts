// Receives one value and holds it until it is killed; reports the value.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { messages, send } from "../support/child_side.ts";

const [connection, name, maxAttempts] = process.argv.slice(2) as [string, string, string?];
const counting = maxAttempts === undefined ? {} : { maxAttempts: Number(maxAttempts) };
const channel = new Channel({ name, connection, ...counting });
const { value, attempts, redelivered } = await channel.receive();
send({ value, attempts, redelivered });
for await (const _ of messages());
