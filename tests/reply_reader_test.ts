// The reader of what a Redis sends: all types of RESP3, in chunks of any size, and bytes of a hostile server.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import {
  RedisRefusal,
  ReplyReader,
  RespError,
} from "../src/transports/redis/connection/reply_reader.ts";

/** Reads chunks, and returns what was read, with text in place of bytes. */
function read(...chunks: (string | Buffer)[]): unknown[] {
  const all: unknown[] = [];
  const reader = new ReplyReader({
    replied: (reply) => all.push(shown(reply)),
    pushed: (items) => all.push({ push: shown(items) }),
  });
  for (const chunk of chunks) reader.read(Buffer.from(chunk));
  return all;
}

function shown(reply: unknown): unknown {
  if (Array.isArray(reply)) return reply.map(shown);
  if (reply instanceof RedisRefusal) return { refusal: reply.message };
  return reply instanceof Uint8Array ? Buffer.from(reply).toString("latin1") : reply;
}

const samples: readonly (readonly [string, readonly unknown[]])[] = [
  ["+OK\r\n", ["OK"]],
  ["-NOPERM no\r\n", [{ refusal: "NOPERM no" }]],
  ["!9\r\nERR a\r\nbc\r\n", [{ refusal: "ERR a\r\nbc" }]],
  [":0\r\n:-12\r\n:+9007199254740991\r\n", [0, -12, 9007199254740991]],
  ["$0\r\n\r\n$5\r\na\r\nbc\r\n", ["", "a\r\nbc"]],
  ["$-1\r\n*-1\r\n_\r\n", [null, null, null]],
  ["#t\r\n#f\r\n,1.5\r\n,-inf\r\n(12345678901234567890\r\n", [
    true,
    false,
    1.5,
    -Infinity,
    "12345678901234567890",
  ]],
  ["=8\r\ntxt:some\r\n", ["some"]],
  ["*0\r\n*3\r\n:1\r\n*1\r\n$1\r\nx\r\n*0\r\n", [[], [1, ["x"], []]]],
  ["%2\r\n+a\r\n:1\r\n+b\r\n%0\r\n", [["a", 1, "b", []]]],
  ["~2\r\n:1\r\n:2\r\n", [[1, 2]]],
  ["|1\r\n+ttl\r\n:3\r\n*2\r\n|1\r\n+a\r\n*1\r\n:0\r\n:1\r\n:2\r\n", [[1, 2]]],
  [">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n:7\r\n", [{ push: ["message", "c", "hi"] }, 7]],
];

Deno.test("reply reader: every type of RESP3, and the nulls of RESP2", () => {
  for (const [bytes, expected] of samples) assert.deepEqual(read(bytes), expected, bytes);
});

Deno.test("reply reader: values that arrive in several chunks, split at every place", () => {
  const bytes = samples.map(([bytes]) => bytes).join("");
  const expected = samples.flatMap(([, values]) => values);
  assert.deepEqual(read(...bytes), expected);
  for (let i = 1; i < bytes.length; i++) {
    assert.deepEqual(read(bytes.slice(0, i), bytes.slice(i)), expected);
  }
});

Deno.test("reply reader: a text of many chunks is the bytes that were sent", () => {
  const text = Buffer.alloc(3_000_001, "0123456789");
  const whole = Buffer.concat([
    Buffer.from(`*2\r\n$${text.length}\r\n`),
    text,
    Buffer.from("\r\n:1\r\n"),
  ]);
  for (const size of [1000, 65_536, 2_999_999]) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < whole.length; at += size) chunks.push(whole.subarray(at, at + size));
    assert.deepEqual(read(...chunks), [[text.toString(), 1]]);
  }
});

Deno.test("reply reader: what no Redis sends is refused at once", () => {
  for (
    const bytes of [
      "HTTP/1.1 400 Bad Request\r\n",
      "H",
      "\0",
      ":\r\n",
      ":1x\r\n",
      ":1\rx",
      "$1x\r\n",
      "$-2\r\n",
      "$3\r\nabcd\r\n",
      "*-2\r\n",
      "%-1\r\n",
      "*1\r\n>0\r\n",
      "*?\r\n",
      "$?\r\n",
      "*1\r\n".repeat(17),
      `$${2 ** 30}\r\n`,
      `$${"9".repeat(400)}\r\n`,
      `+${"x".repeat(70_000)}`,
    ]
  ) {
    assert.throws(() => read(bytes), RespError, bytes.slice(0, 20));
  }
});

Deno.test("reply reader: a size that was announced takes no memory before the bytes come", () => {
  const before = process.memoryUsage();
  const readers = Array.from({ length: 100 }, () => {
    const reader = new ReplyReader({ replied() {}, pushed() {} });
    reader.read(Buffer.from(`*${2 ** 40}\r\n$${2 ** 29}\r\nabc`));
    return reader;
  });
  const after = process.memoryUsage();
  assert.equal(readers.length, 100);
  const more = (key: "external" | "arrayBuffers" | "heapUsed") => after[key] - before[key];
  assert.ok(more("external") < 16e6 && more("arrayBuffers") < 16e6 && more("heapUsed") < 64e6);
});

Deno.test("reply reader: an endless reply is refused when it has taken its limit", () => {
  let count = 0;
  const reader = new ReplyReader({ replied() {}, pushed() {} });
  reader.read(Buffer.from(`*${2 ** 52}\r\n`));
  const bytes = Buffer.from(":1\r\n".repeat(100_000));
  assert.throws(() => {
    for (; count < 1000; count++) reader.read(bytes);
  }, RespError);
  assert.ok(count < 30);
});

Deno.test("reply reader: random bytes are read or refused", () => {
  let state = 1;
  const random = (n: number) => (state = (state * 48_271) % 0x7fffffff) % n;
  const alphabet = [..."+-:$*_#,(!=%~|>0123456789\r\n\r\n\r\ntf-a"];
  for (let i = 0; i < 20_000; i++) {
    const bytes = Array.from({ length: random(60) }, () => alphabet[random(alphabet.length)]);
    try {
      read(...random(2) === 0 ? bytes as string[] : [bytes.join("")]);
    } catch (error) {
      if (!(error instanceof RespError)) throw error;
    }
  }
});
