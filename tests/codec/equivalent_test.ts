import assert from "node:assert/strict";
import { assertEquivalent } from "./equivalent.ts";

type Maker = () => unknown;

const resizable = (length: number, maxByteLength: number) =>
  new ArrayBuffer(length, { maxByteLength });

function error(
  message: string | undefined,
  stack: string,
  properties: PropertyDescriptorMap = {},
): Error {
  const hidden = { value: stack, enumerable: false, writable: true, configurable: true };
  return Object.defineProperties(new Error(message), { stack: hidden, ...properties });
}

function withHidden<T extends object>(object: T): T {
  return Object.defineProperty(object, "hidden", { value: 1 });
}

function shared(): unknown {
  const object = {};
  return [object, object];
}

function crossed(swapped: boolean): unknown {
  const [a, b] = [{}, {}];
  return [a, b, swapped ? b : a, swapped ? a : b];
}

function cycle(length: number): unknown {
  const first: { next?: unknown } = {};
  let last = first;
  for (let i = 1; i < length; i++) last = last.next = {};
  last.next = first;
  return first;
}

function views(offset: number, isShared: boolean): unknown {
  const buffer = new ArrayBuffer(8);
  return [new Uint8Array(buffer), new Uint8Array(isShared ? buffer : buffer.slice(), offset)];
}

/** Pairs that differ in one thing, with the path and name of the difference. */
const DIFFERENT: [what: string, a: Maker, b: Maker, message: RegExp][] = [
  ["0 and -0", () => 0, () => -0, /the value at value is 0 and should be -0/],
  ["a number and a string", () => 1, () => "1", /value/],
  ["5 and 5n", () => [5], () => [5n], /value\[0\] is 5 and should be 5n/],
  ["null and undefined", () => ({ a: null }), () => ({ a: undefined }), /value\.a/],
  ["a hole and undefined", () => [undefined], () => new Array(1), /own keys/],
  ["lengths of arrays", () => new Array(1), () => new Array(2), /value\.length/],
  ["a property more", () => ({}), () => ({ a: undefined }), /own keys at value/],
  ["the order of keys", () => ({ a: 1, b: 2 }), () => ({ b: 2, a: 1 }), /own keys/],
  ["a hidden property", () => withHidden({}), () => ({}), /own keys/],
  ["enumerability", () => withHidden({}), () => ({ hidden: 1 }), /attributes at value\.hidden/],
  ["a getter", () => Object.defineProperty({}, "a", { get: () => 1 }), () => ({ a: 1 }), /attr/],
  ["a symbol key", () => ({ [Symbol("s")]: 1 }), () => ({}), /own keys/],
  ["the prototype", () => Object.create(null), () => ({}), /prototype/],
  ["an Array's subclass", () => new (class extends Array {})(), () => [], /prototype/],
  ["a frozen object", () => Object.freeze({}), () => ({}), /extensibility/],
  ["a named property of an array", () => Object.assign([1], { a: 1 }), () => [1], /own keys/],
  ["an array and an object", () => [], () => Object.setPrototypeOf({}, Array.prototype), /class/],
  ["an impostor of a Map", () => Object.create(Map.prototype), () => new Map(), /class/],
  ["a shared object", shared, () => [{}, {}], /value\[1\] is an object met before/],
  ["an object that is not shared", () => [{}, {}], shared, /value\[1\] is a new object/],
  ["crossed references", () => crossed(true), () => crossed(false), /value\[2\]/],
  ["the length of a cycle", () => cycle(1), () => cycle(2), /value\.next/],
  ["the time", () => new Date(1), () => new Date(2), /time/],
  ["an invalid Date", () => new Date(NaN), () => new Date(0), /time/],
  ["the source", () => /a/, () => /b/, /source/],
  ["the flags", () => /a/g, () => /a/y, /flags/],
  ["lastIndex", () => Object.assign(/a/g, { lastIndex: 1 }), () => /a/g, /value\.lastIndex/],
  ["a Map's order", () => new Map([[1, 1], [2, 1]]), () => new Map([[2, 1], [1, 1]]), /keys/],
  ["a Map's value", () => new Map([[1, 1]]), () => new Map([[1, 2]]), /values\(\)\[0\]/],
  ["a Set's order", () => new Set([1, 2]), () => new Set([2, 1]), /value\[0\]/],
  ["a Set's size", () => new Set([1]), () => new Set(), /size/],
  ["a Map and a Set", () => new Map(), () => new Set(), /class/],
  ["a message", () => error("a", ""), () => error("b", ""), /value\.message/],
  ["an empty message and none", () => error("", ""), () => error(undefined, ""), /own keys/],
  ["a stack", () => error("a", "x"), () => error("a", "y"), /stack/],
  ["an Error's class", () => new TypeError(), () => new Error(), /prototype/],
  ["a cause", () => error("", "", { cause: { value: 1 } }), () => error("", ""), /own keys/],
  [
    "a cause that is enumerable",
    () => error("", "", { cause: { value: 1, enumerable: true } }),
    () => error("", "", { cause: { value: 1 } }),
    /attributes at value\.cause/,
  ],
  [
    "a stack that is enumerable",
    () => error("", "", { stack: { value: "", enumerable: true } }),
    () => error("", ""),
    /enumerability at value\.stack/,
  ],
  [
    "an error's errors",
    () => new AggregateError([1]),
    () => new AggregateError([2]),
    /errors|stack/,
  ],
  ["a DOMException's name", () => new DOMException("m", "A"), () => new DOMException("m"), /name/],
  ["a DOMException's message", () => new DOMException("m"), () => new DOMException("n"), /message/],
  ["a DOMException and an Error", () => new DOMException("m"), () => new Error("m"), /class/],
  ["a boxed number", () => Object(0), () => Object(-0), /primitive/],
  ["boxed and not", () => Object("a"), () => "a", /value/],
  ["boxed types", () => Object(1), () => Object(1n), /prototype/],
  ["bytes", () => Uint8Array.of(1, 2), () => Uint8Array.of(1, 3), /value\.buffer\[1\]/],
  ["the kind of view", () => new Int8Array(1), () => new Uint8Array(1), /class/],
  ["a view's offset", () => views(0, true), () => views(4, true), /byteOffset at value\[1\]/],
  ["a view's buffer", () => views(0, false), () => views(0, true), /value\[1\]\.buffer/],
  [
    "a view's length",
    () => new DataView(new ArrayBuffer(2), 0, 1),
    () => new DataView(new ArrayBuffer(2)),
    /byteLength/,
  ],
  [
    "bytes outside of the view",
    () => new Uint8Array(2).subarray(1),
    () => Uint8Array.of(1, 0).subarray(1),
    /buffer\[0\]/,
  ],
  [
    "NaN payloads",
    () => new Float32Array(Uint8Array.of(1, 0, 192, 127).buffer),
    () => Float32Array.of(NaN),
    /buffer\[0\]/,
  ],
  ["resizability", () => resizable(1, 1), () => new ArrayBuffer(1), /resizable/],
  ["maxByteLength", () => resizable(1, 2), () => resizable(1, 3), /maxByteLength/],
  [
    "length tracking",
    () => new Uint8Array(resizable(2, 4)),
    () => new Uint8Array(resizable(2, 4), 0, 2),
    /length tracking/,
  ],
  [
    "length tracking at the maximum",
    () => new Int16Array(resizable(2, 2)),
    () => new Int16Array(resizable(2, 2), 0, 1),
    /length tracking/,
  ],
  [
    "length tracking of nothing",
    () => new DataView(resizable(2, 4), 2),
    () => new DataView(resizable(2, 4), 2, 0),
    /length tracking/,
  ],
];

for (const [what, a, b, message] of DIFFERENT) {
  Deno.test(`assertEquivalent detects ${what}, in both directions and deep inside`, () => {
    assert.throws(() => assertEquivalent(a(), b()), message);
    assert.throws(() => assertEquivalent(b(), a()), assert.AssertionError);
    const inside = (value: unknown) => ({ list: [new Map([["key", value]])] });
    assert.throws(() => assertEquivalent(inside(a()), inside(b())), /value\.list\[0\]\.values\(\)/);
    const one = a();
    assertEquivalent(inside(one), inside(one));
  });
}

Deno.test("assertEquivalent leaves a resizable buffer unchanged", () => {
  const make = (...bytes: number[]) => {
    const view = new Uint8Array(resizable(bytes.length, 8));
    view.set(bytes);
    return view;
  };
  const view = make(1, 2, 3);
  assertEquivalent(view, make(1, 2, 3));
  assert.deepEqual([...view], [1, 2, 3]);
});
