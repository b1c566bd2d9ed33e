/** Random CBOR items and JSON texts: mostly well-formed, with arbitrary meaning. */

import fc from "fast-check";
import { concat, head, text } from "../codec/hex.ts";

/** Tags that the codec knows, and some that it does not. */
const tags = [0, 1, 2, 3, 21, 27, 28, 29, 64, 70, 77, 258, 259, 273, 21_066, 55_799, 99_999];

/** The types of generic objects (tag 27). */
const types = ["Channel", "Array", "ArrayBuffer", "Date", "Error", "DOMException", "DataView", ""];

const leaves: fc.Arbitrary<string> = fc.oneof(
  fc.nat().map((number) => head(0, number)),
  fc.nat().map((number) => head(1, number)),
  fc.constantFrom(
    "1bffffffffffffffff",
    "3bffffffffffffffff",
    "f90000",
    "f97e00",
    "fb7fefffffffffffff",
  ),
  fc.constantFrom("f4", "f5", "f6", "f7", "c24101", "c34101", "c240", "c249010000000000000000"),
  fc.constantFrom(
    "d81d00",
    "d81d01",
    "d81d1903e8",
    "40",
    "60",
    "80",
    "a0",
    "ff",
    "fc",
    "1c",
    "5f",
    "",
  ),
  fc.string({ unit: "binary", maxLength: 20 }).map((string) => text(string)),
  fc.constantFrom(
    "__proto__",
    "then",
    "toJSON",
    "constructor",
    "Channel",
    "memory:",
    "json",
    "send",
  )
    .map(text),
  fc.uint8Array({ maxLength: 12 }).map((bytes) => hexOf(head(2, bytes.length), bytes)),
);

function hexOf(...parts: (string | Uint8Array)[]): string {
  return [...concat(...parts)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Items of an unexpected type, and items that `JSON.stringify` rejects: bigints, cycles, depth. */
const wrong: fc.Arbitrary<string> = fc.constantFrom(
  ...[
    "c24101",
    "1bffffffffffffffff",
    "d81c81d81d00",
    "d81ca16161d81d00",
    "f6",
    "f97e00",
    "80",
    "a0",
  ],
  ...[
    "40",
    "d9010280",
    "d90103a0",
    "c100",
    "d84a40",
    "81c24101",
    "a16161c24101",
    "d81b8266426967496e740f",
  ],
  ...[`${"81".repeat(990)}00`, `${"d9d9f7".repeat(900)}00`, "a166746f4a534f4ec24101"],
);

/** Any item, as hexadecimal digits. */
export const items: fc.Arbitrary<string> = fc.letrec<{ item: string }>((tie) => ({
  item: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaves,
    fc.array(tie("item"), { maxLength: 4 }).map((all) => head(4, all.length) + all.join("")),
    fc.array(fc.tuple(tie("item"), tie("item")), { maxLength: 3 })
      .map((all) => head(5, all.length) + all.flat().join("")),
    fc.tuple(fc.constantFrom(...tags), tie("item")).map(([tag, item]) => head(6, tag) + item),
    fc.tuple(fc.constantFrom(...types), fc.array(tie("item"), { maxLength: 5 }))
      .map(([type, args]) => `d81b${head(4, 1 + args.length)}${text(type)}${args.join("")}`),
    // A cycle: the shared item contains itself.
    tie("item").map((item) => `d81c82${item}d81d00`),
  ),
})).item;

/** A map of these members, without the undefined ones. */
function map(members: Record<string, string | undefined>): string {
  const entries = Object.entries(members).filter(([, item]) => item !== undefined);
  return head(5, entries.length) + entries.map(([key, item]) => text(key) + item).join("");
}

/** References to channels with a random item in any part. The names are of these channels or of none. */
function references(names: readonly string[]): fc.Arbitrary<string> {
  const missing = "0123456789abcdef0123456789abcdef";
  // No other valid name: a reference to it would create a channel.
  const name = mostly([...names, missing], fc.oneof(wrong, fc.constantFrom("", "amq.x").map(text)));
  const address = mostly(
    ["memory:", "sqlite:/nowhere", "amqp://u:hunter2@[::1"],
    fc.oneof(wrong, items),
  );
  const encoding = mostly(["cbor", "json"], fc.oneof(wrong, items));
  const direction = mostly(["send", "receive"], fc.oneof(wrong, items));
  return fc.tuple(name, address, encoding, direction, items).chain((parts) =>
    fc.nat({ max: parts.length }).map((count) =>
      `d81b${head(4, 1 + count)}${text("Channel")}${parts.slice(0, count).join("")}`
    )
  );
}

/** One of these texts with a probability of 2/3, else another item. */
function mostly(texts: readonly string[], other: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...texts).map(text) }, other);
}

/** Messages in CBOR: values, references, requests, replies, with random items in every place. */
export function cborMessages(names: readonly string[]): fc.Arbitrary<Uint8Array> {
  const anything = fc.oneof(items, wrong, references(names));
  const maybe = fc.option(anything, { nil: undefined });
  const failure = fc.record({ name: maybe, message: maybe, original: maybe }).map(map);
  return fc.oneof(
    items,
    references(names),
    anything.map((item) => map({ deep: `81${item}` })),
    fc.record({ id: maybe, value: maybe, reply_to: references(names) }).map(map),
    fc.record({ id: maybe, value: maybe, reply_to: maybe, error: maybe }).map(map),
    fc.record({ id: maybe, error: failure }).map(map),
    fc.record({ id: maybe, begun: maybe, cancel: maybe, gone: maybe }).map(map),
  ).map((item) => concat(item));
}

/** The same messages in JSON. */
export function jsonMessages(names: readonly string[]): fc.Arbitrary<Uint8Array> {
  const anything = fc.jsonValue({ maxDepth: 3 });
  const maybe = fc.option(anything, { nil: undefined });
  const name = fc.oneof(
    fc.constantFrom(...names, "", "amq.x", "0123456789abcdef0123456789abcdef"),
    anything.filter((value) => typeof value !== "string"),
  );
  const reference = fc.record({
    __channel__: fc.constant(true),
    name,
    connection_type: fc.oneof(fc.constant("RabbitConnection"), maybe),
    retry_timeout: maybe,
    connection_args: fc.oneof(
      fc.record({ uri: fc.oneof(fc.constantFrom("memory:", "amqp://u:hunter2@[::1"), maybe) }),
      maybe,
    ),
  });
  return fc.oneof(
    anything,
    reference,
    fc.record({ deep: fc.array(reference, { maxLength: 2 }) }),
    fc.record({ id: maybe, value: maybe, reply_to: fc.oneof(reference, maybe) }),
    fc.record({ id: maybe, value: maybe, error: maybe }),
    fc.record({ __error__: fc.oneof(fc.record({ name: maybe, message: maybe }), maybe) }),
    fc.record({ id: maybe, begun: maybe, cancel: maybe, gone: maybe.filter((gone) => !gone) }),
  ).map((value) => new TextEncoder().encode(JSON.stringify(value)));
}

/** Bodies in one of the encodings, and bytes in none of them. */
export function bodies(
  names: readonly string[],
): fc.Arbitrary<{ readonly body: Uint8Array; readonly contentType: string }> {
  const [cbor, json] = ["application/cbor", "application/json"];
  return fc.oneof(
    { weight: 5, arbitrary: cborMessages(names).map((body) => ({ body, contentType: cbor })) },
    { weight: 3, arbitrary: jsonMessages(names).map((body) => ({ body, contentType: json })) },
    fc.record({
      body: fc.oneof(fc.uint8Array({ maxLength: 40 }), cborMessages(names), jsonMessages(names)),
      contentType: fc.constantFrom(cbor, json, "", "text/plain", `${json}; charset="`, "x;\ty="),
    }),
  );
}
