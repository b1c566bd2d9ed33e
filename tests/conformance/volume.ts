import assert from "node:assert/strict";
import { getAll, numbers, type Suite, within } from "./fixture.ts";

/** Large values, and many values. */
export function volumeTests({ test, shared }: Suite): void {
  test("values of 1 MB arrive as they were sent", async (fixture) => {
    const ch = fixture.channel<Uint8Array | string>();
    const bytes = new Uint8Array(1 << 20).map((_, i) => i * 31 + (i >> 8));
    const text = "\u{1f600}é x".repeat(100_000);
    const puts = [ch.put(bytes), ch.put(text), ch.put(bytes)];
    bytes[0] = 77; // the value was encoded at the call
    const got = await within(getAll(ch, 3));
    await Promise.all(puts);
    bytes[0] = 0;
    assert.ok(got[0] instanceof Uint8Array && got[2] instanceof Uint8Array);
    assert.deepEqual(got[0], bytes);
    assert.equal(got[1], text);
    assert.deepEqual(got[2], bytes);
  });

  test("small values between large ones keep their order", async (fixture) => {
    const ch = fixture.channel<[number, string]>();
    const puts = numbers(60).map((n) => ch.put([n, n % 10 === 0 ? "x".repeat(300_000) : ""]));
    const got = await within(getAll(ch, 60));
    await Promise.all(puts);
    assert.deepEqual(got.map(([n]) => n), numbers(60));
    for (const [n, text] of got) assert.equal(text.length, n % 10 === 0 ? 300_000 : 0);
  });

  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    declare(
      `10,000 small values arrive in order over ${connections} connection(s)`,
      async (fixture) => {
        const a = fixture.channel<number>();
        const b = fixture.channel<number>(a.name, connections - 1);
        const got = getAll(b, 10_000);
        for (let n = 0; n < 10_000; n += 500) {
          await Promise.all(numbers(500, n).map((n) => a.put(n)));
        }
        assert.deepEqual(await within(got), numbers(10_000));
        assert.equal(await a.depth(), 0);
      },
    );
  }
}
