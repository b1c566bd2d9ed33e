// Headers of messages are bounded, wherever they come from.

import assert from "node:assert/strict";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { Channel, select } from "../mod.ts";
import { Home } from "../src/home/home.ts";
import { setInstrumentation } from "../src/shared/instrumentation.ts";
import { boundedHeaders, headersOfText } from "../src/transports/message_headers.ts";
import type { Loan } from "../src/transports/transport.ts";
import { connectionsRest, until, within } from "./conformance/fixture.ts";
import { withRaw } from "./support/raw.ts";
import { rawPeer } from "./support/raw_peer.ts";
import { sqliteDirectory, withFile } from "./support/sqlite_file.ts";

Deno.test("headers: what is no header is left out, and the others stay in their order", () => {
  const headers = {
    traceparent: "00-1-2-01",
    number: 1,
    list: ["a"],
    nothing: null,
    "Upper": "x",
    "": "x",
    "_private": "x",
    "channelts-reason": "forged",
    "control": "a\nb",
    "umlaut": "ä",
    ["n".repeat(65)]: "x",
    empty: "",
    b3: "0",
  };
  assert.deepEqual(boundedHeaders(headers), { traceparent: "00-1-2-01", empty: "", b3: "0" });
  const polluting = JSON.parse('{"__proto__":"x","constructor":"own","a":"b"}');
  const bounded = boundedHeaders(polluting)!;
  assert.deepEqual(Object.entries(bounded), [["constructor", "own"], ["a", "b"]]);
  assert.equal(Object.getPrototypeOf(bounded), Object.prototype);
  for (const none of [undefined, null, 1, "text", [], ["a"], {}, { a: 1 }]) {
    assert.equal(boundedHeaders(none), undefined);
  }
});

Deno.test("headers: their number and size are limited", () => {
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`h${i}`, "x"]));
  assert.equal(Object.keys(boundedHeaders(many)!).length, 16);
  const large = { huge: "x".repeat(2045), traceparent: "y".repeat(100), rest: "z".repeat(2000) };
  assert.deepEqual(boundedHeaders(large), { traceparent: large.traceparent });
  assert.deepEqual(boundedHeaders({ huge: "x".repeat(2044) }), { huge: "x".repeat(2044) });
});

Deno.test("headers: a text that another program has written is read or ignored", () => {
  assert.deepEqual(headersOfText('{"a":"b"}'), { headers: { a: "b" } });
  const text = JSON.stringify({ a: '"'.repeat(2047) }); // each character takes two
  assert.deepEqual(Object.keys(headersOfText(text).headers!), ["a"]);
  assert.deepEqual(headersOfText('{"channelts-copy":2,"a":"b"}'), { headers: { a: "b" }, copy: 2 });
  for (const copy of ["0", "-1", "1.5", '"1"', "{}", "1e300"]) {
    assert.deepEqual(headersOfText(`{"channelts-copy":${copy}}`), {});
  }
  for (const wrong of [null, "", "{", "[]", "null", "1", `{"a":"${"b".repeat(1e6)}"}`]) {
    assert.deepEqual(headersOfText(wrong), {});
  }
});

const junk: Readonly<Record<string, unknown>> = {
  traceparent: "00-1-2-01",
  Upper: "x",
  count: 7,
  control: "a\nb",
  nested: { a: "b" },
  huge: "x".repeat(5000),
};

/** Puts a message with headers by `put`, and asserts which of them its receiver is given. */
async function assertReceived(
  ch: Channel<number>,
  put: () => Promise<unknown>,
  expected: unknown,
): Promise<void> {
  const found: unknown[] = [];
  setInstrumentation({
    begin() {},
    send: (_, message) => message,
    take: (_, claim) => claim,
    selected: (_owner, _action, loan) => found.push((loan as Loan).message.headers),
    serve: (_, handle) => handle(),
    pass: (_, put) => put(),
  });
  try {
    await put();
    const { value } = await within(select([ch]));
    assert.equal(value, 42);
    assert.deepEqual(found, [expected]);
  } finally {
    setInstrumentation(undefined);
    await ch.delete();
  }
}

Deno.test("headers: a home ignores what is no header in the PUT of a peer", async () => {
  for (const headers of [junk, "text", [1], null, 7]) {
    await using home = new Home({ connection: `memory:${crypto.randomUUID()}` });
    const peer = rawPeer(home);
    peer.send('HELLO {"version":1}');
    peer.send('OPEN 1 2 {"name":"jobs","create":true}');
    const ch = new Channel<number>({ name: "jobs", connection: home });
    await assertReceived(ch, async () => {
      peer.send(`PUT 1 3 ${JSON.stringify({ contentType: "application/json", headers })}`, "42");
      await until(async () => await ch.depth() === 1);
    }, headers === junk ? { traceparent: "00-1-2-01" } : undefined);
    peer.end();
  }
});

Deno.test("headers: what another program has written into the file is ignored unless it is headers", async () => {
  for (const headers of [JSON.stringify(junk), "{", "null", "[]"]) {
    await withFile(sqliteDirectory(), async (channel, path) => {
      const ch = channel as Channel<number>;
      await assertReceived(ch, async () => {
        await ch.put(42);
        const database = new DatabaseSync(path);
        database.prepare("UPDATE messages SET headers = ?").run(headers);
        database.close();
      }, headers.includes("trace") ? { traceparent: "00-1-2-01" } : undefined);
    });
  }
});

Deno.test("headers: those of other AMQP programs are read if they are strings within the limits", async () => {
  const uri = process.env.BROKER!;
  const ch = new Channel<number>({ name: `headers ${crypto.randomUUID()}`, connection: uri });
  const { nested: _, ...headers } = junk;
  await assertReceived(ch, async () => {
    await ch.depth(); // it exists now
    await withRaw(uri, async (raw) => {
      await raw.confirmSelect();
      const others = { "x-death": "forged", "channelts-copy": 1, list: ["a"] };
      await raw.basicPublish("", ch.name, "42", { headers: { ...headers, ...others } as never });
    });
  }, { "x-death": "forged", traceparent: "00-1-2-01" });
  await connectionsRest();
});
