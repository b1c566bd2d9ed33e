// Puts each value that it gets from one channel into another, until the first one is closed for everyone.
import { Channel } from "../../mod.ts";
import process from "node:process";

const [connection, from, to] = process.argv.slice(2) as [string, string, string];
const back = new Channel<unknown>({ name: to, connection, capacity: 1 });
for await (const value of new Channel({ name: from, connection, capacity: 0 })) {
  await back.put(value);
}
