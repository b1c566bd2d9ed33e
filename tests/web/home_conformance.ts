// The conformance suite on a home, for a page or a Worker of a browser. The home and its engine are in the process of the
// test, which answers questions at `/ask`.

import { Connection } from "../../mod.ts";
import { testTransport } from "../conformance.ts";
import { allStats, type Raw, type Share } from "../conformance/fixture.ts";
import { type Outcome, outcome } from "./outcome.ts";

/** Tests that cannot pass in a browser, by the start of their names, each with the reason. */
const NOT_HERE: Record<string, string> = {
  "an unreachable broker rejects the select": "needs the scheme amqp:",
  "a handler that returns a channel that cannot be created": "needs the scheme amqp:",
  "the stack of a DataCloneError has the caller's line": "needs the name of the test's file",
  "cancelling the stream of ReadableStream.from": "Chromium has no ReadableStream.from",
  // The suites on other runtimes have them. Here, many tests share one thread of a browser.
  "10,000 small values arrive": "measures the speed of the machine",
  "connections that get a burst at full speed": "measures the speed of the machine",
  "getters of three connections that time out repeatedly": "measures the speed of the machine",
  "1,000 values whose gets are aborted around their arrival": "measures the speed of the machine",
  "puts called before a drain, and not awaited": "measures the speed of the machine",
};

async function ask(question: Readonly<Record<string, unknown>>): Promise<unknown> {
  const response = await fetch("/ask", { method: "POST", body: JSON.stringify(question) });
  if (!response.ok) throw new Error(await response.text());
  return ((await response.json()) as { readonly answer?: unknown }).answer;
}

function rawAt(name: string): Raw {
  return {
    async put({ body, contentType }) {
      await ask({ ask: "put", name, body: toBase64(body), contentType });
    },
    async get() {
      const message = await ask({ ask: "get", name }) as
        | { readonly body: string; readonly contentType: string }
        | undefined;
      return message && { ...message, body: fromBase64(message.body) };
    },
    async announce(event) {
      await ask({ ask: "announce", name, body: toBase64(event) });
    },
    async [Symbol.asyncDispose]() {},
  };
}

function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** Runs the suite. */
export function conformance(): Promise<Outcome> {
  return run();
}

/** Runs every second test of the suite, from the first. */
export function oneHalf(): Promise<Outcome> {
  return run({ part: 0, of: 2 });
}

/** Runs the tests that {@linkcode oneHalf} leaves out. */
export function otherHalf(): Promise<Outcome> {
  return run({ part: 1, of: 2 });
}

async function run(share?: Share): Promise<Outcome> {
  const uri = `ws://${location.host}/channels`;
  const connections = Array.from({ length: 6 }, () => {
    return Object.assign(new Connection(uri), { toString: () => uri });
  });
  testTransport("ws", {
    features: { shared: true, terms: ["delay", "expires", "priority"], rendezvous: true },
    tells: allStats,
    connection: (n) => connections[n]!,
    elsewhere: () => `${uri}?elsewhere`,
    raw: (name) => Promise.resolve(rawAt(name)),
    exists: async (name) => await ask({ ask: "exists", name }) as boolean,
    async waiting(name) {
      const { waiting } = await ask({ ask: "census" }) as {
        readonly waiting: Readonly<Record<string, number>>;
      };
      return waiting[name] ?? 0;
    },
  });
  return await outcome(NOT_HERE, 6, share);
}
