// Serves requests; the value "die" ends the process. Ends when the channel is closed or its input ends.
import { Channel, serve } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name, maxAttempts] = process.argv.slice(2) as [string, string, string?];
const counting = maxAttempts === undefined ? {} : { maxAttempts: Number(maxAttempts) };
const channel = new Channel<{ n: number; die?: number[] }>({ name, connection, ...counting });
await channel.depth();
send("ready");
await serve(channel, async ({ n, die }, { signal }) => {
  if (die === undefined) return { n: n + 1, by: process.pid };
  send({ began: n });
  if (die.length > 0) process.kill(process.pid, "SIGKILL");
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  send({ aborted: n });
});
// Nothing keeps the process alive now.
