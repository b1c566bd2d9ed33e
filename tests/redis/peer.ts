// A process that does as it is told: each line is an action, a channel, and a number. Argument: the URI.
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { Channel, Connection, type Delivery } from "../../mod.ts";
import { messages, send } from "../support/child_side.ts";

let loss = "no loss";
const connection = new Connection(process.argv[2]!, {
  ondisconnect: (reason) => loss = String(reason),
});
const channels = new Map<string, Channel<number>>();
const deliveries = new Map<string, Delivery<number>>();

function channel(name: string): Channel<number> {
  const known = channels.get(name);
  if (known !== undefined) return known;
  const made = new Channel<number>({ name, connection, retryTimeout: 60_000 });
  channels.set(name, made);
  return made;
}

async function perform(action: string, name: string, n: number): Promise<unknown> {
  switch (action) {
    case "put":
      return await channel(name).put(n);
    case "receive": {
      const delivery = await channel(name).receive();
      deliveries.set(name, delivery);
      return [delivery.value, delivery.attempts];
    }
    case "accept":
      deliveries.get(name)!.accept();
      return await channel(name).depth();
    case "depth":
      return await channel(name).depth();
    case "compute": // for so many ms, three times; the event loop turns in between
      for (let i = 0; i < 3; i++) {
        const end = performance.now() + n;
        while (performance.now() < end);
        await pause(100);
      }
      return loss;
  }
}

send("ready");
for await (const task of messages()) {
  const [action, name, n] = task as [string, string, number];
  perform(action, name, n).then(
    (result) => send({ action, name, result }),
    (error) => send({ action, name, error: String(error) }),
  );
}
