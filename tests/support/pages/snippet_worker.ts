// Runs the programs of snippets in an isolate of its own: its memory: channels are not those of other snippets, and a
// rejection that nobody handles is its own. A message names a module, a function of it to call, and the channels to
// delete afterwards.

import { Channel } from "../../../mod.ts";
import { claims } from "./claims.ts";

/** What to run. */
export interface Task {
  readonly url: string;
  readonly function?: string;
  readonly names: readonly string[];
  /** The connection of the named channels; absent for the configured one. */
  readonly connection?: string;
}

/** How it ended: with the number of claims that held so far, or an error. */
export interface Outcome {
  readonly claims: number;
  readonly error?: string;
}

// The output of a program is of no interest.
// deno-lint-ignore no-console
for (const method of ["log", "info", "warn", "error", "table"] as const) console[method] = () => {};

/** Rejects with the next rejection that nobody handles. */
const unhandled = () =>
  new Promise<never>((_, reject) => {
    globalThis.addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      reject(event.reason);
    }, { once: true });
  });

async function run({ url, function: name, names, connection }: Task): Promise<Outcome> {
  const program = async () => {
    const module = await import(url);
    if (name !== undefined) await module[name]();
    for (const each of names) {
      const channel = new Channel({ name: each, ...connection !== undefined && { connection } });
      await channel.delete();
      await channel.close();
    }
    await new Promise((resolve) => setTimeout(resolve)); // a rejection may be reported now
  };
  try {
    await Promise.race([program(), unhandled()]);
    return { claims: claims() };
  } catch (error) {
    const text = error instanceof Error ? error.stack ?? String(error) : String(error);
    return { claims: claims(), error: text };
  }
}

const scope = globalThis as unknown as Worker;
scope.onmessage = async ({ data }) => scope.postMessage(await run(data as Task));
