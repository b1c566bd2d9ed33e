// Dies on receiving a value, as if processing it crashed the process.
import { Channel } from "../../mod.ts";
import process from "node:process";

const [connection, name, maxAttempts] = process.argv.slice(2) as [string, string, string];
const channel = new Channel({ name, connection, maxAttempts: Number(maxAttempts) });
await channel.receive({ timeout: 1000 }).then(() => process.kill(process.pid, "SIGKILL"), () => {});
