// Receives one value, and ends in the given way while it holds the value. On request it first computes for some time.
import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

const [connection, name, way, ms] = process.argv.slice(2) as [string, string, string, string?];
const channel = new Channel<number>({ name, connection });
const delivery = await channel.receive();
send([delivery.value, delivery.attempts]);
const end = performance.now() + Number(ms ?? 0);
while (performance.now() < end);
if (way === "exit") process.exit(0);
if (way === "throw") throw new Error("on purpose");
if (way === "kill") process.kill(process.pid, "SIGKILL");
if (way === "accept") {
  delivery.accept();
  send("accepted");
}
