// Puts to brokers that it is not permitted to reach, and reports the outcome.
import { Channel } from "../../mod.ts";
import { send } from "../support/child_side.ts";

for (const host of ["localhost", "127.0.0.1"]) {
  const ch = new Channel({ name: "x", connection: `amqp://${host}`, retryTimeout: 0 });
  await ch.put(1).catch((error) => send(String(error)));
  await ch.close();
}
