// Receives numbers until it is killed or all is closed; tells of each before it accepts it.
import { Channel, ChannelClosedError } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name] = process.argv.slice(2) as [string, string];
const channel = new Channel<number>({ name, connection });
try {
  for (;;) {
    const delivery = await channel.receive();
    send([delivery.value, delivery.redelivered]);
    delivery.accept();
  }
} catch (error) {
  if (!(error instanceof ChannelClosedError)) throw error;
}
