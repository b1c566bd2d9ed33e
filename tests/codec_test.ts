import assert from "node:assert/strict";
import { bytes, concat, hex } from "./codec/hex.ts";
import { rejectionOf } from "./codec/rejection_of.ts";
import { CodecError, decode, encode, type Extension } from "../src/encoding/cbor/mod.ts";
import { decidedByV8 } from "./support/conditions.ts";
import { cpuTime } from "./support/cpu_time.ts";
import { test } from "./support/test.ts";

function roundTrip(value: unknown): unknown {
  return decode(encode(value));
}

/** Node 22 considers two invalid Dates unequal; this replaces them by a text. */
function replaceInvalidDates(value: unknown): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value;
  if (value instanceof Map) {
    return new Map([...value].map(([k, v]) => [replaceInvalidDates(k), replaceInvalidDates(v)]));
  }
  if (value instanceof Set) return new Set([...value].map(replaceInvalidDates));
  if (Array.isArray(value)) return value.map(replaceInvalidDates);
  if (value === null || typeof value !== "object") return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, replaceInvalidDates(v)]));
}

function assertSame(actual: unknown, expected: unknown): void {
  if (expected instanceof Date) assert.ok(actual instanceof Date, String(actual));
  assert.deepStrictEqual(replaceInvalidDates(actual), replaceInvalidDates(expected));
}

function nested(depth: number): unknown[] {
  let value: unknown[] = [];
  for (let i = 1; i < depth; i++) value = [value];
  return value;
}

/** Asserts that a value is `nested(depth)`: assert.deepEqual of Deno needs five frames of the stack for each level. */
function assertNested(value: unknown, depth: number): void {
  let inner = value;
  for (let level = 1; level < depth; level++) {
    assert.ok(Array.isArray(inner) && inner.length === 1, `level ${level}`);
    inner = inner[0];
  }
  assert.deepEqual(inner, []);
}

function assertCodecError(input: Uint8Array, message: RegExp): void {
  assert.throws(() => decode(input), (error) => {
    assert.ok(error instanceof CodecError, `${hex(input.subarray(0, 20))} gave ${error}`);
    assert.match(error.message, message);
    assert.match(error.message, / at byte \d+$/);
    return true;
  });
}

class Point {
  x = 1;
  y = 2;
  #secret = 3;
  get secret(): number {
    return this.#secret;
  }
}

/** Every row of the wire format's table that the codec supports. */
const VECTORS: [what: string, value: unknown, digits: string][] = [
  ["null", null, "f6"],
  ["undefined", undefined, "f7"],
  ["true", true, "f5"],
  ["false", false, "f4"],
  ["0", 0, "00"],
  ["23", 23, "17"],
  ["24", 24, "1818"],
  ["255", 255, "18ff"],
  ["256", 256, "190100"],
  ["65535", 65535, "19ffff"],
  ["65536", 65536, "1a00010000"],
  ["2^31", 2 ** 31, "1a80000000"],
  ["2^32-1", 2 ** 32 - 1, "1affffffff"],
  ["2^32", 2 ** 32, "1b0000000100000000"],
  ["2^53-1", 2 ** 53 - 1, "1b001fffffffffffff"],
  ["-1", -1, "20"],
  ["-24", -24, "37"],
  ["-25", -25, "3818"],
  ["-2^31", -(2 ** 31), "3a7fffffff"],
  ["-(2^53-1)", 1 - 2 ** 53, "3b001ffffffffffffe"],
  ["-0", -0, "f98000"],
  ["NaN", NaN, "f97e00"],
  ["Infinity", Infinity, "f97c00"],
  ["-Infinity", -Infinity, "f9fc00"],
  ["a single float", 1.5, "fa3fc00000"],
  ["2^53", 2 ** 53, "fa5a000000"],
  ["a double float", 1.1, "fb3ff199999999999a"],
  ["the smallest number", 5e-324, "fb0000000000000001"],
  ["0n", 0n, "c240"],
  ["5n", 5n, "c24105"],
  ["-1n", -1n, "c340"],
  ["-256n", -256n, "c341ff"],
  ["2^64-1 as a BigInt", 2n ** 64n - 1n, "c248ffffffffffffffff"],
  ["2^64 as a BigInt", 2n ** 64n, "c249010000000000000000"],
  ["-2^64-1 as a BigInt", -(2n ** 64n) - 1n, "c349010000000000000000"],
  ["2^68 as a BigInt", 2n ** 68n, "c249100000000000000000"],
  ["an empty string", "", "60"],
  ["an ASCII string", "foo", "63666f6f"],
  ["a string of 24 bytes", "a".repeat(24), "7818" + "61".repeat(24)],
  ["a string of 256 bytes", "a".repeat(256), "790100" + "61".repeat(256)],
  ["a two-byte string", "für", "6466c3bc72"],
  ["a string whose head grows with its bytes", "ü".repeat(12), "7818" + "c3bc".repeat(12)],
  ["a surrogate pair", "😀", "64f09f9880"],
  ["a byte order mark", "\ufeffa", "64efbbbf61"],
  ["a replacement character", "\ufffd", "63efbfbd"],
  ["a lone high surrogate", "a\ud800", "d901114461eda080"],
  ["a lone low surrogate", "\udfffü😀", "d9011149edbfbfc3bcf09f9880"],
  ["an empty array", [], "80"],
  ["an array", [1, [undefined], "a"], "830181f76161"],
  ["an array of 24", new Array(24).fill(0), "9818" + "00".repeat(24)],
  ["an empty object", {}, "a0"],
  ["an object", { a: 1, "": { b: null } }, "a261610160a16162f6"],
  ["an object with a lone surrogate as key", { "\ud800": 1 }, "a1d9011143eda08001"],
  ["a Map", new Map<unknown, unknown>([["a", 1], [{}, []]]), "d90103a2616101a080"],
  ["a Set", new Set([1, "a"]), "d9010282016161"],
  ["the epoch", new Date(0), "c100"],
  ["a Date of whole seconds", new Date(1e12), "c11a3b9aca00"],
  ["a Date of milliseconds", new Date(1500), "c1fa3fc00000"],
  ["a Date before the epoch", new Date(-1), "c1fbbf50624dd2f1a9fc"],
  ["the first of year 1", new Date(-62135596800000), "c13b0000000e7791f6ff"],
  [
    "a Date before year 1",
    new Date(-62135596800001),
    "d81b82" + "6444617465" + "3b00003883122cd800",
  ],
  ["a Date after year 9999", new Date(8.64e15), "d81b82" + "6444617465" + "1b001eb208c2dc0000"],
  ["an invalid Date", new Date(NaN), "d81b82" + "6444617465" + "f97e00"],
  ["an empty Uint8Array", new Uint8Array(0), "40"],
  ["a Uint8Array", Uint8Array.of(1, 2, 255), "430102ff"],
];

for (const [what, value, digits] of VECTORS) {
  Deno.test(`${what} is written as the wire format says and decoded as structuredClone copies it`, () => {
    assert.equal(hex(encode(value)), digits);
    assertSame(decode(bytes(digits)), structuredClone(value));
  });
}

/** Forms that other writers may send: accepted on input only. */
const ACCEPTED: [what: string, digits: string, value: unknown][] = [
  ["an integer in more bytes than needed", "1b0000000000000001", 1],
  ["an unsigned integer over 2^53", "1b0020000000000001", 2n ** 53n + 1n],
  ["the largest unsigned integer", "1bffffffffffffffff", 2n ** 64n - 1n],
  ["the most negative integer", "3bffffffffffffffff", -(2n ** 64n)],
  ["-2^53", "3b001fffffffffffff", -(2 ** 53)],
  ["-2^53-1", "3b0020000000000000", -(2n ** 53n) - 1n],
  ["a BigInt with leading zeros", "c243000001", 1n],
  ["a BigInt in chunks", "c25f41014100ff", 256n],
  ["a half float", "f93e00", 1.5],
  ["the largest half float", "f97bff", 65504],
  ["the smallest half float", "f90001", 2 ** -24],
  ["the smallest normal half float", "f90400", 2 ** -14],
  ["a negative half float", "f9c400", -4],
  ["a single float NaN", "fa7fc00000", NaN],
  ["text in chunks", "7f6166606366c3bcff", "ffü"],
  ["bytes in chunks", "5f420102404103ff", Uint8Array.of(1, 2, 3)],
  ["an array of indefinite length", "9f019fffff", [1, []]],
  ["an object of indefinite length", "bf616101616200ff", { a: 1, b: 0 }],
  ["an object with a key in chunks", "a17f61616162ff01", { ab: 1 }],
  ["a Map of indefinite length", "d90103bf0102ff", new Map([[1, 2]])],
  ["a Set of indefinite length", "d901029f0102ff", new Set([1, 2])],
  ["a generic object of indefinite length", "d81b9f644461746500ff", new Date(0)],
  ["a repeated key, of which the last counts", "a2616101616102", { a: 2 }],
  ["a repeated Map key, of which the last counts", "d90103a2010201ff".replace("ff", "03"), {
    map: [[1, 3]],
  }],
  ["a Uint8Array with its tag", "d840420102", Uint8Array.of(1, 2)],
  [
    "a date as text",
    `c074${hex(new TextEncoder().encode("2013-03-21T20:04:00Z"))}`,
    new Date(1363896240000),
  ],
  ["self-described CBOR", "d9d9f7a0", {}],
];

for (const [what, digits, value] of ACCEPTED) {
  Deno.test(`decode accepts ${what}`, () => {
    const result = decode(bytes(digits));
    if (result instanceof Map && !(value instanceof Map)) {
      assert.deepStrictEqual({ map: [...result] }, value);
    } else {
      assert.deepStrictEqual(result, value);
    }
  });
}

const LONG = "some longer text that goes on, über 32 units 😀";

/** Values that both structuredClone and the codec can carry. Together they use every type. */
const CORPUS: unknown[] = [
  ...VECTORS.map(([, value]) => value),
  { id: 1, name: "foo", tags: ["a", "b"], ok: true },
  { text: LONG, texts: [LONG + LONG, "a".repeat(70_000), "ü".repeat(40_000)] },
  [new Map([[new Date(1), new Set([new Map([["deep", [new Set([1n])]]])])]]), { d: new Date(NaN) }],
  { mixed: [null, undefined, true, -0, 1e300, 2n ** 200n, "\udc00", Uint8Array.of(9)] },
  Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`key ${i * 7919}`, i])),
  Object.fromEntries(Array.from({ length: 300 }, (_, i) => [i, i])),
  Array.from({ length: 1000 }, (_, i) => i % 3 ? i / 7 : -i * 1e6),
  Uint8Array.from({ length: 100_000 }, (_, i) => i),
  [..."aäह😀"].map((unit) => Array.from({ length: 80 }, (_, i) => unit.repeat(i))),
];

Deno.test("every supported type is decoded as structuredClone copies it, nested in every container", () => {
  for (const value of CORPUS) {
    const expected = structuredClone(value);
    assertSame(roundTrip(value), expected);
    assertSame(roundTrip({ a: [value] }), { a: [expected] });
    const map = roundTrip(new Map([["key", value]])) as Map<string, unknown>;
    assertSame(map.get("key"), expected);
    const set = roundTrip(new Set([value])) as Set<unknown>;
    assertSame([...set], [...structuredClone(new Set([value]))]);
  }
});

Deno.test("a class instance is decoded as a plain object of its own enumerable properties", () => {
  const instance = Object.defineProperty(new Point(), "hidden", { value: 1 });
  assert.deepStrictEqual(roundTrip(instance), structuredClone(instance));
  assert.deepStrictEqual(roundTrip(instance), { x: 1, y: 2 });
});

Deno.test("an object without a prototype is decoded as a plain object", () => {
  const value = Object.assign(Object.create(null), { a: 1 });
  assert.deepStrictEqual(roundTrip(value), { a: 1 });
});

Deno.test("symbol keys and inherited properties are not encoded", () => {
  const value = Object.assign(Object.create({ inherited: 1 }), { own: 2, [Symbol("s")]: 3 });
  assert.deepStrictEqual(roundTrip(value), { own: 2 });
});

Deno.test("the arguments object of a function is decoded as a plain object", () => {
  const value = (function (..._: unknown[]) {
    return arguments;
  })(1, "a");
  assert.deepStrictEqual(roundTrip(value), { 0: 1, 1: "a" });
});

Deno.test("subclasses of Map, Set, Date, Array and Uint8Array are decoded as their base classes", () => {
  const values = [
    new (class extends Map<number, number> {
      override forEach(): void {}
    })([[1, 2]]),
    new (class extends Set {})([1]),
    new (class extends Date {
      override getTime(): number {
        return 7;
      }
    })(5),
    (class extends Array {}).of(1, 2, 3),
    new (class extends Uint8Array {
      override get length(): number {
        return 1000;
      }
    })([1, 2]),
  ];
  const expected = [new Map([[1, 2]]), new Set([1]), new Date(5), [1, 2, 3], Uint8Array.of(1, 2)];
  assert.deepStrictEqual(roundTrip(values), expected);
});

Deno.test("an object that occurs twice is decoded as one object", () => {
  const shared = { a: 1 };
  assert.equal(hex(encode([shared, shared])), "82d81ca1616101d81d00");
  const [one, two] = roundTrip([shared, shared]) as [object, object];
  assert.equal(one, two);
});

Deno.test("shared objects are numbered in the order of the message, not of their second occurrence", () => {
  const outer: Record<string, unknown> = { name: "outer" };
  const inner = { outer };
  const others = Array.from({ length: 40 }, (_, i) => ({ i }));
  Object.assign(outer, { inner, again: inner, others, last: others[39], first: others[0] });
  assert.deepStrictEqual(roundTrip(outer), outer);
});

Deno.test("references are right in a message whose large byte strings are inserted afterwards", () => {
  const large = Uint8Array.from({ length: 20_000 }, (_, i) => i);
  const shared = { large };
  const value = [large, shared, large, new Uint8Array(30_000).fill(7), shared, "end"];
  assert.deepStrictEqual(roundTrip(value), value);
});

Deno.test("a view of a part of a buffer is encoded without the rest of the buffer", () => {
  const whole = Uint8Array.of(1, 2, 3, 4, 5);
  const result = roundTrip(whole.subarray(1, 3)) as Uint8Array;
  assert.deepStrictEqual(result, Uint8Array.of(2, 3));
  assert.equal(result.buffer.byteLength, 2);
});

Deno.test("a Node Buffer is decoded as a Uint8Array", async () => {
  const { Buffer } = await import("node:buffer");
  const result = roundTrip(Buffer.from("abc")) as Uint8Array;
  assert.equal(Object.getPrototypeOf(result), Uint8Array.prototype);
  assert.deepStrictEqual(result, Uint8Array.of(97, 98, 99));
});

Deno.test("a Buffer can be decoded, and the result shares no memory with it", async () => {
  const { Buffer } = await import("node:buffer");
  const input = Buffer.from(encode({ b: Uint8Array.of(1, 2) }));
  const value = decode(input) as { b: Uint8Array };
  input.fill(0);
  assert.deepStrictEqual(value, { b: Uint8Array.of(1, 2) });
  assert.equal(Object.getPrototypeOf(value.b), Uint8Array.prototype);
});

Deno.test("Map, Set, Date and Uint8Array of another realm are recognized", async () => {
  const { runInNewContext } = await import("node:vm");
  const foreign = runInNewContext(
    "({ m: new Map([[1, 2]]), s: new Set([1]), d: new Date(5), b: Uint8Array.of(1), a: [1], o: {} })",
  );
  assert.deepStrictEqual(roundTrip(foreign), {
    m: new Map([[1, 2]]),
    s: new Set([1]),
    d: new Date(5),
    b: Uint8Array.of(1),
    a: [1],
    o: {},
  });
});

Deno.test("no message is overwritten by a later one, whatever their sizes", () => {
  const sizes = [1, 300, 5000, 1, 70_000, 15_000, 3, 2_000_000, 4000, 1];
  const values = [...sizes, ...sizes, ...sizes].map((size) => ({
    text: "x".repeat(size),
    list: [size],
  }));
  const messages = values.map((value) => encode(value));
  assert.deepStrictEqual(messages.map((message) => decode(message)), values);
});

Deno.test("transferring a message detaches the shared buffer, and the next message gets a new one", () => {
  const message = encode("first");
  structuredClone(message.buffer, { transfer: [message.buffer] });
  for (const value of [1, { text: "x".repeat(50) }, "y".repeat(50_000), [2]]) {
    assert.deepStrictEqual(roundTrip(value), value);
  }
});

Deno.test("a large byte string is a view of an owned message and a copy of one that is not owned", () => {
  const message = encode({
    head: 1,
    body: new Uint8Array(100_000).fill(5),
    small: new Uint8Array(9),
  });
  const owned = decode(message, { owned: true }) as { body: Uint8Array; small: Uint8Array };
  assert.equal(owned.body.buffer, message.buffer);
  assert.notEqual(owned.small.buffer, message.buffer);
  assert.deepStrictEqual(owned.body, new Uint8Array(100_000).fill(5));
  const copied = decode(message) as { body: Uint8Array };
  assert.notEqual(copied.body.buffer, message.buffer);
  assert.equal(copied.body.buffer.byteLength, 100_000);
});

Deno.test("a message much larger than the shared buffer does not disturb the next ones", () => {
  const large = { text: "x".repeat(3_000_000), list: new Array(100_000).fill(1.1) };
  assert.deepStrictEqual(roundTrip(large), large);
  assert.deepStrictEqual(roundTrip({ a: 1 }), { a: 1 });
});

Deno.test("texts of every length around the end of the shared buffer are decoded completely", () => {
  for (let padding = 16_300; padding < 16_400; padding++) {
    for (const text of ["a".repeat(23), "ü".repeat(20), "😀".repeat(30)]) {
      const value = [new Uint8Array(padding), text, 1];
      assert.deepStrictEqual((decode(encode(value)) as unknown[]).slice(1), [text, 1]);
    }
  }
});

const REJECTED: [what: string, value: unknown, message: string][] = [
  ["a function", () => 1, "a function cannot be cloned"],
  ["a symbol", Symbol("s"), "a symbol cannot be cloned"],
  ["a boxed symbol", Object(Symbol()), "a Symbol object cannot be cloned"],
  ["a WeakMap", new WeakMap(), "a WeakMap object cannot be cloned"],
  ["a WeakSet", new WeakSet(), "a WeakSet object cannot be cloned"],
  ["a WeakRef", new WeakRef({}), "a WeakRef object cannot be cloned"],
  ["a Promise", Promise.resolve(), "a Promise object cannot be cloned: await it"],
  ["a generator", (function* () {})(), "a Generator object cannot be cloned"],
  ["a Blob", new Blob(["a"]), "a Blob object cannot be cloned: send its bytes"],
  ["a BigInt of over 64 KiB", 1n << 524_288n, "a BigInt of more than 65536 bytes cannot be cloned"],
];

for (const [what, value, message] of REJECTED) {
  Deno.test(`encode rejects ${what}, also deep inside, and names it and its place`, () => {
    assert.ok(rejectionOf(value).startsWith(message), rejectionOf(value));
    const inside = rejectionOf({ job: { callbacks: [1, 2, value] } });
    const [subject, advice] = message.split(" cannot be cloned");
    assert.ok(
      inside.startsWith(`${subject} at job.callbacks[2] cannot be cloned${advice ?? ""}`),
      inside,
    );
  });
}

Deno.test("a File is rejected with the advice to send its bytes", () => {
  // Bun reports a File as a Blob.
  const message = /^a (File|Blob) object at f cannot be cloned: send its bytes$/;
  assert.match(rejectionOf({ f: new File(["a"], "f") }), message);
});

Deno.test("a rejection names a path through unusual keys, Maps and Sets", () => {
  const f = () => 1;
  assert.match(rejectionOf([{ "a b": f }]), / at \[0\]\["a b"\] cannot/);
  assert.match(rejectionOf({ m: new Map([["k", [f]]]) }), / at m\.get\("k"\)\[0\] cannot/);
  assert.match(rejectionOf({ m: new Map([[f, 1]]) }), / at m\.keys\(\) cannot/);
  assert.match(rejectionOf({ s: new Set([f]) }), / at s\.values\(\) cannot/);
});

Deno.test("a rejection calls no getter to find its path", () => {
  let calls = 0;
  const value = {
    get made() {
      calls++;
      return () => 1;
    },
  };
  assert.match(rejectionOf(value), /^a function at \? cannot be cloned$/);
  assert.equal(calls, 1);
});

Deno.test("a detached Uint8Array is rejected", () => {
  const view = Uint8Array.of(1);
  structuredClone(view.buffer, { transfer: [view.buffer] });
  assert.equal(
    rejectionOf({ view }),
    "a Uint8Array whose buffer is detached at view cannot be cloned",
  );
});

Deno.test("an object that only imitates a class is encoded as a plain object", () => {
  for (
    const name of ["Map", "Set", "Date", "Error", "RegExp", "ArrayBuffer", "Promise", "Number"]
  ) {
    const impostor = new (class {
      readonly own = 1;
      get [Symbol.toStringTag](): string {
        return name;
      }
    })();
    assert.deepStrictEqual(roundTrip(impostor), { own: 1 });
  }
  assert.deepStrictEqual(roundTrip(Object.create(Set.prototype)), {});
  const promise = Object.create(Promise.prototype); // cannot be distinguished from an object that cannot be cloned
  assert.equal(rejectionOf(promise), "a Promise object cannot be cloned: await it");
});

Deno.test("a cycle is decoded through every container", () => {
  const object: Record<string, unknown> = {};
  const error = new Error("cyclic", { cause: object });
  const sparse: unknown[] = [];
  sparse[3] = object;
  Object.assign(object, {
    object,
    array: [object],
    map: new Map([[object, object]]),
    set: new Set([object]),
    error,
    sparse,
  });
  // deno-lint-ignore no-explicit-any
  const result = roundTrip(object) as Record<string, any>;
  assert.equal(result.object, result);
  assert.equal(result.array[0], result);
  assert.equal(result.map.get(result), result);
  assert.ok(result.set.has(result));
  assert.equal(result.error.cause, result);
  assert.equal(result.sparse[3], result);
});

Deno.test("errors are encoded without their stack on demand, and their decoded stack shows no frame of the codec", () => {
  const value = roundTrip(new TypeError("a")) as Error;
  assert.match(value.stack!, /codec_test/);
  const without = decode(encode(new TypeError("a"), { stacks: false })) as Error;
  assert.equal(without.stack, "TypeError: a");
});

Deno.test("a nesting of 1000 levels is accepted, and 1001 levels are rejected in both directions", () => {
  assertNested(roundTrip(nested(1000)), 1000);
  assert.equal(
    rejectionOf(nested(1001)),
    "a value nested more than 1000 deep cannot be cloned",
  );
  assertCodecError(concat("81".repeat(1000), "80"), /nested more than 1000 deep/);
});

Deno.test("a nesting of 1000 levels that encode accepts is accepted by decode, for every type", () => {
  const wrappers: ((value: unknown) => unknown)[] = [
    (value) => ({ value }),
    (value) => new Map([[value, value === 0 ? 0 : 1]]),
    (value) => new Set([value]),
  ];
  for (const wrap of wrappers) {
    let value: unknown = 0;
    for (let i = 0; i < 999; i++) value = wrap(value);
    decode(encode(wrap(value)));
    assert.match(rejectionOf(wrap(wrap(value))), /nested more than 1000 deep/);
  }
  decode(
    encode(JSON.parse("[".repeat(999) + "]".repeat(999), (_, v) => v.length ? v : [new Date(NaN)])),
  );
});

Deno.test("after a rejection the next value is encoded correctly", () => {
  rejectionOf({ a: [1, { b: () => 1 }] });
  assert.equal(hex(encode([1])), "8101");
  assertNested(roundTrip(nested(1000)), 1000);
});

Deno.test("an error thrown by a getter is passed on unchanged", () => {
  const error = new RangeError("mine");
  const value = {
    get a() {
      throw error;
    },
  };
  assert.throws(() => encode([value]), (thrown) => thrown === error);
});

Deno.test("a getter may encode and decode while its object is encoded", () => {
  const value = {
    before: "text",
    get inner(): unknown {
      return [roundTrip({ deep: [1, LONG] }), encode("inner")];
    },
    after: 2,
  };
  assert.deepStrictEqual(roundTrip(value), {
    before: "text",
    inner: [{ deep: [1, LONG] }, bytes("65696e6e6572")],
    after: 2,
  });
});

Deno.test("a getter may fail to encode while its object is encoded", () => {
  const value = {
    get a() {
      return rejectionOf({ f: () => 1 });
    },
    b: [1],
  };
  assert.deepStrictEqual(roundTrip(value), { a: "a function at f cannot be cloned", b: [1] });
});

Deno.test("a getter that deletes, adds or changes properties has the same effect as in structuredClone", () => {
  const make = () => {
    const value: Record<string, unknown> = {};
    Object.defineProperty(value, "first", {
      enumerable: true,
      get() {
        delete value.second;
        value.third = "changed";
        value.fourth = "added";
        return 1;
      },
    });
    return Object.assign(value, { second: 2, third: 3 });
  };
  assert.deepStrictEqual(roundTrip([make(), "rest"]), structuredClone([make(), "rest"]));
  const many = () =>
    Object.assign(make(), Object.fromEntries([..."abcdefghijklmnopqrstu"].entries()));
  assert.deepStrictEqual(roundTrip([many(), "rest"]), structuredClone([many(), "rest"]));
});

// Not compared with structuredClone, because Bun's departs from the standard here.
Deno.test("a getter that changes the surrounding Map or Set does not change what is encoded of it", () => {
  const map = new Map<unknown, unknown>();
  const set = new Set<unknown>();
  const trap = {
    get a() {
      map.set("new", 1);
      set.clear();
      return 1;
    },
  };
  map.set("trap", trap).set("after", 2);
  set.add(trap).add("after");
  const sent = roundTrip({ set, map });
  assert.deepStrictEqual(sent, {
    set: new Set<unknown>([{ a: 1 }, "after"]),
    map: new Map<unknown, unknown>([["trap", { a: 1 }], ["after", 2], ["new", 1]]),
  });
  map.clear();
  map.set("trap", trap).set("after", 2);
  const expected = new Map<unknown, unknown>([["trap", { a: 1 }], ["after", 2]]);
  assert.deepStrictEqual(roundTrip(map), expected);
});

class Reference {
  readonly name: string;
  readonly extra: unknown;
  constructor(name: string, extra?: unknown) {
    this.name = name;
    this.extra = extra;
  }
}

const references = {
  encode: {
    extension: (value: object): Extension | undefined =>
      value instanceof Reference ? ["Reference", value.name, value.extra] : undefined,
  },
  decode: {
    extension: (type: string, args: readonly unknown[]): unknown =>
      type === "Reference" ? new Reference(args[0] as string, args[1]) : undefined,
  },
};

Deno.test("an extension is encoded as a generic object and re-created by the receiver", () => {
  const value = { to: new Reference("jobs", [new Reference("inner")]), list: [new Set([1])] };
  const message = encode(value, references.encode);
  assert.deepStrictEqual(decode(message, references.decode), value);
  const alone = encode(new Reference("jobs"), references.encode);
  assert.equal(hex(alone), "d81b83" + "695265666572656e6365" + "646a6f6273" + "f7");
});

Deno.test("the extension is called for all objects but plain objects and arrays", () => {
  const asked: object[] = [];
  const point = new Point();
  const date = new Date();
  const map = new Map();
  encode([{ a: [] }, Object.create(null), point, date, map], {
    extension: (value) => void asked.push(value),
  });
  assert.deepStrictEqual(asked, [point, date, map]);
});

Deno.test("a generic object that no extension knows is an error that names its type", () => {
  const message = encode(new Reference("jobs"), references.encode);
  assertCodecError(message, /^unknown type "Reference" at byte 19$/);
  assert.throws(() => decode(message, { extension: () => undefined }), CodecError);
});

Deno.test("an extension may return null", () => {
  const message = encode(new Reference("jobs"), references.encode);
  assert.equal(decode(message, { extension: () => null }), null);
});

Deno.test("an error thrown by an extension is passed on unchanged in both directions", () => {
  const error = new RangeError("mine");
  const extension = () => {
    throw error;
  };
  assert.throws(() => encode([new Point()], { extension }), (thrown) => thrown === error);
  const message = encode([new Reference("jobs")], references.encode);
  assert.throws(() => decode(message, { extension }), (thrown) => thrown === error);
  assert.throws(() => decode(bytes("ff"), { extension }), CodecError);
});

Deno.test("an extension may decode and encode while a message is decoded", () => {
  const message = encode([new Reference("a"), new Reference("b"), 3], references.encode);
  const result = decode(message, {
    extension: (_, args) => roundTrip({ inner: [args[0], LONG] }),
  });
  assert.deepStrictEqual(result, [{ inner: ["a", LONG] }, { inner: ["b", LONG] }, 3]);
});

const HOSTILE: [what: string, digits: string, message: RegExp][] = [
  ["no bytes", "", /^truncated input at byte 0$/],
  ["trailing bytes", "0000", /^trailing bytes at byte 1$/],
  ["a break alone", "ff", /break/],
  ["a break in an array of known length", "81ff", /break/],
  ["a break in place of a value", "bf6161ff", /break/],
  ["a break in place of a Map's value", "d90103bf01ff", /break/],
  ["an open array without its break", "9f01", /truncated/],
  ["an open string without its break", "7f6161", /truncated/],
  ["an open integer", "1f", /reserved length/],
  ["an open negative integer", "3f", /reserved length/],
  ["an open tag", "df00", /reserved length/],
  ["a reserved length", "1c", /reserved length/],
  ["a chunk of another type", "7f4161ff", /chunk/],
  ["an open chunk", "7f7f6161ffff", /reserved length/],
  ["a declared length of 2^32-1 bytes", "5affffffff00", /truncated/],
  ["a declared length of 2^64-1 bytes", "5bffffffffffffffff00", /truncated/],
  ["a declared text of 2^53 bytes", "7b002000000000000061", /truncated/],
  ["a declared array of 2^32-1", "9affffffff00", /truncated/],
  ["a declared array of 2^64-1", "9bffffffffffffffff00", /truncated/],
  ["a declared object of 2^63", "bb800000000000000000", /truncated/],
  ["a declared object of one entry more than fit", "a2616101", /truncated/],
  ["a declared Map of 2^32-1", "d90103baffffffff00", /truncated/],
  ["a declared Set of 2^32-1", "d901029affffffff00", /truncated/],
  ["a number as an object's key", "a10102", /key that is not text/],
  ["bytes as an object's key", "a1416101", /key that is not text/],
  ["another tag on an object's key", "a1c1616101", /key that is not text/],
  ["a stray continuation byte", "6180", /UTF-8/],
  ["an overlong UTF-8 sequence", "62c080", /UTF-8/],
  ["a surrogate in UTF-8", "63eda080", /UTF-8/],
  ["a truncated UTF-8 sequence", "62e282", /UTF-8/],
  ["a UTF-8 sequence split between chunks", "7f61c361bcff", /UTF-8/],
  ["invalid UTF-8 in a long string", `7828${"61".repeat(39)}ff`, /UTF-8/],
  ["invalid UTF-8 in a very long string", `790800${"61".repeat(2047)}ff`, /UTF-8/],
  ["invalid UTF-8 beside a replacement character", "64efbfbdff", /UTF-8/],
  ["invalid UTF-8 as a key", "a161ff00", /UTF-8/],
  ["invalid WTF-8", "d9011141ff", /WTF-8/],
  ["an overlong WTF-8 sequence", "d9011142c080", /WTF-8/],
  ["a truncated WTF-8 sequence", "d9011142eda0", /WTF-8/],
  ["a WTF-8 code point over 10ffff", "d9011144f4908080", /WTF-8/],
  ["text as WTF-8", "d901116161", /byte string was expected/],
  ["an unknown tag", "da6368616e00", /unknown tag 1667785070/],
  ["an unknown simple value", "e0", /simple value/],
  ["an unknown simple value of two bytes", "f8ff", /simple value/],
  ["a shared value around another", "d81cd81c80", /nothing but another one/],
  ["a reference to nothing", "d81d00", /not there yet/],
  ["a reference inside of what it refers to, too early", "d81cd81d00", /not there yet/],
  ["a reference by a negative number", "82d81c80d81d20", /number of a shared value/],
  ["a BigInt that is a number", "c201", /byte string was expected/],
  ["a date that is text", "c16130", /number was expected/],
  ["a date that is a BigInt", "c11bffffffffffffffff", /number was expected/],
  ["a date that is NaN", "c1f97e00", /invalid Date/],
  ["a date out of range", "c11b001fffffffffffff", /invalid Date/],
  ["a date inside of a date", "c1c100", /number was expected/],
  ["a text date that is a number", "c000", /text string was expected/],
  ["an invalid text date", "c063666f6f", /invalid Date/],
  [
    "a text date in month 13",
    `c074${hex(new TextEncoder().encode("2013-13-21T20:04:00Z"))}`,
    /invalid Date/,
  ],
  ["a generic date without a time", "d81b816444617465", /invalid Date/],
  ["a generic date of text", "d81b8264446174656130", /invalid Date/],
  ["a generic date out of range", "d81b8264446174651b001fffffffffffff", /invalid Date/],
  ["an empty generic object", "d81b80", /without a type/],
  ["a generic object whose type is a number", "d81b8101", /text string was expected/],
  ["a generic object that is no array", "d81b00", /array was expected/],
  ["a Set that is no array", "d90102a0", /array was expected/],
  ["a Map that is no map", "d9010380", /map was expected/],
  ["a Uint8Array that is text", "d8406161", /byte string was expected/],
];

for (const [what, digits, message] of HOSTILE) {
  Deno.test(`decode rejects ${what}`, () => assertCodecError(bytes(digits), message));
}

Deno.test("a CodecError has the offset as a number, too", () => {
  assert.throws(() => decode(bytes("8201e0")), { name: "CodecError", offset: 3 });
});

Deno.test("a truncated message is an error wherever it is cut", () => {
  for (const value of CORPUS) {
    const message = encode(value);
    const step = Math.max(1, Math.floor(message.length / 500));
    for (let length = 0; length < message.length; length += step) {
      assertCodecError(message.subarray(0, length), /./);
    }
  }
});

/** Returns a generator of reproducible pseudo-random numbers (mulberry32). */
function seeded(seed: number): (below: number) => number {
  return (below) => {
    seed = seed + 0x6d2b79f5 | 0;
    let bits = Math.imul(seed ^ seed >>> 15, 1 | seed);
    bits = bits + Math.imul(bits ^ bits >>> 7, 61 | bits) ^ bits;
    return ((bits ^ bits >>> 14) >>> 0) % below;
  };
}

Deno.test("20,000 damaged messages give a CodecError or an encodable value, and change no prototype", () => {
  const random = seeded(42);
  const corpus = CORPUS.map((value) => encode(value)).filter((message) => message.length < 2000);
  const mixed = encode(VECTORS.map(([, value]) => value));
  const prototype = Reflect.ownKeys(Object.prototype).join();
  let values = 0;
  for (let i = 0; i < 20_000; i++) {
    const message = (i % 2 ? mixed : corpus[random(corpus.length)]!).slice();
    for (let n = random(4) + 1; n > 0; n--) message[random(message.length)] = random(256);
    let value: unknown;
    try {
      value = decode(message);
    } catch (error) {
      if (!(error instanceof CodecError)) assert.fail(`${hex(message)} gave ${error}`);
      continue;
    }
    assertSame(roundTrip(value), value);
    values++;
  }
  assert.ok(values > 1000 && values < 19_000, `${values} were values`);
  assert.equal(Reflect.ownKeys(Object.prototype).join(), prototype);
});

Deno.test("deeply nested messages of any type are an error", () => {
  const layers = ["81", "9f", "a16161", "bf6161", "d90102 81", "d90103 a100", "d9d9f7", "d81b 81"];
  layers.push("c1", "c2", "d90111", "d840", "5f", "7f", "a1d90111", "a1");
  for (const layer of layers) {
    assertCodecError(bytes(layer.repeat(100_000)), /./);
  }
});

Deno.test("decode reports a stack that was nearly full before the call as a CodecError", () => {
  const message = encode(nested(1000));
  const outcomes = new Set<string>();
  let values = 0;
  const descend = (): void => {
    try {
      descend();
    } catch {
      // The deepest frames have no room for anything, so only errors of decode itself count.
    }
    if (values === 100) return; // the frames above have more room
    try {
      decode(message);
      values++;
    } catch (error) {
      if (error instanceof CodecError) outcomes.add(String(error.cause));
    }
  };
  try {
    descend();
  } catch {
    // the same
  }
  assert.ok(values > 0);
  assert.ok([...outcomes].some((outcome) => outcome.includes("RangeError")), String([...outcomes]));
  assertNested(decode(message), 1000);
});

Deno.test("keys such as __proto__ become own properties and change no prototype", () => {
  const names = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty"];
  for (const name of names) {
    const value = Object.defineProperty({}, name, {
      value: { polluted: true },
      enumerable: true,
      configurable: true,
      writable: true,
    });
    const result = roundTrip(value) as Record<string, unknown>;
    assert.equal(Object.getPrototypeOf(result), Object.prototype);
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(result, name), {
      value: { polluted: true },
      enumerable: true,
      configurable: true,
      writable: true,
    });
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  }
});

Deno.test("__proto__ is an own property also as a chunked or WTF-8 key, and when it is repeated", () => {
  const name = hex(new TextEncoder().encode("__proto__"));
  const keys = [`69${name}`, `7809${name}`, `7f69${name}ff`, `d9011149${name}`];
  for (const key of keys) {
    const result = decode(bytes(`a2${key}a0${key}a1616101`)) as object;
    assert.equal(Object.getPrototypeOf(result), Object.prototype);
    assert.deepStrictEqual(Object.entries(result), [["__proto__", { a: 1 }]]);
  }
});

Deno.test("a BigInt of 64 KiB is accepted, and a larger one is rejected at once", () => {
  const largest = (1n << 524_288n) - 1n;
  assert.equal(roundTrip(largest), largest);
  assert.equal(roundTrip(-largest), -largest);
  const bomb = concat("c25a00100000", new Uint8Array(0x100000).fill(255));
  const start = cpuTime();
  assertCodecError(bomb, /BigInt of more than 65536 bytes/);
  assert.ok(cpuTime() - start < 1000);
});

Deno.test("a small message cannot take much memory", () => {
  const items: [what: string, item: string, count: number][] = [
    ["byte strings", "40", 500_000],
    ["chunks of bytes", "5f40ff", 500_000],
    ["Maps", "d90103a0", 1_500_000],
    ["objects with an array of 1500 inside of V8", "a16431303030f6", 200_000],
  ];
  for (const [what, item, count] of items) {
    const part = bytes(item);
    const message = new Uint8Array(5 + part.length * count);
    message.set(bytes("9a" + count.toString(16).padStart(8, "0")));
    for (let i = 0; i < count; i++) message.set(part, 5 + i * part.length);
    assert.throws(() => decode(message), /too much memory/, `${what} were not rejected`);
  }
});

const however = { skip: decidedByV8 };
test("decode accepts what encode accepts, however much memory it takes", however, () => {
  const kinds: (() => unknown)[] = [
    () => 0n,
    () => "\ud800",
    () => "",
    () => ({}),
    () => [],
    () => [1],
    () => ({ 900: 0 }),
    () => ({ 0: 0, 900: 0 }),
    () => ({ 900: 0, "9a": 0 }),
    () => ({ "\ud800": 0 }),
    () => new Date(0),
    () => new Map([[1, 1]]),
    () => new Set([1, 2, 3, 4, 5]),
    () => Object(1),
    () => new Uint8Array(1),
    () => new Float64Array(1),
    () => new DataView(new ArrayBuffer(1)),
    () => /a/,
    () => new Error(),
    () => new DOMException(),
    // deno-lint-ignore no-sparse-arrays
    () => [, 1],
  ];
  const count = 60_000;
  let refused = 0;
  for (const [i, make] of kinds.entries()) {
    const value = Array.from({ length: count }, make);
    let message: Uint8Array;
    try {
      message = encode(value, { stacks: false });
    } catch (error) {
      assert.match((error as Error).message, /far more memory/);
      refused++;
      continue;
    }
    assert.equal((decode(message) as unknown[]).length, value.length, `kind ${i}`);
  }
  assert.ok(refused > 3 && refused < kinds.length - 3, `${refused} were rejected`);
});

Deno.test("a regular expression may contain a lone surrogate", () => {
  const source = new RegExp("[\ud800]");
  assert.equal((roundTrip(source) as RegExp).source, source.source);
});

Deno.test("a large message of ordinary records is within the memory limit", () => {
  const records = Array.from({ length: 200_000 }, (_, id) => ({ id, 7: "a", 2024: [] }));
  const result = roundTrip(records) as unknown[];
  assert.equal(result.length, 200_000);
  assert.deepStrictEqual(result[199_999], records[199_999]);
});
