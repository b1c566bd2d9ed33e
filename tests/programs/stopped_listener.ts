// Listens to one channel's broadcasts, and reports how gets from two others end: stopped_listener.ts URI NOISE DRAINED
// DELETED.
import { Channel, ChannelClosedError } from "../../mod.ts";
import process from "node:process";
import { messages, send } from "../support/child_side.ts";

const [connection, noise, drained, deleted] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
];
const broadcasts = new Channel<unknown>({ name: noise, connection }).broadcasts();
await broadcasts.ready;
const channels = [drained, deleted].map((name) => new Channel<unknown>({ name, connection }));
await Promise.all(channels.map((ch) => ch.depth()));
for (const ch of channels) {
  ch.get().then(
    () => send("a value"),
    (error) => send(error instanceof ChannelClosedError ? error.reason : String(error)),
  );
}
send("listens");
(async () => {
  for await (const value of broadcasts) if (value === "last") send("last");
})();
for await (const _ of messages());
