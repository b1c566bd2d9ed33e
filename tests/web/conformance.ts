// The conformance suite on memory, for a page or a Worker of a browser. `tests/support/web_bundle.ts` bundles it with
// the modules of `shims/` in place of Node's.

import { jsonFormat } from "../../src/encoding/json_format.ts";
import { addJson } from "../../src/encoding/message.ts";
import { testMemory } from "../support/memory_conformance.ts";
import { type Outcome, outcome } from "./outcome.ts";

/** Tests that cannot pass in a browser, by the start of their names, each with the reason. */
const NOT_HERE: Record<string, string> = {
  "an unreachable broker rejects the select": "needs the scheme amqp:",
  "a handler that returns a channel that cannot be created": "needs the scheme amqp:",
  "the stack of a DataCloneError has the caller's line": "needs the name of the test's file",
  "cancelling the stream of ReadableStream.from": "Chromium has no ReadableStream.from",
  "a hostile reference rejects one get and connects nowhere": "needs a server",
  "a JSON reference to an unknown broker is relative": "needs a server",
};

/** Runs the suite. */
export async function conformance(): Promise<Outcome> {
  addJson(jsonFormat); // the entries with other transports do so
  testMemory();
  return await outcome(NOT_HERE, 16);
}
