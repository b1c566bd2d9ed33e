// Dies in the moment in which it receives a value, as of work that takes the process with it.
import { Channel } from "../../mod.ts";
import process from "node:process";

const [connection, name, maxAttempts] = process.argv.slice(2) as [string, string, string];
const channel = new Channel({ name, connection, maxAttempts: Number(maxAttempts) });
await channel.receive({ timeout: 1000 }).then(() => process.kill(process.pid, "SIGKILL"), () => {});
