import assert from "node:assert/strict";
import { ChannelClosedError, ChannelTimeoutError } from "../../mod.ts";
import { numbers, rejection, soon, type Suite } from "./scene.ts";

/** delete: it removes the channel and its values. */
export function deletingTests({ test, shared }: Suite): void {
  const deleted = { reason: "delete" } as const;

  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    const where = connections === 1 ? "" : " on another connection";

    declare(`delete rejects the gets of a handle${where}`, async (scene) => {
      const a = scene.channel<number>();
      const b = scene.channel<number>(a.name, connections - 1);
      await Promise.all([a.depth(), b.depth()]);
      const gets = [a.get(), b.get(), b.get({ timeout: 10_000 })];
      const refused = gets.map((get) => rejection(get, ChannelClosedError, deleted));
      await soon(a.delete());
      await soon(Promise.all(refused));
      assert.ok(a.closed && b.closed);
      await rejection(b.get(), ChannelClosedError, deleted);
      await rejection(b.depth(), ChannelClosedError, deleted);
      await soon(b.delete());
      assert.equal(await scene.setup.exists(a.name), false);
    });

    declare(
      `a put to a deleted channel is rejected with its value${where}`,
      async (scene) => {
        for (let round = 0; round < 10; round++) {
          const a = scene.channel<string>();
          const b = scene.channel<string>(a.name, connections - 1);
          await b.put("gone");
          await soon(a.delete());
          const error = await rejection(b.put("unsent"), ChannelClosedError, deleted);
          assert.equal(error.value, "unsent");
          assert.equal(await scene.setup.exists(a.name), false, "the put has created it again");
          await rejection(a.put("unsent"), ChannelClosedError, deleted);
        }
      },
    );

    declare(`two concurrent calls of delete both succeed${where}`, async (scene) => {
      for (let round = 0; round < 10; round++) {
        const a = scene.channel<string>();
        const b = scene.channel<string>(a.name, connections - 1);
        if (round % 2 === 0) await Promise.all([a.depth(), b.depth()]);
        await soon(Promise.all([a.delete(), b.delete(), a.delete()]));
        assert.equal(await scene.setup.exists(a.name), false);
      }
    });
  }

  test("delete removes the values, and the name can be used anew", async (scene) => {
    const name = scene.name();
    for (const n of numbers(5)) {
      const ch = scene.channel<number>(name);
      await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
      await ch.put(n);
      assert.equal(await ch.depth(), 1);
      await ch.put(n);
      await soon(ch.delete());
      assert.ok(ch.closed);
      await soon(ch.delete());
      await soon(ch.close());
      await rejection(ch.put(n), ChannelClosedError, deleted);
      assert.equal(await scene.setup.exists(name), false);
    }
  });

  test("delete works on a channel that does not exist", async (scene) => {
    const ch = scene.channel();
    await soon(ch.delete());
    assert.equal(await scene.setup.exists(ch.name), false);
  });

  test("delete removes values that were prefetched", async (scene) => {
    const a = scene.channel<number>();
    await Promise.all(numbers(300).map((n) => a.put(n)));
    for (const n of numbers(100)) assert.equal(await a.get(), n);
    await a.delete();
    const b = scene.channel<number>(a.name);
    await rejection(b.get({ timeout: 50 }), ChannelTimeoutError);
    await b.put(1000);
    assert.equal(await b.get({ timeout: 20_000 }), 1000);
  });
}
