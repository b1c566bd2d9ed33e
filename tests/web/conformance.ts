// The conformance suite on memory, for a page or a Worker of a browser. `tests/support/web_bundle.ts` bundles it with
// the modules of `shims/` in place of Node's.

import { jsonFormat } from "../../src/encoding/json_format.ts";
import { addJson } from "../../src/encoding/message.ts";
import { testMemory } from "../support/memory_conformance.ts";

interface Definition {
  readonly name: string;
  readonly ignore: boolean;
  fn(): void | Promise<void>;
}

/** The results of a run. */
export interface Outcome {
  readonly passed: number;
  /** The tests that failed, each with its error. */
  readonly failed: readonly string[];
  readonly skipped: number;
  /** Parts of names in {@linkcode NOT_HERE} that no test has. */
  readonly unknown: readonly string[];
}

/** Tests that cannot pass in a browser, by the start of their names, each with the reason. */
const NOT_HERE: Record<string, string> = {
  "an unreachable broker rejects the select": "needs the scheme amqp:",
  "a handler that returns a channel that cannot be created": "needs the scheme amqp:",
  "the stack of a DataCloneError has the caller's line": "needs the name of the test's file",
  "cancelling the stream of ReadableStream.from": "Chromium has no ReadableStream.from",
  "a hostile reference rejects one get and connects nowhere": "needs a server",
  "a JSON reference to an unknown broker is relative": "needs a server",
};

/** Most tests mostly wait, so many run at a time. */
const AT_A_TIME = 16;

const declared: Definition[] = [];

/** Stands for `Deno.test`, which the bundler replaces by it. */
(globalThis as unknown as { declareTest(test: Definition): void }).declareTest = (test) => {
  declared.push(test);
};

/** Runs the suite. */
export async function conformance(): Promise<Outcome> {
  addJson(jsonFormat); // the entries with other transports do so
  testMemory();
  const unknown = new Set(Object.keys(NOT_HERE));
  const queue = declared.filter(({ name, ignore }) => {
    const part = Object.keys(NOT_HERE).find((part) => name.startsWith(`memory: ${part}`));
    if (part !== undefined) unknown.delete(part);
    return !ignore && part === undefined;
  });
  const skipped = declared.length - queue.length;
  let passed = 0;
  const failed: string[] = [];
  const runTests = async () => {
    for (let next; (next = queue.shift()) !== undefined;) {
      try {
        await next.fn();
        passed++;
      } catch (error) {
        failed.push(`${next.name}: ${(error as Error)?.stack ?? error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, runTests));
  return { passed, failed, skipped, unknown: [...unknown] };
}
