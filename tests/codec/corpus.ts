import { ARRIVES, VECTORS } from "./vectors.ts";

const LASTING = VECTORS.filter(([what]) => !ARRIVES.has(what));

/**
 * Values of every supported type, alone and nested in each other: their description, and how they are made. Each is
 * decoded as an equivalent value, by `assertEquivalent`, on every runtime.
 */
export const CORPUS: readonly (readonly [what: string, make: () => unknown])[] = [
  ...LASTING.map(([what, make]) => [what, make] as const),
  ["a record", () => ({ id: 1, name: "foo", tags: ["a", "b"], ok: true, at: new Date(1e12) })],
  ["all types with a tag", everything],
  ["all of them, shared", () => shareAll(everything() as Record<string, unknown>)],
  ["all of them as keys and members", () => asKeys(everything() as Record<string, unknown>)],
  ["causes in a cycle", causes],
  ["several views of one buffer", views],
  ["references before and after their shared objects", manyReferences],
  ["a tree of 1000 levels", () => nested(1000)],
  ["a long text", () => "a".repeat(70_000) + "ü水😀".repeat(20_000)],
  ["texts of all lengths", () => Array.from({ length: 300 }, (_, i) => "ü".repeat(i) + "a")],
  ["a large typed array", () => Float64Array.from({ length: 20_000 }, (_, i) => i / 7)],
  ["many keys", () => Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`key ${i}`, i]))],
  ["many numbers as keys", () => Object.fromEntries(Array.from({ length: 300 }, (_, i) => [i, i]))],
  ["many numbers", () => Array.from({ length: 1000 }, (_, i) => i % 3 ? i / 7 : -i * 1e6)],
  ["a large Map", () => new Map(Array.from({ length: 1000 }, (_, i) => [[i], `${i}`]))],
];

function everything(): unknown {
  return Object.fromEntries(LASTING.map(([what, make]) => [what, make()]));
}

function shareAll(values: Record<string, unknown>): unknown {
  return [values, ...Object.values(values).reverse(), { values }];
}

function asKeys(values: Record<string, unknown>): unknown {
  const list = Object.values(values);
  return [new Set(list), new Map(list.map((value) => [value, [value]])), new Set([new Set(list)])];
}

function causes(): unknown {
  const holders: { error?: Error }[] = [{}, {}, {}];
  const errors = [Error, TypeError, RangeError].map((Type, i) =>
    new Type("m", { cause: holders[i] })
  );
  errors.push(new AggregateError(errors, "all"));
  errors.forEach((error, i) => error.stack = `at ${i}`);
  holders.forEach((holder, i) => holder.error = errors[i + 1]!);
  return errors[0];
}

function views(): unknown {
  const fixed = Uint8Array.from({ length: 40 }, (_, i) => i).buffer;
  const resizable = new ArrayBuffer(16, { maxByteLength: 32 });
  return {
    first: new Int16Array(fixed, 8, 4),
    second: new DataView(fixed, 3),
    whole: new Uint8Array(fixed),
    empty: new Float64Array(fixed, 40, 0),
    resizable: [new Uint8Array(resizable, 1), new Int32Array(resizable, 4, 2), resizable],
  };
}

function manyReferences(): unknown {
  const shared = Array.from({ length: 300 }, (_, i) => ({ i }));
  return [shared[299], [...shared], [...shared].reverse(), new Set(shared)];
}

function nested(depth: number): unknown {
  let value: unknown[] = [];
  for (let i = 1; i < depth; i++) value = [value];
  return value;
}
