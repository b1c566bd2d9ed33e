// Puts to servers that it is not permitted to reach, and reports the outcomes.
import { Channel } from "../../mod.ts";
import { send } from "../support/child_side.ts";

for (const scheme of ["amqp", "redis", "zmq", "ws"]) {
  for (const host of ["localhost", "127.0.0.1"]) {
    const ch = new Channel({ name: "x", connection: `${scheme}://${host}:5672` });
    await ch.put(1).catch((error) => send(String(error)));
    await ch.close();
  }
}
