/** The receiving end of `zmtp.ts`: zmtp_receiver.ts PUBLIC SECRET listens without keys and with them. */
import process from "node:process";
import { listenZmq } from "../src/home/zmq_server.ts";
import type { Acceptor } from "../src/home/acceptor.ts";
import { messages, send } from "../tests/support/child_side.ts";

const [publicKey, secretKey] = process.argv.slice(2) as [string, string];
const acceptor: Acceptor = {
  arrived: () => ({ maxFrame: 1 << 20, gone() {} }),
  accept(_, open) {
    const pipe = open({
      received: (frame) => frame.length === 3 && pipe.send("DONE"),
      drained() {},
      closed() {},
    });
  },
};
const open = await listenZmq("zmq://127.0.0.1:0", {}, acceptor);
const closed = await listenZmq("zmq://127.0.0.1:0", { keys: { publicKey, secretKey } }, acceptor);
send([open.address, closed.address]);
for await (const _ of messages()); // until the parent process ends
process.exit();
