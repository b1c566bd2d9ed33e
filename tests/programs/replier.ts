// Replies to jobs on the channels in them.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

interface Job {
  n: number;
  replyTo: Channel<{ square: number; more: Channel<string> }>;
}
const [connection, name] = process.argv.slice(2) as [string, string];
const more = new Channel<string>({ connection });
for await (const { n, replyTo } of new Channel<Job>({ name, connection })) {
  await replyTo.put({ square: n * n, more });
  send(await more.get());
}
await more.delete();
