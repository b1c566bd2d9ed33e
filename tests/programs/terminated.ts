import { Channel } from "../../mod.ts";
import process from "node:process";
import { send } from "../support/child_side.ts";

/** Puts and gets until SIGTERM, and then closes its channels as a service would. */
const connection = process.argv[2]!;
const out = new Channel<number>({ name: "terminated out", connection, retryTimeout: 60_000 });
const into = new Channel<number>({ name: "terminated in", connection, retryTimeout: 60_000 });

process.once("SIGTERM", async () => {
  const start = performance.now();
  await Promise.all([out.close(), into.close()]);
  send({ closed: performance.now() - start });
});

into.get().catch((error: Error) => send({ get: error.name }));
for (let n = 0; !out.closed; n++) {
  await out.put(n).then(
    () => n === 0 && send("putting"),
    (error: Error) => send({ put: error.name }),
  );
}
