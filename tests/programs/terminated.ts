import { Channel } from "../../mod.ts";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { send } from "../support/child_side.ts";

/** Puts and gets until SIGTERM when its server has been killed, and then closes its channels as a service would. */
const connection = process.argv[2]!;
const out = new Channel<number>({ name: "terminated out", connection, retryTimeout: 60_000 });
const into = new Channel<number>({ name: "terminated in", connection, retryTimeout: 60_000 });

/** The number of the put that is under way. */
let current = 0;

/** Resolves when a put has no answer: the server has been killed, but an answer may have been on its way. */
async function untilUnanswered(): Promise<void> {
  for (let last = -1; last !== current;) {
    last = current;
    await pause(200);
    await pause(10); // timers come before what has arrived while the process was stopped
  }
}

process.once("SIGTERM", async () => {
  await untilUnanswered();
  const start = performance.now();
  await Promise.all([out.close(), into.close()]);
  send({ closed: performance.now() - start });
});

into.get().catch((error: Error) => send({ get: error.name }));
for (; !out.closed; current++) {
  await out.put(current).then(
    () => current === 0 && send("putting"),
    (error: Error) => send({ put: error.name }),
  );
}
