import assert from "node:assert/strict";
import { bytes, concat, generic, head, text } from "./hex.ts";
import { assertUnpolluted, attempt, refuse } from "./hostile.ts";

/** Bytes that must be rejected quickly. */
const REFUSED: [what: string, ...digits: string[]][] = [
  ["invalid UTF-8", "61ff", "62c328", "63e28028", "64f0288cbc", "62c080", "64f4908080", "61c3"],
  ["WTF-8 in a text", "63eda080", "a163eda080 00", "7f63eda080ff", "66eda0bdedb880"],
  ["invalid WTF-8", "d90111 41ff", "d90111 42c080", "d90111 44f4908080", "d90111 43e08080"],
  ["chunks of another kind", "5f6161ff", "7f4161ff", "5f5f4100ffff", "7f7f6161ffff", "5f00ff"],
  [
    "a break in a wrong place",
    "ff",
    "81ff",
    "a1ff",
    "a160ff",
    "d81cff",
    "c1ff",
    "bf60ff",
    "82 ff ff",
  ],
  [
    "simple values that mean nothing",
    "e0",
    "f0",
    "f3",
    "f8",
    "f818",
    "f820",
    "f8ff",
    "fc",
    "fd",
    "fe",
  ],
  ["unknown tags", "c400", "d81a00", "d8ff00", "d9ffff00", "dbffffffffffffffff00", "da6368616e00"],
  ["tags of floats of 128 bits", "d853 5000000000000000000000000000000000", "d857 40"],
  [
    "typed arrays that end inside an element",
    "d845 4100",
    "d856 4700000000000000",
    "d841 43000000",
  ],
  ["typed arrays of something else", "d845 00", "d845 80", "d845 6161", "d845 d84041 00"],
  [
    "dates out of range",
    "c1 1b001fffffffffffff",
    "c1 fb7fefffffffffffff",
    "c1 f97c00",
    "c1 f97e00",
    `${generic("Date", 1)} 1b001eb208c2dc0001`,
    `${generic("Date", 1)} f97c00`,
  ],
  [
    "invalid dates",
    "c1 60",
    "c1 80",
    "c0 00",
    `c0 ${text("yesterday")}`,
    `c0 ${text("2013-13-41T99:99:99Z")}`,
    `${generic("Date", 1)} 6130`,
    generic("Date", 0),
    `${generic("Date", 2)} 00 00`,
  ],
  [
    "invalid BigInts",
    "c2 00",
    "c3 6161",
    "c2 c2 4101",
    `c2 ${head(2, 65_537)}${"01".repeat(65_537)}`,
    `c3 ${head(2, 1_000_000)}${"ff".repeat(1_000_000)}`,
  ],
  [
    "regular expressions that are not valid",
    "d9524a 81 6128",
    "d9524a 82 6161 6178",
    "d9524a 82 6161 626767",
    "d9524a 82 6161 627576",
    "d9524a 80",
    "d9524a 83 606060",
    "d9524a 6161",
    "d9524a 81 00",
  ],
  [
    "arrays with invalid lengths",
    `${generic("Array", 2)} 20 a0`,
    `${generic("Array", 2)} 1b0000000100000000 a0`,
    `${generic("Array", 2)} fa3fc00000 a0`,
    `${generic("Array", 2)} f97e00 a0`,
    `${generic("Array", 2)} 6131 a0`,
    generic("Array", 0),
    `${generic("Array", 1)} 00`,
  ],
  [
    "arrays with elements behind their end",
    `${generic("Array", 2)} 00 a1 6130 00`,
    `${generic("Array", 2)} 05 a1 6135 00`,
    `${generic("Array", 2)} 01 a1 ${text("4294967294")} 00`,
  ],
  [
    "arrays that set their own length",
    `${generic("Array", 2)} 00 a1 ${text("length")} 1affffffff`,
    `${generic("Array", 2)} 00 a1 ${text("length")} 00`,
  ],
  [
    "resizable buffers with a huge maximum",
    `${generic("ArrayBuffer", 2)} 40 1a40000000`,
    `${generic("ArrayBuffer", 2)} 40 1b001fffffffffffff`,
    `${generic("ArrayBuffer", 2)} 40 1b0000010000000000`,
  ],
  [
    "resizable buffers that are too long, or have no length",
    `${generic("ArrayBuffer", 2)} 4100 00`,
    `${generic("ArrayBuffer", 2)} 40 20`,
    `${generic("ArrayBuffer", 2)} 40 f97e00`,
    `${generic("ArrayBuffer", 2)} 40 6130`,
    `${generic("ArrayBuffer", 3)} 40 00 00`,
  ],
  [
    "views beyond their buffer",
    ...[
      "00 05",
      "05 00",
      "04 01",
      "20 00",
      "01 20",
      "1b001fffffffffffff 01",
      "f97e00 6130",
      "f7 00",
    ].map((rest) => `${generic("DataView", 3)} ${generic("ArrayBuffer", 1)} 4400000000 ${rest}`),
  ],
  [
    "views that are not aligned",
    `${generic("Int16Array", 3)} ${generic("ArrayBuffer", 1)} 4400000000 01 01`,
    `${generic("Float64Array", 3)} ${generic("ArrayBuffer", 1)} 480000000000000000 04 00`,
  ],
  [
    "views without a buffer",
    `${generic("DataView", 3)} 40 00 00`,
    `${generic("DataView", 3)} a0 00 00`,
    `${generic("DataView", 3)} f6 00 00`,
  ],
  [
    "boxed values of another type",
    `${generic("Number", 1)} 6131`,
    `${generic("String", 1)} 00`,
    `${generic("Boolean", 1)} f6`,
    `${generic("BigInt", 1)} 00`,
    `${generic("Number", 1)} 80`,
    `${generic("Symbol", 1)} 6161`,
  ],
  [
    "errors with odd parts",
    `${generic("Error", 2)} 00 a0`,
    `${generic("Error", 2)} 60 80`,
    `${generic("Error", 2)} 60 a1 ${text("stack")} 00`,
    `${generic("Error", 2)} 60 a1 ${text("name")} 60`,
    `${generic("Error", 3)} 60 a0 00`,
  ],
  [
    "DOMExceptions with odd parts",
    `${generic("DOMException", 2)} 00 60`,
    `${generic("DOMException", 2)} 60 00`,
    `${generic("DOMException", 1)} 60`,
  ],
  [
    "unknown generic objects",
    generic("Nothing", 0),
    generic("", 0),
    `${generic("Object", 1)} a0`,
    `${generic("Function", 1)} 60`,
    `${generic("Promise", 0)}`,
    `${generic("Map", 1)} a0`,
    `${generic("SharedArrayBuffer", 1)} 40`,
  ],
  [
    "generic objects without a type",
    "d81b 80",
    "d81b a0",
    "d81b 81 00",
    "d81b 60",
    "d81b 81 4161",
    "d81b 81 81 6161",
    "d81b 9fff",
  ],
  [
    "keys that are not texts",
    "a1 00 00",
    "a1 80 00",
    "a1 4161 00",
    "a1 f6 00",
    "a1 c2 4101 00",
    "a1 d81c 6161 00",
  ],
  [
    "Sets and Maps of something else",
    "d90102 00",
    "d90102 a0",
    "d90102 4100",
    "d90103 80",
    "d90103 00",
    "d90103 d90103 a0",
  ],
  ["nothing", ""],
];

for (const [what, ...messages] of REFUSED) {
  Deno.test(`rejected: ${what}`, () => {
    for (const digits of messages) refuse(bytes(digits));
    for (const digits of messages) refuse(concat("82 f6", bytes(digits)));
    assertUnpolluted();
  });
}

/** Unusual but correct. */
const ODD: [what: string, ...digits: string[]][] = [
  [
    "a sparse array of length 2^32-1",
    `${generic("Array", 2)} 1affffffff a0`,
    `${generic("Array", 2)} 1affffffff a2 6130 00 ${text("4294967294")} 00`,
  ],
  [
    "catastrophic regular expressions",
    `d9524a 81 ${text("^(a+)+$")}`,
    `d9524a 81 ${text("(x+x+)+y")}`,
    `d9524a 81 ${text("(?:".repeat(50) + ")*".repeat(50))}`,
  ],
  [
    "NaNs of all kinds",
    "f97e01",
    "f97dff",
    "f9ffff",
    "fa7fc00001",
    "faffffffff",
    "fb7ff0000000000001",
    "fbffffffffffffffff",
  ],
  ["NaNs in typed arrays", "d855 44010080ff", "d856 48ffffffffffffffff", "d851 44ffc00001"],
  ["a BigInt of 64 KiB", `c2 ${head(2, 65_536)}${"ff".repeat(65_536)}`],
  ["a resizable buffer of 1 MiB at most", `${generic("ArrayBuffer", 2)} 40 1a00100000`],
  ["nothing in chunks", "5fff", "7fff", "9fff", "bfff", "5f40ff", "7f60ff"],
  ["an empty text of WTF-8, and surrogates that are a pair", "d90111 40", "d90111 46eda0bdedb880"],
  ["numbers as keys", "a2 6131 00 6130 00", `a1 ${text("4294967295")} 00`, `a1 ${text("1000")} 00`],
  ["a cycle of Maps as keys", "d81c d90103 a1 d81c d90103 a1 d81d00 d81d01 d81d00"],
];

for (const [what, ...messages] of ODD) {
  Deno.test(`unusual but correct: ${what}`, () => {
    for (const digits of messages) assert.equal(attempt(bytes(digits)), undefined, digits);
    assertUnpolluted();
  });
}
