/**
 * Values of every supported type, with shared and cyclic references. A graph is described by plain data, which
 * fast-check generates and shrinks, and from which the value is built as often as needed.
 */

import fc from "fast-check";
import { type Key, keys, primitives } from "./primitives.ts";

/** The content of a place: a primitive, or a node of the graph by its index, which wraps around. */
export type Slot = { readonly primitive: unknown } | { readonly node: number };
export type Entry = readonly [Key, Slot];

/** A node: an object, without the objects that it refers to. */
export type Node =
  | { kind: "object"; prototype: string; entries: Entry[] }
  | { kind: "array"; items: (Slot | null)[]; named: Entry[]; hasNamed: boolean; tail: number }
  | { kind: "long array"; length: number; item: Slot; hasHole: boolean; named: Entry[] }
  | { kind: "sparse array"; length: number; indices: number[]; item: Slot }
  | { kind: "map"; entries: [Slot, Slot][] }
  | { kind: "set"; items: Slot[] }
  | { kind: "date"; time: number }
  | { kind: "regexp"; source: string; flags: string }
  | { kind: "error"; type: string; name?: string | undefined } & ErrorParts
  | { kind: "aggregate"; error: Slot } & ErrorParts
  | { kind: "dom exception"; message: string; name: string }
  | { kind: "boxed"; primitive: number | string | boolean | bigint }
  | { kind: "buffer"; bytes: number[]; room: number | null }
  | { kind: "view"; type: string; buffer: number; start: number; size: number };

interface ErrorParts {
  message: string | undefined;
  stack: string;
  cause?: Slot | undefined;
}

/** The description of a value: the value is the first node, or an array of all nodes. */
export interface Graph {
  readonly nodes: readonly Node[];
  readonly isList: boolean;
}

class Point {
  get x(): number {
    return 1;
  }
}
class Tagged {
  get [Symbol.toStringTag](): string {
    return "Tagged";
  }
}

/** Prototypes of objects. All of them are decoded as plain objects. */
export const PROTOTYPES: Readonly<Record<string, object | null>> = {
  plain: Object.prototype,
  none: null,
  class: Point.prototype,
  tagged: Tagged.prototype,
};

/** The classes of errors without parts of their own. */
export const ERRORS: Readonly<Record<string, ErrorConstructor>> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** A class of views of a buffer. */
export interface ViewClass {
  new (buffer: ArrayBuffer, byteOffset?: number, length?: number): ArrayBufferView<ArrayBuffer>;
  /** Absent for DataView. */
  readonly BYTES_PER_ELEMENT?: number;
}

/** All view classes; Float16Array if the runtime has it. */
export const VIEWS: Readonly<Record<string, ViewClass>> = {
  DataView,
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
  Float32Array,
  Float64Array,
  ...("Float16Array" in globalThis ? { Float16Array: globalThis.Float16Array as ViewClass } : {}),
};

const slot: fc.Arbitrary<Slot> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ primitive: primitives }) },
  { weight: 3, arbitrary: fc.record({ node: fc.nat(30) }) },
);
const entries = fc.array(fc.tuple(keys, slot), { maxLength: 6 });
// No large index, because JavaScriptCore's structuredClone visits all indices before it.
const namesOfArrays = keys.filter((key) => key !== "length" && !/^\d{6,}$/.test(key));
const named = fc.array(fc.tuple(namesOfArrays, slot), { maxLength: 6 });
const names = [...Object.keys(ERRORS), "AggregateError", "DOMException", "Other", ""];
const errorParts = {
  message: fc.option(fc.string(), { nil: undefined }),
  stack: fc.string(),
  cause: fc.option(slot, { nil: undefined }),
};
const bytes = fc.array(fc.nat(255), { maxLength: 40 });

const node: fc.Arbitrary<Node> = fc.oneof(
  fc.record({
    kind: fc.constant("object" as const),
    prototype: fc.constantFrom("plain", "plain", "plain", "none", "class", "tagged"),
    entries,
  }),
  fc.record({
    kind: fc.constant("array" as const),
    items: fc.array(fc.option(slot, { freq: 9 }), { maxLength: 8 }),
    named,
    hasNamed: fc.nat(3).map((n) => n === 0),
    tail: fc.constantFrom(0, 0, 0, 0, 1, 60),
  }),
  fc.record({
    kind: fc.constant("long array" as const),
    length: fc.integer({ min: 60, max: 300 }),
    item: slot,
    hasHole: fc.boolean(),
    named,
  }),
  fc.record({
    kind: fc.constant("sparse array" as const),
    length: fc.constantFrom(1000, 1025, 100_000),
    indices: fc.array(fc.nat(999), { maxLength: 3 }),
    item: slot,
  }),
  fc.record({
    kind: fc.constant("map" as const),
    entries: fc.array(fc.tuple(slot, slot), { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant("set" as const), items: fc.array(slot, { maxLength: 5 }) }),
  fc.record({
    kind: fc.constant("date" as const),
    time: fc.oneof(
      fc.integer({ min: -8.64e15, max: 8.64e15 }),
      fc.integer({ min: 0, max: 2e12 }),
      fc.constantFrom(NaN, 0, -1, 8.64e15, -8.64e15, -62_135_596_800_001, 253_402_300_800_000),
    ),
  }),
  fc.record({
    kind: fc.constant("regexp" as const),
    source: fc.constantFrom("", "a/b", "[\\/]", "\n", "(?<n>ü)\\k<n>", "\ud83d\ude00", "^(a+)+$"),
    flags: fc.constantFrom("", "g", "dgimsuy", "v", "y"),
  }),
  fc.record({
    kind: fc.constant("error" as const),
    type: fc.constantFrom(...Object.keys(ERRORS)),
    name: fc.option(fc.constantFrom(...names), { freq: 3, nil: undefined }),
    ...errorParts,
  }),
  fc.record({ kind: fc.constant("aggregate" as const), error: slot, ...errorParts }),
  fc.record({
    kind: fc.constant("dom exception" as const),
    message: fc.string(),
    name: fc.constantFrom("AbortError", "DataCloneError", "Error", "Own", ""),
  }),
  fc.record({
    kind: fc.constant("boxed" as const),
    primitive: fc.oneof(fc.double(), fc.string(), fc.boolean(), fc.bigInt()),
  }),
  fc.record({
    kind: fc.constant("buffer" as const),
    bytes,
    room: fc.option(fc.nat(20), { freq: 2 }),
  }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("view" as const),
      type: fc.constantFrom(...Object.keys(VIEWS)),
      buffer: fc.nat(3),
      start: fc.constantFrom(0, 0, 1, 2, 3),
      size: fc.constantFrom(-1, -1, 0, 1, 2, 40),
    }),
  },
);

/** Any value of the wire format. */
export const graphs: fc.Arbitrary<Graph> = fc.record({
  nodes: fc.array(node, { minLength: 1, maxLength: 14 }),
  isList: fc.boolean(),
});
