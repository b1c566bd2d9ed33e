// Puts an answer into each channel that it gets.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
let answered = 0;
const rejected: string[] = [];
for await (const reply of new Channel<Channel<number>>({ name, connection })) {
  await reply.put(42).then(() => answered++, (error) => rejected.push(String(error)));
}
send({
  answered,
  rejected: [...new Set(rejected.map((message) => message.replace(/[0-9a-f]{32}/, "…")))],
});
