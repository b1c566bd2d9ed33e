/**
 * The home of `homes.ts`: homes_server.ts ADDRESS CONNECTION PROTECTION serves a connection, and sends its address. The
 * protection is `keys` or `none`.
 */
import process from "node:process";
import { generateKeys, listen } from "../home.ts";
import { messages, send } from "../tests/support/child_side.ts";

const [address, connection, protection] = process.argv.slice(2) as [string, string, string];
const home = await listen(address, {
  connection,
  ...protection === "keys" && { keys: generateKeys() },
});
send(home.address);
for await (const _ of messages()); // until the parent process ends
