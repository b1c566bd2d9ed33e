import assert from "node:assert/strict";
import { ChannelClosedError, ChannelTimeoutError } from "../../mod.ts";
import { numbers, rejection, type Suite, within } from "./fixture.ts";

/** delete: it removes the channel and its values. */
export function deletingTests({ test, shared }: Suite): void {
  const deleted = { reason: "delete" } as const;

  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    const where = connections === 1 ? "" : " on another connection";

    declare(`delete rejects the gets of a handle${where}`, async (fixture) => {
      const a = fixture.channel<number>();
      const b = fixture.channel<number>(a.name, connections - 1);
      await Promise.all([a.depth(), b.depth()]);
      const gets = [a.get(), b.get(), b.get({ timeout: 10_000 })];
      const refused = gets.map((get) => rejection(get, ChannelClosedError, deleted));
      await within(a.delete());
      await within(Promise.all(refused));
      assert.ok(a.closed && b.closed);
      await rejection(b.get(), ChannelClosedError, deleted);
      await rejection(b.depth(), ChannelClosedError, deleted);
      await within(b.delete());
      assert.equal(await fixture.setup.exists(a.name), false);
    });

    declare(
      `a put to a deleted channel is rejected with its value${where}`,
      async (fixture) => {
        for (let round = 0; round < 10; round++) {
          const a = fixture.channel<string>();
          const b = fixture.channel<string>(a.name, connections - 1);
          await b.put("gone");
          await within(a.delete());
          const error = await rejection(b.put("unsent"), ChannelClosedError, deleted);
          assert.equal(error.value, "unsent");
          assert.equal(await fixture.setup.exists(a.name), false, "the put has created it again");
          await rejection(a.put("unsent"), ChannelClosedError, deleted);
        }
      },
    );

    declare(`two concurrent calls of delete both succeed${where}`, async (fixture) => {
      for (let round = 0; round < 10; round++) {
        const a = fixture.channel<string>();
        const b = fixture.channel<string>(a.name, connections - 1);
        if (round % 2 === 0) await Promise.all([a.depth(), b.depth()]);
        await within(Promise.all([a.delete(), b.delete(), a.delete()]));
        assert.equal(await fixture.setup.exists(a.name), false);
      }
    });
  }

  test("delete removes the values, and the name can be used again", async (fixture) => {
    const name = fixture.name();
    for (const n of numbers(5)) {
      const ch = fixture.channel<number>(name);
      await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
      await ch.put(n);
      assert.equal(await ch.depth(), 1);
      await ch.put(n);
      await within(ch.delete());
      assert.ok(ch.closed);
      await within(ch.delete());
      await within(ch.close());
      await rejection(ch.put(n), ChannelClosedError, deleted);
      assert.equal(await fixture.setup.exists(name), false);
    }
  });

  test("delete works on a channel that does not exist", async (fixture) => {
    const ch = fixture.channel();
    await within(ch.delete());
    assert.equal(await fixture.setup.exists(ch.name), false);
  });

  test("delete removes values that were prefetched", async (fixture) => {
    const a = fixture.channel<number>();
    await Promise.all(numbers(300).map((n) => a.put(n)));
    for (const n of numbers(100)) assert.equal(await a.get(), n);
    await a.delete();
    const b = fixture.channel<number>(a.name);
    await rejection(b.get({ timeout: 50 }), ChannelTimeoutError);
    await b.put(1000);
    assert.equal(await b.get({ timeout: 20_000 }), 1000);
  });
}
