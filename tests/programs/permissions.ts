// Reports what Deno does not permit.
import { fileURLToPath } from "node:url";
import { send } from "../support/child_side.ts";

const refused: string[] = [];
const tries: Record<string, () => unknown> = {
  read: () => Deno.readTextFileSync(fileURLToPath(import.meta.url)),
  env: () => Deno.env.get("HOME"),
  run: () => new Deno.Command("true").outputSync(),
  sys: () => Deno.hostname(),
  net: async () => (await Deno.connect({ hostname: "127.0.0.1", port: 1 })).close(),
};
for (const [name, act] of Object.entries(tries)) {
  try {
    await act();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) refused.push(name);
    else throw error;
  }
}
send({ refused });
