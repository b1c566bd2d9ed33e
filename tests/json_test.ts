import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { Channel, ChannelConfigError } from "../mod.ts";
import { decode, encode, JsonError, type Members } from "../src/encoding/json/mod.ts";
import { random } from "./conformance/fixture.ts";
import { test } from "./support/test.ts";
import { noPython } from "./support/conditions.ts";
import { cpuTime } from "./support/cpu_time.ts";

const marker = "__channel__";
const utf8 = new TextEncoder();
const textOf = (bytes: Uint8Array) => new TextDecoder("utf-8", { fatal: true }).decode(bytes);
const written = (value: unknown) => textOf(encode(value, { marker }));
const read = (text: string) => decode(utf8.encode(text), { marker, extension: (it) => it });

/** Stands for a channel. */
class Thing {
  readonly #name: string;
  constructor(name: string) {
    this.#name = name;
  }
  static members(object: object): Members | undefined {
    return object instanceof Thing ? { name: object.#name } : undefined;
  }
}

const withThings = (value: unknown) => textOf(encode(value, { marker, extension: Thing.members }));

class Point {
  x = 1;
  y = 2;
  #hidden = 3;
  get sum() {
    return this.x + this.y + this.#hidden;
  }
}

class Money {
  readonly #cents: number;
  constructor(cents: number) {
    this.#cents = cents;
  }
  toJSON() {
    return { cents: this.#cents };
  }
}

class Pairs extends Map<number, number> {
  toJSON() {
    return [...this];
  }
}

const plain: unknown[] = [
  null,
  true,
  false,
  0,
  1,
  -1.5,
  1e21,
  5e-324,
  Number.MAX_VALUE,
  Number.MAX_SAFE_INTEGER,
  2 ** 60,
  "",
  'a"b\\c\n\0\x1f/',
  "é\u2028\u{1f600}",
  "\ud800 alone",
  "x".repeat(100_000),
  [],
  {},
  [[], {}, [null]],
  { a: 1, "": 2, "b c": [true], "é": null, 1: 1, constructor: 3 },
  Array.from({ length: 3000 }, (_, i) => i),
];

Deno.test("json: JSON values are written as JSON.stringify does, and read back", () => {
  for (const value of plain) {
    assert.equal(written(value), JSON.stringify(value));
    assert.deepEqual(read(written(value)), value);
  }
});

Deno.test("json: random values are written as JSON.stringify does, and read back", () => {
  const texts = ["", "a", marker.slice(1), '"', "\u005f", "\\u005f", "\ufeff", "\ufffd", "\udc00"];
  const make = (depth: number): unknown => {
    const size = random(4);
    switch (random(depth > 5 ? 4 : 6)) {
      case 0:
        return texts[random(texts.length)];
      case 1:
        return (Math.random() - 0.5) * 10 ** random(300);
      case 2:
        return random(1000);
      case 3:
        return [null, true, false][random(3)];
      case 4:
        return Array.from({ length: size }, () => make(depth + 1));
      default:
        return Object.fromEntries(
          Array.from({ length: size }, () => [texts[random(texts.length)], make(depth + 1)]),
        );
    }
  };
  for (let i = 0; i < 2000; i++) {
    const value = make(0);
    assert.equal(written(value), JSON.stringify(value));
    assert.deepEqual(read(written(value)), value);
  }
});

Deno.test("json: class instances travel as their own properties, and toJSON is called", () => {
  const shared = { a: 1 };
  const cases: [unknown, unknown][] = [
    [new Point(), { x: 1, y: 2 }],
    [Object.create(null, { a: { value: 1, enumerable: true }, b: { value: 2 } }), { a: 1 }],
    [{ [Symbol("s")]: 1, a: 2 }, { a: 2 }],
    [[shared, shared], [{ a: 1 }, { a: 1 }]],
    [new Money(5), { cents: 5 }],
    [[{ price: new Money(5) }], [{ price: { cents: 5 } }]],
    [{ toJSON: () => "text" }, "text"],
    [{ toJSON: () => null }, null],
    [{ toJSON: () => new Point() }, { x: 1, y: 2 }],
    [{ toJSON: () => ({ toJSON: undefined, a: new Money(1) }).a }, {}], // not called again
    [new URL("amqp://host/"), "amqp://host/"],
    [new Pairs([[1, 2]]), [[1, 2]]],
  ];
  for (const [value, expected] of cases) assert.deepEqual(read(written(value)), expected);

  const keys: string[] = [];
  const item = { toJSON: (key: string) => keys.push(key) };
  assert.equal(written([item, { name: item }, [item]]), '[1,{"name":2},[3]]');
  assert.equal(written(item), "4");
  assert.deepEqual(keys, ["0", "name", "0", ""]);
});

Deno.test("json: a getter is called once, and may delete a later property", () => {
  let calls = 0;
  const value = {
    get a() {
      calls++;
      delete (this as { b?: number }).b;
      return calls;
    },
    b: 1,
    c: 3,
  };
  assert.equal(written(value), '{"a":1,"c":3}');
  const failing = {
    get a(): never {
      throw new RangeError("mine");
    },
  };
  assert.throws(() => written(failing), new RangeError("mine"));
  assert.throws(() => written([{ toJSON: failing.valueOf.bind(null) }]), TypeError);
});

const cycle: { self?: unknown } = {};
cycle.self = { deep: [cycle] };
const convertsToItself = { toJSON: (): unknown => ({ again: convertsToItself }) };

const refused: [what: string, value: unknown, says: RegExp][] = [
  ["undefined", undefined, /^undefined cannot be cloned: .*null/],
  ["undefined as a property", { a: undefined }, /^undefined at a /],
  ["undefined in an array", [1, undefined], /^undefined at \[1\] /],
  ["a hole", { list: [1, , 3] }, /^a hole in an array at list\[1\] /], // deno-lint-ignore no-sparse-arrays
  ["a long hole", new Array(4e9), /hole/],
  ["named properties", { list: Object.assign([1], { x: 1 }) }, /^an array with named .* at list /],
  ["a match", /a/.exec("a"), /^an array with named properties cannot/],
  ["a bigint", { n: [5n] }, /^a bigint at n\[0\] .*text/],
  ["NaN", [0, NaN], /^the number NaN at \[1\] /],
  ["Infinity", { "a b": Infinity }, /^the number Infinity at \["a b"\] /],
  ["-Infinity", -Infinity, /^the number -Infinity cannot/],
  ["-0", [0, -0], /^the number -0 at \[1\] /],
  ["a function", { job: { callbacks: [1, 2, () => 1] } }, /^a function at job\.callbacks\[2\] /],
  ["a symbol", { a: Symbol("x") }, /^a symbol at a /],
  ["a Date", { job: { at: new Date(0) } }, /^a Date object at job\.at .*toISOString\(\)/],
  ["an invalid Date", new Date(NaN), /Date/],
  ["a Map", { m: new Map() }, /^a Map object at m .*Object\.fromEntries/],
  ["a Set", { s: new Set() }, /^a Set object at s .*array/],
  ["a WeakMap", new WeakMap(), /WeakMap/],
  ["a Uint8Array", { bytes: new Uint8Array(1) }, /^a Uint8Array object at bytes .*base64/],
  ["a Buffer", { bytes: Buffer.from("x") }, /Uint8Array object at bytes/],
  ["a Float64Array", new Float64Array(1), /Float64Array/],
  ["a DataView", new DataView(new ArrayBuffer(1)), /DataView/],
  ["an ArrayBuffer", new ArrayBuffer(1), /^an ArrayBuffer/],
  ["a RegExp", /x/, /^a RegExp object .*source/],
  ["an Error", { e: new TypeError("x") }, /^an Error object at e .*message/],
  ["a Promise", Promise.resolve(), /^a Promise object .*; await it$/],
  ["a boxed number", new Number(1), /Number/],
  ["a boxed string", new String("x"), /String/],
  ["a cycle", cycle, /^a cycle.* at self\.deep\[0\] /],
  ["a cycle through toJSON", convertsToItself, /^a cycle.* at again /],
  ["what toJSON returns", { a: { toJSON: () => undefined } }, /^undefined at a /],
  ["a Date that toJSON returns", { toJSON: () => ({ at: new Date(0) }) }, /^a Date object at at /],
  ["the marker", { job: { [marker]: true } }, /^the key "__channel__" at job\.__channel__ /],
  ["the marker with another value", { [marker]: 0 }, /rename/],
  ["the marker in what toJSON returns", { toJSON: () => ({ [marker]: 1 }) }, /rename/],
];
for (const [what, value, says] of refused) {
  Deno.test(`json: ${what} is rejected, and the error names its place`, () => {
    assert.throws(() => written(value), (error) => {
      assert.ok(error instanceof DOMException);
      assert.equal(error.name, "DataCloneError");
      assert.match(error.message, says);
      assert.match(error.message, /[^.]$/);
      return true;
    });
  });
}

const nested = (depth: number, open: string, close: string, middle = "") =>
  open.repeat(depth) + middle + close.repeat(depth);

Deno.test("json: values nest 1000 deep in both directions, and not deeper", () => {
  for (const [open, close, middle] of [["[", "]", ""], ['{"a":', "}", "1"]] as const) {
    const deep = JSON.parse(nested(1000, open, close, middle));
    assert.equal(written(deep), nested(1000, open, close, middle));
    assert.equal(written(read(written(deep))), written(deep));
    assert.throws(() => written([deep]), { name: "DataCloneError", message: /1000 deep/ });
    for (const depth of [1001, 10_000, 100_000, 2_000_000]) {
      const text = nested(depth, open, close, middle);
      assert.throws(() => read(text), { name: "JsonError", message: /1000 deep/ });
      assert.throws(() => read(text.slice(0, -depth)), JsonError);
    }
  }
  // Brackets in texts do not count, in either direction.
  const texts = [nested(2000, "[", ""), nested(2000, '\\"{', ""), nested(2000, "]", "")];
  for (const text of texts) assert.equal((read(`[1,"${text}"]`) as unknown[]).length, 2);
  const hidden = `{"x":"${nested(2000, "]", "")}","y":${nested(1000, "[", "]")}}`;
  assert.throws(() => read(hidden), { message: /1000 deep/ });
  assert.deepEqual(read(`[${"[],".repeat(2000)}[]]`), Array.from({ length: 2001 }, () => []));
});

Deno.test("json: the extension writes its objects anywhere, and reads them", () => {
  const thing = new Thing("t");
  const value = { a: thing, list: [{ b: thing }], money: { toJSON: () => ({ inside: thing }) } };
  const mark = `{"${marker}":true,"name":"t"}`;
  assert.equal(
    withThings(value),
    `{"a":${mark},"list":[{"b":${mark}}],"money":{"inside":${mark}}}`,
  );
  assert.equal(withThings(thing), mark);
  assert.equal(withThings({ toJSON: () => thing }), mark);
  assert.throws(() => withThings(() => thing), { name: "DataCloneError" });

  const extension = ({ name }: Members) => new Thing(name as string);
  const bytes = encode(value, { marker, extension: Thing.members });
  const back = decode(bytes, { marker, extension }) as typeof value & { money: { inside: Thing } };
  for (const each of [back.a, back.list[0]!.b, back.money.inside]) {
    assert.ok(each instanceof Thing);
    assert.deepEqual(Thing.members(each), { name: "t" });
  }
  assert.ok(
    decode(encode(thing, { marker, extension: Thing.members }), { marker, extension }) instanceof
      Thing,
  );
  const failure = new Error("mine");
  assert.throws(() =>
    decode(bytes, {
      marker,
      extension: () => {
        throw failure;
      },
    }), failure);
});

Deno.test("json: a marked object is found however its key is escaped", () => {
  const extension = ({ name }: Members) => `<${name}>`;
  const revived = (text: string) => decode(utf8.encode(text), { marker, extension });
  const escaped = [...marker].map((c) => `\\u00${c.charCodeAt(0).toString(16)}`);
  const keys = [marker, `\\u005F${marker.slice(1)}`, escaped.join("")];
  for (let i = 0; i < marker.length; i++) {
    keys.push(
      marker.slice(0, i) + escaped[i]!.toUpperCase().replace("U", "u") + marker.slice(i + 1),
    );
  }
  for (const key of keys) {
    assert.deepEqual(revived(`[{ "${key}" :true , "name" : "x" }]`), ["<x>"], key);
    assert.deepEqual(revived(`{"a":{"b":[1,{"name":"x","${key}":true}]}}`), {
      a: { b: [1, "<x>"] },
    });
  }
  const unmarked = [
    `{"${marker}":false}`,
    `{"${marker}":1}`,
    `{"${marker}":"true"}`,
    `{"${marker}":null}`,
    `{"${marker}":{}}`,
    `["${marker}",true]`,
    `{"\\\\u005f_channel__":true}`,
    `{"__proto__":{"${marker}":false}}`,
  ];
  for (const text of unmarked) assert.deepEqual(revived(text), JSON.parse(text), text);
  assert.deepEqual(revived(`{"${marker}":true,"${marker}":false}`), { [marker]: false });
  assert.equal(revived(`{"${marker}":false,"${marker}":true,"name":"y"}`), "<y>");
});

Deno.test("json: no prototype is changed, with and without a marked object", () => {
  const extension = () => ({ polluted: true });
  const reference = `{"${marker}":true}`;
  for (
    const text of [
      '{"__proto__":{"polluted":true}}',
      `{"__proto__":${reference}}`,
      `{"a":${reference},"__proto__":{"polluted":true,"b":${reference}}}`,
      `{"constructor":{"prototype":{"polluted":${reference}}}}`,
      `[{"__proto__":[${reference}]}]`,
    ]
  ) {
    const value = decode(utf8.encode(text), { marker, extension }) as object;
    const holder = Array.isArray(value) ? value[0] : value;
    assert.equal(Object.getPrototypeOf(holder), Object.prototype, text);
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
    if (text.includes("__proto__")) assert.ok(Object.hasOwn(holder, "__proto__"), text);
  }
  // A marker that is found only through a prototype does not count.
  const object = decode(utf8.encode(`{"x":{"__proto__":{"${marker}":true}}}`), {
    marker,
    extension: () => "revived",
  }) as { x: object };
  assert.equal(Object.getOwnPropertyDescriptor(object.x, "__proto__")?.value, "revived");
  assert.equal(written(read('{"__proto__":1}')), '{"__proto__":1}');
});

const bytes = (...parts: (string | number[])[]) =>
  new Uint8Array(parts.flatMap((part) => typeof part === "string" ? [...utf8.encode(part)] : part));

const unreadable: [what: string, bytes: Uint8Array][] = [
  ["nothing", bytes()],
  ["white space", bytes(" \n")],
  ["a cut value", bytes('{"a":[1,2')],
  ["a cut text", bytes('"abc')],
  ["bytes behind the value", bytes("1 2")],
  ["a zero byte behind the value", bytes("1\0")],
  ["invalid UTF-8", bytes('"', [0xff], '"')],
  ["cut UTF-8", bytes('"', [0xe2, 0x82], '"')],
  ["an overlong form", bytes('"', [0xc0, 0xaf], '"')],
  ["a lone surrogate in UTF-8", bytes('"', [0xed, 0xa0, 0x80], '"')],
  ["invalid UTF-8 beside U+FFFD", bytes('"\ufffd', [0xff], '"')],
  ["UTF-16", new Uint8Array([0xff, 0xfe, 0x31, 0])],
  ["two byte order marks", bytes([0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf], "1")],
  ["Python's NaN", bytes('{"x": NaN}')],
  ["Python's Infinity", bytes("[Infinity]")],
  ["single quotes", bytes("{'a': 1}")],
  ["a control character in a text", bytes('"a\nb"')],
  ["a comma too many", bytes("[1,]")],
  ["a number too large", bytes("[1e400]")],
  ["a negative number too large", bytes('{"a":-1E+0400}')],
  ["a long number too large", bytes(`[${"9".repeat(310)}]`)],
  ["a long number with an exponent", bytes(`[[${"1".repeat(250)}e99]]`)],
  ["a long number far behind", bytes(`["${"x".repeat(1111)}",${"9".repeat(400)}]`)],
];
for (const [what, bytes] of unreadable) {
  Deno.test(`json: ${what} cannot be read`, () => {
    assert.throws(() => decode(bytes), JsonError);
  });
}

Deno.test("json: unusual forms are read correctly", () => {
  const cases: [string, unknown][] = [
    ["\ufeff[1]", [1]],
    [" [ 1 ,\r\n\t2 ] ", [1, 2]],
    ["-0", -0],
    ["1e308", 1e308],
    ["1e-400", 0],
    [`0.${"1".repeat(400)}`, Number(`0.${"1".repeat(400)}`)],
    ["1".repeat(300), Number("1".repeat(300))],
    ["9007199254740993", 9007199254740992], // precision is lost, as the documentation says
    ['"\\ud800"', "\ud800"],
    ['"\ufffd"', "\ufffd"],
    ['{"a":1,"a":2}', { a: 2 }],
    [`"${"9".repeat(500)}e999"`, `${"9".repeat(500)}e999`],
  ];
  for (const [text, value] of cases) assert.deepEqual(read(text), value, text.slice(0, 40));
});

Deno.test("json: an error shows nothing of the text, which may contain a password", () => {
  const uri = "amqp://user:hunter2@host";
  for (
    const text of [
      `hunter2`,
      `{"uri": "${uri}" x}`,
      `{"uri": hunter2}`,
      `"hunter2`,
      `["hunter2"`,
      `{"a":hunter2,"b":"hunter2"}`,
      `"hunter2\n"`,
      `"hunter2" "`,
    ]
  ) {
    assert.throws(() => read(text), (error) => {
      assert.ok(error instanceof JsonError);
      assert.doesNotMatch(String(error.message) + error.cause, /hunter|amqp/);
      assert.match(error.message, /^text that is not JSON/);
      return true;
    });
  }
});

Deno.test("json: hostile sizes are handled quickly", () => {
  const start = cpuTime();
  const digits = "1".repeat(199);
  const texts = [
    `[${`${digits},`.repeat(5000)}1]`,
    `["${"\\u00".repeat(1).padEnd(6, "0")}",${"[],".repeat(100_000)}1]`,
    `[${'{"a":1e100},'.repeat(50_000)}1]`,
    `"${"1e".repeat(500_000)}"`,
    `"${"9".repeat(1_000_000)}"`,
  ];
  for (const text of texts) read(text);
  assert.ok(cpuTime() - start < 20_000, `it took ${cpuTime() - start} ms`);
});

Deno.test("json: encode accepts only what decode accepts, however much memory it takes", () => {
  const count = 4000;
  for (const item of [{ 999: 0 }, { 0: 0, 999: 0 }, { 999: 0, "9a": 0 }]) {
    const list = Array.from({ length: count }, () => item);
    const text = utf8.encode(JSON.stringify(list));
    assert.throws(() => decode(text), { name: "JsonError", message: /too much memory/ });
    assert.throws(() => encode(list), { name: "DataCloneError", message: /far more memory/ });
  }
  const dates = Array.from({ length: count }, () => ({ "2026-11-28": 0 }));
  assert.deepEqual(decode(encode(dates)), dates);
});

Deno.test("json: a value whose shared parts expand exponentially is rejected quickly, and a large value is not", () => {
  let laughs: unknown = ["ha"];
  for (let i = 0; i < 40; i++) laughs = i % 2 === 0 ? [laughs, laughs] : { a: laughs, b: laughs };
  const lines = Array.from({ length: 100_000 }, () => long);
  const start = cpuTime();
  for (const value of [laughs, { laughs }, lines]) {
    assert.throws(() => encode(value), { name: "DataCloneError", message: /: send / });
  }
  assert.ok(cpuTime() - start < 10_000, `it took ${cpuTime() - start} ms`);

  const same = { a: 1 };
  const bytes = encode([Array.from({ length: 250_000 }, () => same)]);
  assert.equal(bytes.length, 4 + 250_000 * 8 - 1);
});

/** A text that is large but occurs once. */
const long = ["ha".repeat(50_000)];

Deno.test("json: the option encoding accepts only cbor and json", () => {
  for (const encoding of ["", "JSON", "xml", "__proto__", 5, null, {}, ["json"], Symbol("json")]) {
    const options = { encoding: encoding as "json" };
    assert.throws(() => new Channel(options), (error) => {
      assert.ok(error instanceof ChannelConfigError);
      assert.match(
        error.message,
        /^new Channel: the option "encoding" takes "cbor" or "json", not .*[^.]$/,
      );
      return true;
    });
  }
  for (const encoding of ["cbor", "json"] as const) new Channel({ encoding });
});

test("json: Python reads what is written", { skip: noPython() }, () => {
  const values = [...plain, { job: new Money(7), to: new Thing("t") }];
  const lines = values.map((value) => withThings(value));
  const program = [
    "import json, sys",
    "for line in sys.stdin.buffer.read().decode('utf-8').split('\\n'):",
    "    print(json.dumps(json.loads(line)))",
  ].join("\n");
  const { stdout, stderr, status } = spawnSync("python3", ["-c", program], {
    input: lines.join("\n"),
    maxBuffer: 1e8,
  });
  assert.equal(status, 0, String(stderr));
  const answers = String(stdout).trimEnd().split("\n");
  assert.equal(answers.length, values.length);
  answers.forEach((answer, i) => assert.deepEqual(JSON.parse(answer), JSON.parse(lines[i]!)));
  // Text that Python writes is read here.
  answers.forEach((answer, i) =>
    assert.deepEqual(decode(utf8.encode(answer)), decode(utf8.encode(lines[i]!)))
  );
});
