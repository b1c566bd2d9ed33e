// Puts and gets on the connection of its argument, and reports the outcome.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const connection = process.argv[2]!;
try {
  const channel = new Channel<string>({ name: "permitted", connection });
  const put = new Channel<string>({ name: "permitted", connection }).put("a value");
  const [got] = await Promise.all([channel.get(), put]);
  send({ got });
  await channel.delete();
} catch (error) {
  send({ error: (error as Error).name, message: (error as Error).message });
}
