import assert from "node:assert/strict";
import { Channel, ChannelClosedError } from "../../mod.ts";
import { getAll, numbers, pause, rejection, type Suite, until, within } from "./fixture.ts";

/** close: it ends one handle and nothing else. */
export function closingTests({ test, shared }: Suite): void {
  test("close rejects the handle's waiting gets", async (fixture) => {
    const ch = fixture.channel();
    await ch.depth();
    const gets = [ch.get(), ch.get({ timeout: 10_000 }), ch.get()];
    const refused = gets.map((get) => rejection(get, ChannelClosedError, { reason: "close" }));
    assert.equal(ch.closed, false);
    const closing = ch.close();
    assert.equal(ch.closed, true);
    await within(Promise.all([closing, ...refused]));
    const errors = await Promise.all(refused);
    assert.equal(new Set(errors).size, 3, "each get has an error of its own");
    assert.ok(errors[0]!.message.includes(ch.name));
  });

  test("close rejects a get that has not been attached yet", async (fixture) => {
    const ch = fixture.channel();
    const refused = rejection(ch.get(), ChannelClosedError, { reason: "close" });
    await within(Promise.all([ch.close(), refused]));
    const other = fixture.channel();
    const at0 = rejection(other.get({ timeout: 0 }), ChannelClosedError, { reason: "close" });
    await within(Promise.all([other.close(), at0]));
  });

  test("close first sends the values that were put before it, and their puts resolve", async (fixture) => {
    const reader = fixture.channel<number>();
    for (const attached of [false, true]) {
      const ch = fixture.channel<number>(reader.name);
      if (attached) await ch.depth();
      const puts = numbers(100).map((n) => ch.put(n));
      await within(ch.close());
      await within(Promise.all(puts));
      assert.deepEqual(await getAll(reader, 100), numbers(100));
    }
  });

  test("close first sends a channel that was put but not created yet", async (fixture) => {
    const reader = fixture.channel<Channel<string>>();
    const ch = fixture.channel<Channel<string>>(reader.name);
    const inner = fixture.anonymous<string>();
    const put = ch.put(inner);
    await within(Promise.all([ch.close(), put]));
    const got = fixture.own(await reader.get({ timeout: 20_000 }));
    await inner.put("x");
    assert.equal(await got.get({ timeout: 20_000 }), "x");
  });

  test("close is idempotent and works on a handle that was never used", async (fixture) => {
    const ch = fixture.channel();
    await within(ch.close());
    await within(Promise.all([ch.close(), ch.close()]));
    await within(ch[Symbol.asyncDispose]());
    assert.equal(await fixture.setup.exists(ch.name), false, "closing has made the channel");
    const used = fixture.channel();
    await used.put(1);
    await within(Promise.all([used.close(), used.close(), used[Symbol.asyncDispose]()]));
    await within(used.close());
  });

  test("operations after close are rejected", async (fixture) => {
    const ch = fixture.channel<string>();
    await ch.put("kept");
    const closing = ch.close();
    for (let i = 0; i < 2; i++) { // during the close and after it
      const closed = { reason: "close" } as const;
      await rejection(ch.get(), ChannelClosedError, closed);
      await rejection(ch.get({ timeout: 0 }), ChannelClosedError, closed);
      await rejection(ch.depth(), ChannelClosedError, closed);
      await rejection(ch.closeAll(), ChannelClosedError, closed);
      await rejection(ch.delete(), ChannelClosedError, closed);
      const error = await rejection(ch.put("late"), ChannelClosedError, closed);
      assert.equal(error.value, "late");
      await closing;
    }
    assert.equal(await fixture.channel<string>(ch.name).get({ timeout: 0 }), "kept");
  });

  test("an aborted signal or an invalid option takes precedence over a closed handle", async (fixture) => {
    const ch = fixture.channel();
    await ch.close();
    await assert.rejects(ch.get({ signal: AbortSignal.abort("mine") }), (e) => e === "mine");
  });

  test("close of one handle does not affect other handles", async (fixture) => {
    const a = fixture.channel<string>();
    const b = fixture.channel<string>(a.name);
    await a.put("1");
    assert.equal(await b.get(), "1");
    const ofA = rejection(a.get(), ChannelClosedError);
    const ofB = b.get();
    await a.close();
    await ofA;
    await b.put("2");
    assert.equal(await within(ofB), "2");
    assert.equal(b.closed, false);
    await fixture.channel<string>(a.name).put("3");
    assert.equal(await b.get({ timeout: 20_000 }), "3");
  });

  test("a name can be opened while its last handle closes", async (fixture) => {
    const name = fixture.name();
    let handle = fixture.channel<number>(name);
    await handle.put(0);
    for (const n of numbers(20, 1)) {
      const next = fixture.channel<number>(name);
      const closing = handle.close();
      if (n % 2 === 0) await pause(0);
      const got = next.get({ timeout: 20_000 });
      const put = next.put(n);
      assert.equal(await within(got), n - 1);
      await Promise.all([closing, put]);
      handle = next;
    }
  });

  test("a handle can be closed in the moment in which its get resolves", async (fixture) => {
    const name = fixture.name();
    const source = fixture.channel<number>(name);
    for (const n of numbers(20)) {
      await using ch = fixture.channel<number>(name);
      const got = ch.get().then(async (value) => {
        await ch.close();
        return value;
      });
      await source.put(n);
      assert.equal(await within(got), n);
    }
    assert.equal(await source.depth(), 0);
  });

  shared("a value whose get has resolved is not redelivered after close", async (fixture) => {
    const a = fixture.channel<number>();
    const b = fixture.channel<number>(a.name, 1);
    await Promise.all(numbers(100).map((n) => a.put(n)));
    const got: number[] = []; // b may read ahead for a moment, so the values of the other handle may come later
    for (const n of numbers(100)) {
      const ch = n % 10 === 0 ? fixture.channel<number>(a.name, 2) : undefined;
      got.push(await (ch ?? b).get({ timeout: 20_000 }));
      await ch?.close();
      if (n % 10 === 9) await until(async () => await a.depth() === 99 - n); // b holds nothing
    }
    assert.deepEqual(got.sort((one, other) => one - other), numbers(100));
    assert.equal(await a.depth(), 0);
  });

  test("`await using` closes the handle", async (fixture) => {
    const reader = fixture.channel<string>();
    let outside: Channel<string>;
    {
      await using ch = new Channel<string>({
        name: reader.name,
        connection: fixture.setup.connection(0),
      });
      await ch.put("kept");
      outside = ch;
    }
    assert.ok(outside.closed);
    assert.equal(await reader.get({ timeout: 0 }), "kept");
  });
}
