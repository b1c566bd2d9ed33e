// permitted.ts [URI [OPTIONS [NAME]]]: puts and gets on a connection, or on that of the configuration, and reports the outcome.
import { Channel, Connection } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [, , uri, options, name = "permitted"] = process.argv;
const connection = options === undefined ? uri : new Connection(uri!, JSON.parse(options));
const how = { name, ...connection === undefined ? {} : { connection } };
try {
  const channel = new Channel<string>(how);
  const put = new Channel<string>(how).put("a value");
  const [got] = await Promise.all([channel.get(), put]);
  send({ got });
  await channel.delete();
} catch (error) {
  send({ error: (error as Error).name, message: (error as Error).message });
}
