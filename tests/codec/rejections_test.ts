import assert from "node:assert/strict";
import { encode } from "../../src/encoding/cbor/mod.ts";
import { rejectionOf } from "./rejection_of.ts";

function detached(): ArrayBuffer {
  const buffer = new ArrayBuffer(8);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

function viewOfDetached(View: new (buffer: ArrayBuffer) => ArrayBufferView): ArrayBufferView {
  const view = new View(new ArrayBuffer(8));
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
}

function outOfBounds(View: new (buffer: ArrayBuffer, offset: number, length: number) => object) {
  const buffer = new ArrayBuffer(8, { maxByteLength: 16 });
  const view = new View(buffer, 4, 4);
  buffer.resize(2);
  return view;
}

/** Values that both structuredClone and the codec reject. A new one is made for each place. */
const REJECTED: [what: string, make: () => unknown][] = [
  ["a function", () => () => 1],
  ["an async function", () => async () => {}],
  ["a class", () => class {}],
  ["a symbol", () => Symbol("s")],
  ["a registered symbol", () => Symbol.for("s")],
  ["a boxed symbol", () => Object(Symbol("s"))],
  ["a WeakMap", () => new WeakMap()],
  ["a WeakSet", () => new WeakSet()],
  ["a WeakRef", () => new WeakRef({})],
  ["a FinalizationRegistry", () => new FinalizationRegistry(() => {})],
  ["a Promise", () => Promise.resolve(1)],
  ["a generator", () => (function* () {})()],
  ["an async generator", () => (async function* () {})()],
  ["an iterator of an array", () => [1].values()],
  ["an iterator of a Map", () => new Map().entries()],
  ["an iterator of a Set", () => new Set().values()],
  ["an iterator of a string", () => "a"[Symbol.iterator]()],
  ["a detached ArrayBuffer", detached],
  ["a view of a detached buffer", () => viewOfDetached(Uint8Array)],
  ["a view of doubles of a detached buffer", () => viewOfDetached(Float64Array)],
  ["a DataView of a detached buffer", () => viewOfDetached(DataView)],
  ["a view that is out of bounds", () => outOfBounds(Uint8Array)],
  ["a DataView that is out of bounds", () => outOfBounds(DataView)],
  ["an Intl object", () => new Intl.NumberFormat("en")],
];

/** Values that structuredClone shares between threads or copies, but that cannot travel between machines. */
const NOT_SENT: [what: string, make: () => unknown][] = [
  ["a SharedArrayBuffer", () => new SharedArrayBuffer(8)],
  ["a view of a SharedArrayBuffer", () => new Uint8Array(new SharedArrayBuffer(8))],
  ["a DataView of a SharedArrayBuffer", () => new DataView(new SharedArrayBuffer(8))],
  ["a Blob", () => new Blob(["a"])],
  ["a File", () => new File(["a"], "name")],
];

/** Values on which the runtimes disagree. The codec rejects them as platform objects. */
const PLATFORM_OBJECTS: [what: string, make: () => unknown][] = [
  ["a URL", () => new URL("http://example.org")],
  ["URLSearchParams", () => new URLSearchParams("a=1")],
  ["Headers", () => new Headers()],
  ["a Response", () => new Response("")],
  ["a ReadableStream", () => new ReadableStream()],
  ["an AbortSignal", () => new AbortController().signal],
  ["an Event", () => new Event("a")],
  ["a TextEncoder", () => new TextEncoder()],
];

/** Places of an invalid value, with the path that an error names. */
const PLACES: [put: (culprit: unknown) => unknown, path: string][] = [
  [(culprit) => ({ job: { callbacks: [1, 2, culprit] } }), "job.callbacks[2]"],
  [(culprit) => [[0, culprit]], "[0][1]"],
  [(culprit) => ({ "a b": culprit }), '["a b"]'],
  [(culprit) => ({ map: new Map([["key", [culprit]]]) }), 'map.get("key")[0]'],
  [(culprit) => ({ map: new Map([[culprit, 1]]) }), "map.keys()"],
  [(culprit) => ({ set: new Set([1, culprit]) }), "set.values()"],
  [(culprit) => [new Error("m", { cause: { deep: culprit } })], "[0].cause.deep"],
  [(culprit) => ({ e: new AggregateError([1, culprit]) }), "e.errors[1]"],
  [(culprit) => Object.assign([1], { name: culprit }), "name"],
  [(culprit) => [, culprit], "[1]"],
];

for (const [what, make] of [...REJECTED, ...NOT_SENT, ...PLATFORM_OBJECTS]) {
  Deno.test(`encode rejects ${what}, alone and in all places, and names the place`, () => {
    assert.match(rejectionOf(make()), /^\S.* cannot be cloned/);
    assert.ok(!rejectionOf(make()).includes(" at "), rejectionOf(make()));
    for (const [put, path] of PLACES) {
      const message = rejectionOf(put(make()));
      assert.ok(message.includes(` at ${path} cannot be cloned`), message);
    }
  });
}

for (const [what, make] of REJECTED) {
  Deno.test(`structuredClone rejects ${what}, too`, () => {
    assert.throws(() => structuredClone(make()), { name: "DataCloneError" });
  });
}

Deno.test("a Blob and a File are rejected with the advice to send their bytes", () => {
  assert.match(rejectionOf({ blob: new Blob(["a"]) }), /at blob .*: send its bytes$/);
  assert.match(rejectionOf({ file: new File(["a"], "n") }), /at file .*: send its bytes$/);
});

Deno.test("a Proxy cannot be distinguished from its target, so unlike structuredClone encode accepts it", () => {
  const proxy = new Proxy({ a: [1] }, {});
  assert.throws(() => structuredClone(proxy), { name: "DataCloneError" });
  assert.deepEqual(encode(proxy), encode({ a: [1] }));
});

Deno.test("an error thrown by a getter, a proxy's trap or an Error's name is passed on unchanged", () => {
  const own = new RangeError("my own");
  const thrower = () => {
    throw own;
  };
  const values: unknown[] = [
    Object.defineProperty({}, "a", { enumerable: true, get: thrower }),
    new Proxy({}, { ownKeys: thrower }),
    Object.defineProperty(new Error("m"), "name", { get: thrower }),
    [Object.defineProperty([1], "0", { get: thrower })],
  ];
  for (const value of values) {
    assert.throws(() => encode({ deep: [value] }), (error) => error === own);
    assert.deepEqual([...encode([1])], [0x81, 1]);
  }
});

Deno.test("after each rejection the next value is encoded correctly", () => {
  const shared = { a: 1 };
  const value = [shared, shared, new Uint8Array(2)];
  const bytes = encode(value).slice();
  for (const [, make] of REJECTED) {
    rejectionOf([shared, new Uint8Array(8), make()]);
    assert.deepEqual(encode(value).slice(), bytes);
  }
});

Deno.test("a path is found in a cyclic value, and if the invalid value's parent is shared", () => {
  const value: Record<string, unknown> = { list: [] };
  value.self = value;
  value.shared = value.list;
  (value.list as unknown[]).push(value, Symbol("s"));
  assert.equal(rejectionOf(value), "a symbol at list[1] cannot be cloned");
});
