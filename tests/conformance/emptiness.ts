import assert from "node:assert/strict";
import { ChannelClosedError, ChannelTimeoutError } from "../../mod.ts";
import { getAll, numbers, rejection, type Suite, until, within } from "./fixture.ts";

/** whenEmpty: it waits as long as depth counts a value, and no longer. */
export function emptinessTests({ test, shared, features }: Suite): void {
  test("a channel without values is empty at once", async (fixture) => {
    const ch = fixture.channel<number>();
    await within(ch.whenEmpty());
    await within(ch.whenEmpty({ timeout: 0 }));
    await ch.put(1);
    await ch.get();
    await within(Promise.all([ch.whenEmpty(), ch.sender.whenEmpty(), ch.receiver.whenEmpty()]));
  });

  for (const n of [0, 1]) {
    const declare = n === 0 ? test : shared;
    const where = n === 0 ? "" : ", on another connection";
    declare(
      `whenEmpty resolves when the last value is got${where}`,
      async (fixture) => {
        const ch = fixture.channel<number>();
        for (const value of numbers(3)) await ch.put(value);
        let empty = 0;
        const waiting = numbers(3).map(() => ch.whenEmpty().then(() => empty++));
        const getter = fixture.channel<number>(ch.name, n);
        assert.equal(await ch.depth(), 3);
        assert.equal(empty, 0);
        assert.deepEqual(await getAll(getter, 3), numbers(3));
        await within(Promise.all(waiting));
        assert.equal(await ch.depth(), 0);
      },
    );
  }

  test("whenEmpty does not wait for a value on loan, but for one that was released", async (fixture) => {
    const ch = fixture.channel<string>();
    await ch.put("x");
    const delivery = await ch.receive();
    await within(ch.whenEmpty());
    delivery.release();
    await until(async () => await ch.depth() === 1);
    await rejection(ch.whenEmpty({ timeout: 30 }), ChannelTimeoutError);
    assert.equal(await ch.get(), "x");
    await within(ch.whenEmpty());
  });

  test("whenEmpty ends by a timeout, a signal, and the end of the handle", async (fixture) => {
    const ch = fixture.channel<string>();
    await ch.put("x");
    for (const timeout of [0, 30]) {
      const error = await rejection(ch.whenEmpty({ timeout }), ChannelTimeoutError);
      assert.match(error.message, /^whenEmpty: .*: the channel was not empty within \d+ ms$/);
    }
    const stop = new AbortController();
    const stopped = ch.whenEmpty({ signal: stop.signal });
    await ch.depth();
    stop.abort("enough");
    await assert.rejects(stopped, (reason) => reason === "enough");
    const closing = fixture.channel<string>(ch.name);
    const closed = rejection(closing.whenEmpty(), ChannelClosedError, { reason: "close" });
    await closing.depth();
    await closing.close();
    await closed;
    const deleted = rejection(ch.whenEmpty(), ChannelClosedError, { reason: "delete" });
    await ch.depth();
    await ch.delete();
    await deleted;
    await rejection(ch.whenEmpty(), ChannelClosedError);
  });

  if (features.terms?.includes("expires")) {
    test("a channel is empty when its last value has expired", async (fixture) => {
      const ch = fixture.channel<string>();
      await ch.depth(); // attaches the handle
      await ch.put("x", { expires: 200 });
      await within(ch.whenEmpty());
      assert.equal(await ch.depth(), 0);
    });
  }
}
