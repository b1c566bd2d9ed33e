/** Examples of the wire format, which must never change: messages of today must be readable in future. */

/** The description of a value, how it is made, and its bytes in hexadecimal digits; spaces are ignored. */
export type Vector = readonly [what: string, make: () => unknown, digits: string];

/** An Error whose stack is independent of this file. */
function error(
  type: new (...args: never[]) => Error,
  message?: string,
  properties: Record<string, unknown> = {},
): Error {
  const error = Reflect.construct(
    type,
    type === AggregateError as unknown ? [[], message] : [message],
  );
  for (const [key, value] of Object.entries({ stack: "at a.ts", ...properties })) {
    Object.defineProperty(error, key, { value, writable: true, configurable: true });
  }
  return error;
}

function sharedViews(): unknown {
  const bytes = Uint8Array.of(1, 2);
  return [bytes, new Int8Array(bytes.buffer, 1), bytes.buffer];
}

function shared(object: object): unknown {
  return [object, object];
}

function cycle(): unknown {
  const object: { a?: unknown } = {};
  object.a = object;
  return object;
}

function crossed(): unknown {
  const [a, b] = [[], {}];
  return [a, b, b, a];
}

function mapInItself(): unknown {
  const map = new Map<unknown, unknown>();
  return map.set(map, map);
}

function errorInItself(): unknown {
  const itself = error(Error, "m", { cause: 1 });
  itself.cause = itself;
  return itself;
}

/** Every row of the format's table: written and read in this form. */
export const VECTORS: readonly Vector[] = [
  // simple values
  ["null", () => null, "f6"],
  ["undefined", () => undefined, "f7"],
  ["true", () => true, "f5"],
  ["false", () => false, "f4"],

  // integers
  ["0", () => 0, "00"],
  ["23", () => 23, "17"],
  ["24", () => 24, "1818"],
  ["256", () => 256, "190100"],
  ["65536", () => 65536, "1a00010000"],
  ["2^32", () => 2 ** 32, "1b0000000100000000"],
  ["2^53-1", () => 2 ** 53 - 1, "1b001fffffffffffff"],
  ["-1", () => -1, "20"],
  ["-25", () => -25, "3818"],
  ["-(2^53-1)", () => 1 - 2 ** 53, "3b001ffffffffffffe"],

  // floats
  ["-0", () => -0, "f98000"],
  ["NaN", () => NaN, "f97e00"],
  ["Infinity", () => Infinity, "f97c00"],
  ["-Infinity", () => -Infinity, "f9fc00"],
  ["a single float", () => 1.5, "fa3fc00000"],
  ["2^53", () => 2 ** 53, "fa5a000000"],
  ["a double float", () => 1.1, "fb3ff199999999999a"],
  ["the smallest", () => 5e-324, "fb0000000000000001"],

  // BigInts
  ["0n", () => 0n, "c2 40"],
  ["5n", () => 5n, "c2 4105"],
  ["-1n", () => -1n, "c3 40"],
  ["2^64", () => 2n ** 64n, "c2 49010000000000000000"],
  ["-2^64-1", () => -(2n ** 64n) - 1n, "c3 49010000000000000000"],

  // texts
  ["empty", () => "", "60"],
  ["ASCII", () => "foo", "63666f6f"],
  ["24 bytes", () => "a".repeat(24), "7818616161616161616161616161616161616161616161616161"],
  ["other scripts", () => "ü水😀", "69c3bce6b0b4f09f9880"],
  ["a byte order mark", () => "\ufeff", "63efbbbf"],
  ["a lone surrogate", () => "a\ud800", "d90111 4461eda080"],

  // dates
  ["the epoch", () => new Date(0), "c1 00"],
  ["whole seconds", () => new Date(1e12), "c1 1a3b9aca00"],
  ["milliseconds", () => new Date(1500), "c1 fa3fc00000"],
  ["before the epoch", () => new Date(-1), "c1 fbbf50624dd2f1a9fc"],
  ["the end of the year 9999", () => new Date(253402300799000), "c1 1b0000003afff4417f"],
  ["before the year 1", () => new Date(-62135596800001), "d81b826444617465 3b00003883122cd800"],
  ["the last of all", () => new Date(8.64e15), "d81b826444617465 1b001eb208c2dc0000"],
  ["invalid", () => new Date(NaN), "d81b826444617465 f97e00"],

  // regular expressions
  ["without flags", () => /a/, "d9524a 82 6161 60"],
  ["with flags", () => new RegExp("[ü]", "giy"), "d9524a 82 645bc3bc5d 63676979"],
  ["empty", () => new RegExp(""), "d9524a 82 64283f3a29 60"],

  // objects
  ["empty", () => ({}), "a0"],
  ["in the order of the keys", () => ({ b: 1, a: { "": null } }), "a2 616201 6161 a160f6"],
  ["__proto__", () => JSON.parse('{"__proto__":{"a":1}}'), "a1 695f5f70726f746f5f5f a1616101"],
  ["a key with a lone surrogate", () => ({ "\udfff": 1 }), "a1 d9011143edbfbf 01"],
  ["a class instance", () =>
    new (class A {
      a = 1;
    })(), "a1616101"],

  // arrays
  ["empty", () => [], "80"],
  ["of 24", () => new Array(24).fill(0), "9818000000000000000000000000000000000000000000000000"],
  ["nested", () => [[undefined], [null]], "82 81f7 81f6"],
  ["with holes", () => [1, , 3], "d81b83654172726179 03 a2 613001 613203"],
  [
    "with named properties",
    () => Object.assign([1], { a: 2 }),
    "d81b83654172726179 01 a2 613001 616102",
  ],
  ["of holes only", () => new Array(5), "d81b83654172726179 05 a0"],

  // collections
  ["an empty Map", () => new Map(), "d90103 a0"],
  ["a Map", () => new Map<unknown, unknown>([["a", 1], [{}, []]]), "d90103 a2 616101 a080"],
  ["a Map's -0 is 0", () => new Map([[-0, -0]]), "d90103 a1 00f98000"],
  ["an empty Set", () => new Set(), "d90102 80"],
  ["a Set", () => new Set([1, "a"]), "d90102 82 016161"],

  // bytes and views
  ["an empty Uint8Array", () => new Uint8Array(), "40"],
  ["a Uint8Array", () => Uint8Array.of(1, 2, 255), "430102ff"],
  ["Uint8ClampedArray", () => Uint8ClampedArray.of(1, 255), "d844 4201ff"],
  ["Uint16Array", () => Uint16Array.of(1, 256), "d845 4401000001"],
  ["Uint32Array", () => Uint32Array.of(1), "d846 4401000000"],
  ["BigUint64Array", () => BigUint64Array.of(1n), "d847 480100000000000000"],
  ["Int8Array", () => Int8Array.of(-1), "d848 41ff"],
  ["Int16Array", () => Int16Array.of(-2), "d84d 42feff"],
  ["Int32Array", () => Int32Array.of(-2), "d84e 44feffffff"],
  ["BigInt64Array", () => BigInt64Array.of(-2n), "d84f 48feffffffffffffff"],
  ["Float32Array", () => Float32Array.of(1.5), "d855 440000c03f"],
  ["Float64Array", () => Float64Array.of(1.5), "d856 48000000000000f83f"],
  [
    "DataView",
    () => new DataView(Uint8Array.of(1, 2).buffer),
    "d81b84684461746156696577 d81b826b4172726179427566666572 420102 00 02",
  ],
  ["ArrayBuffer", () => Uint8Array.of(1, 2).buffer, "d81b826b4172726179427566666572 420102"],
  [
    "a resizable ArrayBuffer",
    () => new ArrayBuffer(1, { maxByteLength: 300 }),
    "d81b836b4172726179427566666572 4100 19012c",
  ],
  [
    "a view that tracks the length",
    () => new Uint8Array(new ArrayBuffer(2, { maxByteLength: 4 }), 1),
    "d81b836a55696e74384172726179 d81b836b4172726179427566666572 420000 04 01",
  ],
  [
    "a view of a fixed length",
    () => new Int16Array(new ArrayBuffer(4, { maxByteLength: 8 }), 0, 2),
    "d81b846a496e7431364172726179 d81b836b4172726179427566666572 4400000000 08 00 02",
  ],
  [
    "a part of a resizable buffer",
    () => new Int16Array(new ArrayBuffer(4, { maxByteLength: 8 }), 2, 1),
    "d84d 420000",
  ],
  ["a part of a buffer", () => Uint8Array.of(1, 2, 3).subarray(1, 2), "4102"],
  [
    "views that share a buffer",
    () => sharedViews(),
    "83 d81b846a55696e74384172726179 d81c d81b826b4172726179427566666572 420102 00 02 d81b8469496e74384172726179 d81d00 01 01 d81d00",
  ],

  // errors
  ["Error", () => error(Error, "m"), "d81b83654572726f72 616d a1 65737461636b 67617420612e7473"],
  [
    "without a message",
    () => error(TypeError),
    "d81b8369547970654572726f72 f7 a1 65737461636b 67617420612e7473",
  ],
  [
    "EvalError",
    () => error(EvalError, ""),
    "d81b83694576616c4572726f72 60 a1 65737461636b 67617420612e7473",
  ],
  [
    "RangeError",
    () => error(RangeError, ""),
    "d81b836a52616e67654572726f72 60 a1 65737461636b 67617420612e7473",
  ],
  [
    "ReferenceError",
    () => error(ReferenceError, ""),
    "d81b836e5265666572656e63654572726f72 60 a1 65737461636b 67617420612e7473",
  ],
  [
    "SyntaxError",
    () => error(SyntaxError, ""),
    "d81b836b53796e7461784572726f72 60 a1 65737461636b 67617420612e7473",
  ],
  [
    "URIError",
    () => error(URIError, ""),
    "d81b83685552494572726f72 60 a1 65737461636b 67617420612e7473",
  ],
  [
    "with a cause",
    () => error(Error, "m", { cause: [1] }),
    "d81b83654572726f72 616d a2 65737461636b 67617420612e7473 656361757365 8101",
  ],
  [
    "with an undefined cause",
    () => error(Error, "m", { cause: undefined }),
    "d81b83654572726f72 616d a2 65737461636b 67617420612e7473 656361757365 f7",
  ],
  [
    "AggregateError",
    () => error(AggregateError, "m", { errors: [1] }),
    "d81b836e4167677265676174654572726f72 616d a2 65737461636b 67617420612e7473 666572726f7273 8101",
  ],
  [
    "DOMException",
    () => new DOMException("m", "AbortError"),
    "d81b836c444f4d457863657074696f6e 616d 6a41626f72744572726f72",
  ],

  // objects of primitives
  ["Number", () => Object(-0), "d81b82664e756d626572 f98000"],
  ["String", () => Object("a"), "d81b8266537472696e67 6161"],
  ["Boolean", () => Object(false), "d81b8267426f6f6c65616e f4"],
  ["BigInt", () => Object(5n), "d81b8266426967496e74 c24105"],

  // identity
  ["a shared object", () => shared({}), "82 d81c a0 d81d00"],
  ["a shared Date", () => shared(new Date(0)), "82 d81c c100 d81d00"],
  ["a cycle", () => cycle(), "d81c a1 6161 d81d00"],
  ["two shared objects", () => crossed(), "84 d81c 80 d81c a0 d81d01 d81d00"],
  ["a Map in itself", () => mapInItself(), "d81c d90103 a1 d81d00 d81d00"],
  [
    "an Error that is its own cause",
    () => errorInItself(),
    "d81c d81b83654572726f72 616d a2 65737461636b 67617420612e7473 656361757365 d81d00",
  ],
];

/** Written and read in this form if the runtime has a Float16Array. */
export const FLOAT16_VECTOR: Vector = [
  "Float16Array",
  () => new Float16Array([1.5]),
  "d854 42003e",
];

/** The decoded values of those that lose their class or their buffer. */
export const ARRIVES: ReadonlyMap<string, () => unknown> = new Map<string, () => unknown>([
  ["a class instance", () => ({ a: 1 })],
  ["a part of a buffer", () => Uint8Array.of(2)],
  ["a part of a resizable buffer", () => new Int16Array(1)],
]);

/** Forms that other writers may send: readable, but written differently. */
export const ACCEPTED: readonly Vector[] = [
  ["an integer in more bytes than needed", () => 1, "1b0000000000000001"],
  ["an integer over 2^53", () => 2n ** 53n + 1n, "1b0020000000000001"],
  ["the most negative integer", () => -(2n ** 64n), "3bffffffffffffffff"],
  ["-2^53", () => -(2 ** 53), "3b001fffffffffffff"],
  ["a half float", () => 1.5, "f93e00"],
  ["a double that is an integer", () => 5, "fb4014000000000000"],
  ["a NaN of another kind", () => NaN, "fb7ff8000000000001"],
  ["a BigInt with leading zeros", () => 1n, "c2 43000001"],
  ["a BigInt in chunks", () => 256n, "c2 5f41014100ff"],
  ["a text in chunks", () => "ffü", "7f6166606366c3bcff"],
  ["bytes in chunks", () => Uint8Array.of(1, 2, 3), "5f420102404103ff"],
  ["an array of indefinite length", () => [1, []], "9f019fffff"],
  ["an object of indefinite length", () => ({ a: 1, b: false }), "bf6161016162f4ff"],
  ["a Map of indefinite length", () => new Map([[1, 2]]), "d90103 bf0102ff"],
  ["a Set of indefinite length", () => new Set([1, 2]), "d90102 9f0102ff"],
  ["a generic object of indefinite length", () => new Date(0), "d81b 9f 6444617465 00 ff"],
  ["a repeated key", () => ({ a: 2 }), "a2 616101 616102"],
  ["a repeated Map key", () => new Map([[1, 3]]), "d90103 a2 0102 0103"],
  ["a repeated Set member", () => new Set([1]), "d90102 82 0101"],
  ["a Uint8Array with its tag", () => Uint8Array.of(1, 2), "d840 420102"],
  ["Uint16Array, big-endian", () => Uint16Array.of(1, 256), "d841 4400010100"],
  ["Uint32Array, big-endian", () => Uint32Array.of(1), "d842 4400000001"],
  ["BigUint64Array, big-endian", () => BigUint64Array.of(1n), "d843 480000000000000001"],
  ["Int16Array, big-endian", () => Int16Array.of(-2), "d849 42fffe"],
  ["Int32Array, big-endian", () => Int32Array.of(-2), "d84a 44fffffffe"],
  ["BigInt64Array, big-endian", () => BigInt64Array.of(-2n), "d84b 48fffffffffffffffe"],
  ["Float32Array, big-endian", () => Float32Array.of(1.5), "d851 443fc00000"],
  ["Float64Array, big-endian", () => Float64Array.of(1.5), "d852 483ff8000000000000"],
  [
    "a date as text",
    () => new Date(1363896240000),
    "c0 74323031332d30332d32315432303a30343a30305a",
  ],
  [
    "a date as text with a zone",
    () => new Date(1363896240500),
    "c0 781b323031332d30332d32315432323a30343a30302e352b30323a3030",
  ],
  ["a date as a double", () => new Date(1363896193920), "c1 fb41d452d9e07ae148"],
  ["a regular expression without flags", () => /a/, "d9524a 81 6161"],
  ["self-described CBOR", () => ({}), "d9d9f7 a0"],
  ["a shared object that is used once", () => [], "d81c 80"],
  ["a shared text", () => ["a", "a"], "82 d81c 6161 d81d00"],
];
