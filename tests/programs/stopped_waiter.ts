// Waits for three events and reports each: a get until the channel is drained, a put into a full channel, and the
// deletion of a channel.
import { Channel, ChannelClosedError } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, drained, full, deleted] = process.argv.slice(2) as string[] as [
  string,
  string,
  string,
  string,
];
const [a, b, c] = [drained, full, deleted].map((name) => new Channel<number>({ name, connection }));
await a!.depth();
await c!.depth();
const ends = (reason: string, event: string) => (error: unknown) => {
  if (!(error instanceof ChannelClosedError) || error.reason !== reason) throw error;
  send(event);
};
a!.get().catch(ends("drain", "drained"));
b!.put(1).then(() => send("put"));
c!.get().catch(ends("delete", "deleted"));
send("waits");
