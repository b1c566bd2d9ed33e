// Puts and gets on request, with a clock that differs from the machine's and that it sets on request.
import { Channel, ChannelTimeoutError } from "../../mod.ts";
import process from "node:process";
import { messages, send } from "../support/child_side.ts";

const [connection, name, ahead] = process.argv.slice(2) as [string, string, string];
const { now } = Date;
const set = (ms: number) => Date.now = () => now() + ms;
set(Number(ahead));
const channel = new Channel<unknown>({ name, connection });
await channel.depth();
send("ready");
for await (const message of messages()) {
  const [act, what, options] = message as [string, unknown, object];
  if (act === "set") set(what as number);
  else if (act === "put") await channel.put(what, options);
  else if (act === "get") {
    send(
      await channel.get({ timeout: what as number }).catch((error) => {
        if (!(error instanceof ChannelTimeoutError)) throw error;
        return "nothing";
      }),
    );
    continue;
  }
  send("done");
}
