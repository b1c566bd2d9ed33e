// Uses channels while no module of the runtime can be loaded, as in a browser, and reports the outcome.
import { registerHooks } from "node:module";
import process from "node:process";
import { Channel } from "../../mod.ts";
import { send } from "../support/child_side.ts";

registerHooks({
  resolve(specifier, context, next) {
    if (specifier.startsWith("node:")) {
      throw new TypeError(`Failed to fetch dynamically imported module: ${specifier}`);
    }
    return next(specifier, context);
  },
});
delete (globalThis as { process?: unknown }).process;
const reported: string[] = [];
for (const connection of ["amqp://localhost", "amqps://localhost", "sqlite:./x.db", "memory:"]) {
  try {
    const ch = new Channel({ connection });
    await ch.put(1);
    reported.push(`${await ch.get()}`);
  } catch (error) {
    reported.push(String(error));
  }
}
globalThis.process = process;
send(reported);
