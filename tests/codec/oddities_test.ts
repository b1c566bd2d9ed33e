import assert from "node:assert/strict";
import { decode, encode } from "../../src/encoding/cbor/mod.ts";
import { assertEquivalent } from "./equivalent.ts";
import { cpuTime } from "../support/cpu_time.ts";

function roundTrip(value: unknown): unknown {
  return decode(encode(value));
}

/** Each value is made twice: for the codec and for structuredClone, which both call the getters. */
const CHANGING: [what: string, make: () => unknown][] = [
  ["deletes a later property", () => trap((value) => delete value.later)],
  ["adds a property", () => trap((value) => value.added = 1)],
  ["changes a later property", () => trap((value) => value.later = [value])],
  ["changes an earlier property", () => trap((value) => value.earlier = "changed")],
  ["turns the value into a cycle", () => trap((value) => value.later = value)],
  ["makes an array longer", () => arrayTrap((array) => array.push("added"))],
  ["changes an item", () => arrayTrap((array) => array[2] = "changed")],
];

function trap(act: (value: Record<string, unknown>) => void): unknown {
  const value: Record<string, unknown> = { earlier: 1 };
  const get = () => {
    act(value);
    return "got";
  };
  Object.defineProperty(value, "trap", { enumerable: true, get });
  value.later = { a: 2 };
  return ["before", value, "after"];
}

function arrayTrap(act: (array: unknown[]) => void): unknown {
  const array: unknown[] = [];
  const get = () => act(array);
  array.push(Object.defineProperty({}, "trap", { enumerable: true, get }), 1, 2, 3);
  return ["before", array, "after"];
}

for (const [what, make] of CHANGING) {
  Deno.test(`a getter that ${what} has the same effect as in structuredClone`, () => {
    assertEquivalent(roundTrip(make()), structuredClone(make()));
  });
}

Deno.test("a getter may encode, decode, and fail to encode the value that contains it", () => {
  const value = {
    shared: {},
    get encoded(): unknown {
      return roundTrip({ again: [this.shared, this.shared, new Uint8Array([1])] });
    },
    get failed(): unknown {
      assert.throws(() => encode([this.shared, () => 1]), { name: "DataCloneError" });
      return this.shared;
    },
  };
  const sent = roundTrip([value, value]) as { shared: object; encoded: unknown; failed: object }[];
  assert.equal(sent[0], sent[1]);
  assert.equal(sent[0]!.failed, sent[0]!.shared);
  assertEquivalent(sent[0]!.encoded, structuredClone(value.encoded));
});

Deno.test("a getter that recurses endlessly ends in the error for depth", () => {
  const endless = {
    get deeper(): unknown {
      return Object.create(Object.prototype, Object.getOwnPropertyDescriptors(endless));
    },
  };
  assert.throws(() => encode(endless), /nested more than 1000 deep/);
});

/** Objects of another realm, whose classes differ from those of this one. */
const FOREIGN: [what: string, source: string, expected: () => unknown][] = [
  ["a plain object", "({ a: { b: 1 } })", () => ({ a: { b: 1 } })],
  ["an array", "[1, , [2]]", () => [1, , [2]]],
  ["an array with names", "Object.assign([1], { a: 1 })", () => Object.assign([1], { a: 1 })],
  ["a Map", "new Map([[{}, new Set([1])]])", () => new Map([[{}, new Set([1])]])],
  ["a Date", "new Date(5)", () => new Date(5)],
  ["an invalid Date", "new Date(NaN)", () => new Date(NaN)],
  ["a RegExp", "/a/giy", () => /a/giy],
  ["boxed primitives", "[1, 'a', true, 1n].map(Object)", () => [1, "a", true, 1n].map(Object)],
  ["an ArrayBuffer", "Uint8Array.of(1, 2).buffer", () => Uint8Array.of(1, 2).buffer],
  [
    "a resizable ArrayBuffer",
    "new ArrayBuffer(1, { maxByteLength: 2 })",
    () => new ArrayBuffer(1, { maxByteLength: 2 }),
  ],
  [
    "views of one buffer",
    "{ const b = new ArrayBuffer(8); [b, new Int8Array(b, 1, 2), new DataView(b, 1)] }",
    () => {
      const buffer = new ArrayBuffer(8);
      return [buffer, new Int8Array(buffer, 1, 2), new DataView(buffer, 1)];
    },
  ],
  ["a typed array", "Float64Array.of(1.5)", () => Float64Array.of(1.5)],
  ["a null prototype", "Object.assign(Object.create(null), { a: 1 })", () => ({ a: 1 })],
  ["a class instance", "new (class A { a = 1 })()", () => ({ a: 1 })],
];

for (const [what, source, expected] of FOREIGN) {
  Deno.test(`${what} of another realm is decoded as one of this realm`, async () => {
    const { runInNewContext } = await import("node:vm");
    assertEquivalent(roundTrip([runInNewContext(source)]), [expected()]);
  });
}

Deno.test("errors of another realm are decoded as errors of this realm, with class, message and cause", async () => {
  const { runInNewContext } = await import("node:vm");
  const foreign = runInNewContext("new RangeError('m', { cause: new Error('inner') })");
  const error = roundTrip(foreign) as Error;
  assert.equal(Object.getPrototypeOf(error), RangeError.prototype);
  assert.equal(error.message, "m");
  assert.equal(error.stack, foreign.stack);
  assert.equal(Object.getPrototypeOf(error.cause), Error.prototype);
});

class MyMap extends Map<unknown, unknown> {
  override forEach(): void {}
  override get size(): number {
    return 100;
  }
  override *[Symbol.iterator](): MapIterator<[unknown, unknown]> {}
}
class MyDate extends Date {
  override getTime(): number {
    return 7;
  }
}
class MyBytes extends Uint8Array {
  override get length(): number {
    return 1000;
  }
  override get byteOffset(): number {
    return 1;
  }
}
class MyRegExp extends RegExp {
  override get flags(): string {
    return "y";
  }
  override get source(): string {
    return "lie";
  }
}
class MyError extends TypeError {
  code = 5;
}
class Tagged {
  readonly [Symbol.toStringTag] = "Promise";
  a = 1;
}
class TaggedByGetter {
  a = 1;
  get [Symbol.toStringTag](): string {
    return "Map";
  }
}

const ODD: [what: string, make: () => unknown][] = [
  ["a Map's subclass with misleading methods", () => new MyMap([[1, 2]])],
  ["a Set's subclass", () => new (class extends Set {})([1])],
  ["a Date's subclass with misleading methods", () => new MyDate(5)],
  ["an Array's subclass", () => (class extends Array {}).of(1, 2)],
  ["a Uint8Array's subclass with misleading properties", () => new MyBytes([1, 2, 3])],
  ["a RegExp's subclass with misleading properties", () => new MyRegExp("a", "g")],
  ["a Number's subclass", () => new (class extends Number {})(5)],
  ["a class instance whose tag says Promise", () => new Tagged()],
  ["a class instance whose tag says Map", () => new TaggedByGetter()],
  ["an object whose own tag says Error", () => ({ [Symbol.toStringTag]: "Error", a: 1 })],
  [
    "a Map with another tag",
    () => Object.defineProperty(new Map([[1, 2]]), Symbol.toStringTag, { value: "Date" }),
  ],
  ["an array without a prototype", () => Object.setPrototypeOf([1], null)],
  ["an object made from Map.prototype", () => Object.create(Map.prototype)],
  [
    "an object made from Date.prototype",
    () => Object.assign(Object.create(Date.prototype), { a: 1 }),
  ],
  ["an object made from Error.prototype", () => Object.create(Error.prototype)],
  ["an object without a prototype", () => Object.assign(Object.create(null), { a: 1 })],
  ["Object.prototype", () => Object.prototype],
  ["Array.prototype", () => Array.prototype],
  ["a Date with own properties", () => Object.assign(new Date(5), { a: 1 })],
  ["a boxed string with own properties", () => Object.assign(Object("ab"), { a: 1 })],
  ["a RegExp with a lastIndex", () => Object.assign(/a/g, { lastIndex: 5 })],
  ["a frozen object with symbols", () => Object.freeze({ a: 1, [Symbol("s")]: 2 })],
  [
    "an array with keys that look like indices",
    () => Object.assign([1], { "-1": 2, "01": 3, "4294967295": 4, "1e3": 5 }),
  ],
];

for (const [what, make] of ODD) {
  Deno.test(`${what} is decoded as structuredClone copies it`, () => {
    assertEquivalent(roundTrip([make()]), structuredClone([make()]));
  });
}

// V8's structuredClone rejects them.
Deno.test("the arguments object of a function is decoded as a plain object", () => {
  const value = (function (..._: unknown[]) {
    return arguments;
  })(1, "a");
  assertEquivalent(roundTrip(value), { 0: 1, 1: "a" });
});

// This differs from structuredClone: checking the original class of every plain object would cost too much.
Deno.test("an object whose prototype was set to null or Object.prototype is a plain object", () => {
  const objects = [new Map([[1, 2]]), new Date(5), Object(5), new Uint8Array(2).subarray(2)];
  for (const object of objects) {
    assertEquivalent(roundTrip(Object.setPrototypeOf(object, null)), {});
    assertEquivalent(roundTrip(Object.setPrototypeOf(object, Object.prototype)), {});
  }
});

// structuredClone leaves holes. The codec has written the array's length already.
Deno.test("items that a getter cuts off the array being encoded are undefined", () => {
  const sent = roundTrip(arrayTrap((array) => array.length = 2)) as [unknown, unknown[], unknown];
  assertEquivalent(sent, ["before", [{ trap: 2 }, 1, undefined, undefined], "after"]);
});

Deno.test("an Error's subclass is decoded as the standard class of its name, without own properties", () => {
  const error = roundTrip(new MyError("m")) as Error;
  assert.equal(Object.getPrototypeOf(error), TypeError.prototype);
  assert.ok(!Object.hasOwn(error, "code"));
  const renamed = roundTrip(Object.assign(new MyError("m"), { name: "Other" })) as Error;
  assert.equal(Object.getPrototypeOf(renamed), Error.prototype);
});

Deno.test("an Error with no stack, or with a stack that is not text, does not get the codec's", () => {
  for (const stack of [undefined, 5, ""]) {
    const error = Object.defineProperty(new Error("m"), "stack", { value: stack });
    assert.doesNotMatch(String((roundTrip(error) as Error).stack), /codec/);
    assert.doesNotMatch(String((decode(encode(error, { stacks: false })) as Error).stack), /\n/);
  }
});

Deno.test("enumerable properties of Object.prototype are not encoded", () => {
  const prototype = Object.prototype as Record<string, unknown>;
  const values = [
    { a: 1 },
    [1, , 2],
    new Map([[{}, []]]),
    new Error("m"),
    Object("a"),
    new Date(5),
  ];
  const plain = values.map((value) => encode(value).slice());
  let polluted: Uint8Array[];
  let sent: unknown[];
  prototype.pollution = 1;
  prototype.stack = "x";
  prototype.a = 2;
  try {
    polluted = values.map((value) => encode(value).slice());
    sent = polluted.map((bytes) => decode(bytes));
  } finally {
    delete prototype.pollution;
    delete prototype.stack;
    delete prototype.a;
  }
  assert.deepEqual(polluted, plain);
  sent.forEach((value, i) => assertEquivalent(value, decode(plain[i]!)));
});

Deno.test("holes are encoded as holes even if Array.prototype has elements", () => {
  const prototype = Array.prototype as unknown[];
  prototype[1] = "pollution";
  try {
    assert.deepEqual(Object.keys(roundTrip([1, , 3]) as object), ["0", "2"]);
  } finally {
    delete prototype[1];
    prototype.length = 0;
  }
});

Deno.test("a huge sparse array is encoded in time independent of its length", () => {
  const array: unknown[] = [];
  array.length = 2 ** 32 - 1;
  array[4_294_967_294] = "last";
  array[7] = array;
  const start = cpuTime();
  const sent = roundTrip(array) as unknown[];
  assertEquivalent(sent, array);
  assert.ok(cpuTime() - start < 1000, "it took over a second");
});

Deno.test("decoded bytes of an owned message may be views of it; otherwise all are copies", () => {
  const value = { large: new Uint8Array(100_000).fill(7), small: new Uint8Array(8) };
  const bytes = encode(value).slice();
  const copied = decode(bytes) as typeof value;
  const owned = decode(bytes, { owned: true }) as typeof value;
  assert.notEqual(copied.large.buffer, bytes.buffer);
  assert.notEqual(owned.small.buffer, bytes.buffer);
  for (const result of [copied, owned]) {
    assert.deepEqual({ ...result }, value);
  }
});
