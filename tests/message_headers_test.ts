// Headers of messages are bounded, wherever they come from.

import assert from "node:assert/strict";
import { boundedHeaders, headersOfText } from "../src/transports/message_headers.ts";

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
  assert.deepEqual(headersOfText('{"a":"b"}'), { a: "b" });
  const text = JSON.stringify({ a: '"'.repeat(2047) }); // each character takes two
  assert.deepEqual(Object.keys(headersOfText(text)!), ["a"]);
  for (const wrong of [null, "", "{", "[]", "null", "1", `{"a":"${"b".repeat(1e6)}"}`]) {
    assert.equal(headersOfText(wrong), undefined);
  }
});
