// A home in a process of its own: home.ts ORDERS. It answers questions until its stdin ends.
import process from "node:process";
import { Control, type Orders, type Question } from "../homes/control.ts";
import { messages, send } from "../support/child_side.ts";

const control = await Control.start(JSON.parse(process.argv[2]!) as Orders);
process.on("SIGTERM", () => control.home.close().then(() => process.exit(0)));
send({ addresses: control.home.addresses });
for await (const message of messages()) {
  const [id, question] = message as [number, Question];
  control.answer(question).then(
    (answer) => send([id, answer]),
    (error) => send([id, undefined, String((error as Error).stack)]),
  );
}
