import fc from "fast-check";

/** A property's key. */
export type Key = string;

const LONE_SURROGATES = ["\ud800", "\udfff", "a\ud83dü", "\ude00\ud83d"];

/** Lengths at which the codec changes how it writes or reads a text. */
const TEXT_LIMITS = [11, 12, 13, 23, 24, 31, 32, 33, 47, 48, 255, 256, 1023, 1024, 1025];

const texts: fc.Arbitrary<string> = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.constantFrom(...LONE_SURROGATES, "\ufeffa", "\ufffd", "\0"),
  fc.tuple(fc.constantFrom("a", "ü", "ह", "😀"), fc.constantFrom(...TEXT_LIMITS))
    .map(([unit, length]) => unit.repeat(Math.ceil(length / unit.length))),
);

const numbers: fc.Arbitrary<number> = fc.oneof(
  fc.double(),
  fc.float(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 23, 24, 255, 256, 65_535, 65_536, -24, -25),
  fc.constantFrom(2 ** 31, -(2 ** 31), 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, -(2 ** 53)),
  fc.constantFrom(5e-324, Number.MAX_VALUE, 65_504, 2 ** -24, 16_777_217, 1.1),
);

const bigints: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt(),
  fc.constantFrom(0n, -1n, 255n, -256n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 64n), 3n ** 500n),
);

/** Every supported primitive. */
export const primitives: fc.Arbitrary<unknown> = fc.oneof(
  texts,
  numbers,
  bigints,
  fc.constantFrom(null, undefined, true, false),
);

/** Keys of properties, including those that are special to a prototype, an array or an engine. */
export const keys: fc.Arbitrary<Key> = fc.oneof(
  texts,
  fc.string({ minLength: 1, maxLength: 3 }),
  fc.constantFrom("__proto__", "constructor", "toString", "hasOwnProperty", "then", "toJSON"),
  fc.constantFrom("", "0", "7", "1000", "-1", "01", "1.5", "4294967294", "4294967295", "1e3"),
);
