// Gets numbers until the channel is closed for everyone, by "get" or "receive". If possible, it reports each number
// before accepting it, so that an unreported number is not lost if this process is killed.
import { Channel, ChannelClosedError } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name, how, options] = process.argv.slice(2) as [
  string,
  string,
  "get" | "receive",
  string,
];
const channel = new Channel<number>({
  ...JSON.parse(options),
  name,
  connection,
  retryTimeout: 60_000,
});

/** Resolves when the message has been written. */
function report(got: number, isRedelivered?: boolean): Promise<void> {
  const line = JSON.stringify({ got, isRedelivered }) + "\n";
  return new Promise((resolve) => process.stdout.write(line, () => resolve()));
}

async function take(): Promise<void> {
  if (how === "get") return await report(await channel.get());
  const delivery = await channel.receive();
  report(delivery.value, delivery.redelivered).then(() => delivery.accept());
}

await channel.depth(); // attached, so that it is notified of closeAll
send("ready");
try {
  for (;;) await take();
} catch (error) {
  if (!(error instanceof ChannelClosedError) || error.reason !== "closeAll") throw error;
}
