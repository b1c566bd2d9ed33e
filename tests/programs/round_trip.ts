import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

/** Puts a value and gets it on the connection of its argument. */
const connection = process.argv[2]!;
try {
  await using ch = new Channel<string>({ connection, retryTimeout: 1000 });
  await ch.put("a value over TLS");
  send({ got: await ch.get() });
} catch (error) {
  send({ error: String(error) });
}
