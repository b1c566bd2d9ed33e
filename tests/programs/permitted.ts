// Puts and gets on the connection of its argument, or of the configuration, and reports the outcome.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [, , connection] = process.argv;
const options = { name: "permitted", ...connection === undefined ? {} : { connection } };
try {
  const channel = new Channel<string>(options);
  const put = new Channel<string>(options).put("a value");
  const [got] = await Promise.all([channel.get(), put]);
  send({ got });
  await channel.delete();
} catch (error) {
  send({ error: (error as Error).name, message: (error as Error).message });
}
