// Puts and gets, on request, over a connection whose hooks and logger throw.
import { Channel, Connection } from "../../mod.ts";
import process from "node:process";
import { messages, send } from "../support/child_side.ts";

const [uri, name] = process.argv.slice(2) as [string, string];
const thrown: string[] = [];
process.on("uncaughtException", (error) => thrown.push(error.message));

function fail(what: string): () => never {
  return () => {
    throw new Error(what);
  };
}

const connection = new Connection(uri, {
  ondisconnect: fail("ondisconnect"),
  onreconnect: fail("onreconnect"),
  logger: { debug: fail("debug"), info: fail("info"), warn: fail("warn") },
});
const channel = new Channel<unknown>({ name, connection });
for await (const message of messages()) {
  await channel.put(message);
  send({ got: await channel.get(), thrown });
}
