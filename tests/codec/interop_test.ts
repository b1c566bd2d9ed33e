import * as cbor2 from "cbor2";
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { decode } from "../../src/encoding/cbor/mod.ts";
import { assertEquivalent } from "./equivalent.ts";
import { bytes } from "./hex.ts";
import { ARRIVES, type Vector, VECTORS } from "./vectors.ts";
import { test } from "../support/test.ts";

/** The tags that cbor2 does not read by default: it returns a Tag. */
const LEFT_AS_TAGS = /d81b|d81c|d90103/;

Deno.test("npm's cbor2 reads values with registered tags", () => {
  const read = VECTORS.filter(([, , digits]) => !LEFT_AS_TAGS.test(digits));
  assert.ok(read.length > 50);
  for (const [what, make, digits] of read) {
    const value = cbor2.decode(bytes(digits));
    const own = value instanceof Uint8Array ? value.slice() : value; // without the message around it
    const expected = (ARRIVES.get(what) ?? make)();
    assertNamed(what, own, expected);
  }
});

Deno.test("values that npm's cbor2 has read and written are the same when decoded", () => {
  for (const [what, , digits] of VECTORS) {
    const tags = cbor2.decode(bytes(digits), { ignoreGlobalTags: true });
    assertNamed(what, decode(cbor2.encode(tags)), decode(bytes(digits)));
  }
});

/** Python's answer to a message. */
interface Answer {
  readonly read: string;
  readonly written: string;
  readonly error?: string;
}

const program = fileURLToPath(new URL("../programs/cbor.py", import.meta.url));

/** A Python that has cbor2. A Debian package belongs to Debian's own Python, which may not be the first on the PATH. */
const python = ["python3", "/usr/bin/python3"].find((name) =>
  spawnSync(name, [program, "--check"], { stdio: "ignore" }).status === 0
);

/** Python's representation of the value that it has read, for one row of each kind. */
const SHOWN: ReadonlyMap<string, string> = new Map([
  ["null", "None"],
  ["undefined", "undefined"],
  ["2^53-1", "9007199254740991"],
  ["-0", "-0.0"],
  ["2^64", "18446744073709551616"],
  ["other scripts", "'ü水😀'"],
  ["a lone surrogate", String.raw`CBORTag(273, b'a\xed\xa0\x80')`],
  ["milliseconds", "datetime.datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=datetime.timezone.utc)"],
  ["invalid", "CBORTag(27, ['Date', nan])"],
  ["with flags", "CBORTag(21066, ['[ü]', 'giy'])"],
  ["__proto__", "{'__proto__': {'a': 1}}"],
  ["with holes", "CBORTag(27, ['Array', 3, {'0': 1, '2': 3}])"],
  ["a Uint8Array", String.raw`b'\x01\x02\xff'`],
  ["Float64Array", String.raw`CBORTag(86, b'\x00\x00\x00\x00\x00\x00\xf8?')`],
  ["ArrayBuffer", String.raw`CBORTag(27, ['ArrayBuffer', b'\x01\x02'])`],
  ["with a cause", "CBORTag(27, ['Error', 'm', {'stack': 'at a.ts', 'cause': [1]}])"],
  ["two shared objects", "[[], {}, {}, []]"],
  ["a cycle", "{'a': {...}}"],
]);

/**
 * Python does not distinguish small BigInts from integers, and loses the identity of a shared Date or tagged object.
 */
const LOST: ReadonlySet<string> = new Set([
  "0n",
  "5n",
  "-1n",
  "BigInt",
  "a shared Date",
  "a Map in itself",
  "views that share a buffer",
  "an Error that is its own cause",
]);

/** A Python set has an order of its own. */
const UNORDERED = "a Set";

test(
  "Python's cbor2 reads all examples, and the values that it writes are the same",
  { skip: python === undefined && "no Python with cbor2 is installed" },
  () => {
    const answers = askPython(VECTORS);
    VECTORS.forEach(([what, , digits], i) => {
      const { read, written, error } = answers[i]!;
      assert.equal(error, undefined, what);
      assert.equal(read, SHOWN.get(what) ?? read, what);
      if (LOST.has(what)) return;
      const value = decode(bytes(written));
      if (what === UNORDERED) assert.deepEqual(value, decode(bytes(digits)), what);
      else assertNamed(what, value, decode(bytes(digits)));
    });
  },
);

function askPython(vectors: readonly Vector[]): Answer[] {
  const input = vectors.map(([, , digits]) => digits.replaceAll(" ", "") + "\n").join("");
  const env = { ...process.env, PYTHONIOENCODING: "utf-8" };
  const output = execFileSync(python!, [program], { input, env, encoding: "utf8" });
  return output.trim().split("\n").map((line) => JSON.parse(line));
}

function assertNamed(what: string, actual: unknown, expected: unknown): void {
  try {
    assertEquivalent(actual, expected);
  } catch (cause) {
    throw new Error(`${what}: ${(cause as Error).message}`, { cause });
  }
}
