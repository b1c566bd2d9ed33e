import assert from "node:assert/strict";
import { decode, encode } from "../../src/encoding/cbor/mod.ts";
import * as json from "../../src/encoding/json/mod.ts";

/** How often each property was read, by its path. */
type Reads = Map<string, number>;

/** Wraps a value in proxies that count each read of its parts, at any depth. */
function watched(value: unknown, reads: Reads, path = "value"): unknown {
  const isPlain = Array.isArray(value) || Object.getPrototypeOf(value ?? 0) === Object.prototype;
  if (!isPlain) return value;
  return new Proxy(value as object, {
    get(target, key) {
      const part = `${path}.${String(key)}`;
      const isOwn = key !== "length" && Object.hasOwn(target, key);
      if (isOwn) reads.set(part, 1 + (reads.get(part) ?? 0));
      const found = Reflect.get(target, key);
      return isOwn ? watched(found, reads, part) : found;
    },
  });
}

/** Copies a value with a counting getter in place of each property. */
function gotten(value: unknown, reads: Reads, path = "value"): unknown {
  const isPlain = Array.isArray(value) || Object.getPrototypeOf(value ?? 0) === Object.prototype;
  if (!isPlain) return value;
  const copy = Array.isArray(value) ? [] : {};
  if (Array.isArray(value)) (copy as unknown[]).length = value.length;
  for (const key of Object.keys(value as object)) {
    const part = `${path}.${key}`;
    const get = () => {
      reads.set(part, 1 + (reads.get(part) ?? 0));
      return gotten((value as Record<string, unknown>)[key], reads, part);
    };
    Object.defineProperty(copy, key, { get, enumerable: true, configurable: true });
  }
  return copy;
}

const buffer = Uint8Array.from({ length: 40 }, (_, i) => i).buffer;
const large = new Uint8Array(100_000).fill(7).buffer;
const resizable = new ArrayBuffer(8, { maxByteLength: 16 });
const long = Array.from({ length: 100 }, (_, i) => i);

const plain: Record<string, unknown> = {
  "an object": { a: 1, b: { c: "x", 7: true } },
  "an array": [1, [2, { a: 3 }], null],
  "an array of 64": long.slice(0, 64),
  "an array of 65": long.slice(0, 65),
  "a long array of objects": long.map((n) => ({ n })),
};

const beyondJson: Record<string, unknown> = {
  "an array with a hole": [1, , { a: 2 }],
  "an array with a hole at its end": Object.assign([1, 2], { length: 3 }),
  "a long array with a hole": Object.assign(long.slice(), { length: 101 }),
  "a longer array with holes": Object.assign([1, 2], { length: 70_000 }),
  "a long array with undefined": [...long, undefined, { a: 1 }],
  "an array with a name": Object.assign([1, 2], { name: { a: 1 } }),
  "views that share a buffer": {
    before: { a: 1 },
    views: [new Uint8Array(buffer), new Int16Array(buffer, 2, 3), new DataView(buffer)],
    after: { b: 2 },
  },
  "a view before its buffer": { view: new Uint8Array(buffer, 1, 2), buffer, after: { a: 1 } },
  "a buffer before its view": { buffer, view: new Uint8Array(buffer, 1, 2), after: { a: 1 } },
  "large views of one buffer": {
    part: new Uint8Array(large, 10, 50_000),
    middle: { a: 1 },
    whole: new Uint8Array(large),
    view: new DataView(large, 5),
    large,
  },
  "views of a resizable buffer": {
    part: new Uint8Array(resizable, 1, 2),
    tracking: new Uint8Array(resizable),
    after: { a: 1 },
  },
};

/** Replaces views and buffers by their contents and the number of their buffer, so that sharing is compared, too. */
function shape(value: unknown): unknown {
  const buffers: ArrayBufferLike[] = [];
  const shaped = (value: unknown): unknown => {
    if (value instanceof ArrayBuffer) {
      if (!buffers.includes(value)) buffers.push(value);
      return ["buffer", buffers.indexOf(value), [...new Uint8Array(value)], value.maxByteLength];
    }
    if (ArrayBuffer.isView(value)) {
      const { byteOffset, byteLength } = value;
      return [value.constructor.name, shaped(value.buffer), byteOffset, byteLength];
    }
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.keys(value).map((key) => [
        key,
        shaped((value as Record<string, unknown>)[key]),
      ]),
    );
  };
  return shaped(value);
}

for (const [name, watch] of [["getter", gotten], ["property of a proxy", watched]] as const) {
  for (const [what, value] of Object.entries({ ...plain, ...beyondJson })) {
    Deno.test(`CBOR: each ${name} is read once, in ${what}`, () => {
      const reads: Reads = new Map();
      const bytes = encode(watch(value, reads));
      assert.deepEqual([...reads].filter(([, count]) => count !== 1), []);
      assert.ok(reads.size >= Object.keys(value as object).length);
      assert.deepEqual(bytes, encode(value));
      assert.deepEqual(shape(decode(bytes)), shape(structuredClone(value)));
    });
  }
  for (const [what, value] of Object.entries(plain)) {
    Deno.test(`JSON: each ${name} is read once, in ${what}`, () => {
      const reads: Reads = new Map();
      const bytes = json.encode(watch(value, reads));
      assert.deepEqual([...reads].filter(([, count]) => count !== 1), []);
      assert.ok(reads.size >= Object.keys(value as object).length);
      assert.deepEqual(bytes, json.encode(value));
    });
  }
}

Deno.test("JSON: a getter toJSON is called once, whether or not it returns a function", () => {
  for (const toJSON of [() => "converted", "no function", 5]) {
    let reads = 0;
    const value = {
      get toJSON() {
        reads++;
        return toJSON;
      },
      a: 1,
    };
    assert.equal(new TextDecoder().decode(json.encode([value])), JSON.stringify([value]));
    reads = 0;
    json.encode({ value });
    assert.equal(reads, 1);
  }
});

Deno.test("an extension is called once for each object, also beside views that share a buffer", () => {
  class Anything {}
  let asked = 0;
  const value = [new Anything(), new Uint8Array(buffer), new Uint8Array(buffer), new Anything()];
  const extension = (object: object) => {
    if (!(object instanceof Anything)) return undefined;
    asked++;
    return ["Anything"] as const;
  };
  encode(value, { extension });
  assert.equal(asked, 2);
});

Deno.test("views that share a buffer may be nested as deep as other values", () => {
  for (const views of [[new Uint8Array(buffer), new DataView(buffer)], [new DataView(buffer)]]) {
    let value: unknown = views;
    let deepest = 0;
    for (let depth = 1; depth < 1005; depth++) {
      try {
        decode(encode(value));
        deepest = depth;
      } catch (error) {
        assert.equal((error as Error).name, "DataCloneError", String(error));
      }
      value = [value];
    }
    assert.ok(deepest >= 997, String(deepest));
  }
});

Deno.test("a buffer that a getter detaches while it is encoded is rejected", () => {
  for (const [first, second] of [[100_000, 0], [100_000, 10], [10, 10]] as const) {
    const { buffer } = new Uint8Array(first);
    const value = {
      whole: new Uint8Array(buffer),
      ...second > 0 ? { part: new Uint8Array(buffer, 0, second) } : {},
      get after() {
        structuredClone(buffer, { transfer: [buffer] });
        return 1;
      },
    };
    assert.throws(() => encode(value), { name: "DataCloneError" });
  }
});
