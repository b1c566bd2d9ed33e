// Imports the entry that the first argument names, and uses a channel of each connection that follows. Reports which
// modules were loaded by the import, and by each channel, on Node.
import { registerHooks } from "node:module";
import process from "node:process";
import { send } from "../support/child_side.ts";

let loaded: string[] = [];
registerHooks({
  load(url, context, next) {
    loaded.push(url.replace(/^.*\/(?=src\/|node_modules\/)/, ""));
    return next(url, context);
  },
});

function report(): void {
  send(loaded);
  loaded = [];
}

const [entry, ...connections] = process.argv.slice(2);
const { Channel }: typeof import("../../mod.ts") = await import(entry!);
report();
for (const connection of connections) {
  const ch = new Channel<number>({ name: "loaded modules", connection });
  await ch.put(1);
  await ch.get();
  await ch.delete();
  report();
}
