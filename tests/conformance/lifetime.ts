import assert from "node:assert/strict";
import { Channel, ChannelClosedError, ChannelTimeoutError } from "../../mod.ts";
import { getAll, numbers, pause, rejection, type Suite, until, within } from "./fixture.ts";

/** Anonymous and named channels, second handles, disposal. */
export function lifetimeTests({ test, shared }: Suite): void {
  test("the name of an anonymous channel has 32 hexadecimal digits", (fixture) => {
    const names = numbers(100).map(() => fixture.anonymous().name);
    for (const name of names) assert.match(name, /^[0-9a-f]{32}$/);
    assert.equal(new Set(names).size, 100);
    return Promise.resolve();
  });

  test("making a handle creates no channel", async (fixture) => {
    const ch = fixture.channel();
    await pause(20);
    assert.equal(await fixture.setup.exists(ch.name), false);
  });

  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    const where = connections === 1 ? "" : " on another connection";
    declare(
      `disposal deletes an anonymous channel that has a second handle${where}`,
      async (fixture) => {
        const ch = fixture.anonymous<number>();
        await ch.put(1);
        const second = fixture.channel<number>(ch.name, connections - 1);
        assert.equal(await second.get(), 1);
        await second.put(2);
        const refused = rejection(second.get().then(() => second.get()), ChannelClosedError);
        await within(ch[Symbol.asyncDispose]());
        await within(refused);
        assert.ok(ch.closed);
        await rejection(second.put(3), ChannelClosedError);
        assert.equal(await fixture.setup.exists(ch.name), false);
      },
    );
  }

  test("`await using` deletes an anonymous channel but not a named one", async (fixture) => {
    const named = fixture.channel<string>();
    let name: string;
    {
      await using anonymous = new Channel({ connection: fixture.setup.connection(0) });
      await using handle = fixture.channel<string>(named.name);
      await anonymous.put(1);
      await handle.put("kept");
      name = anonymous.name;
      assert.equal(await fixture.setup.exists(name), true);
    }
    assert.equal(await fixture.setup.exists(name), false);
    assert.equal(await named.get({ timeout: 0 }), "kept");
  });

  const before: [string, (ch: Channel<number>) => Promise<unknown>, boolean][] = [
    ["close", (ch) => ch.close(), true],
    ["closeAll", (ch) => ch.closeAll(), true],
    ["delete", (ch) => ch.delete(), false],
    ["another disposal", (ch) => ch[Symbol.asyncDispose](), false],
  ];
  for (const [title, act, exists] of before) {
    test(`disposal after ${title} leaves no anonymous channel`, async (fixture) => {
      const ch = fixture.anonymous<number>();
      await ch.put(1);
      await act(ch);
      assert.equal(await fixture.setup.exists(ch.name), exists);
      await within(Promise.all([ch[Symbol.asyncDispose](), ch[Symbol.asyncDispose]()]));
      await within(ch[Symbol.asyncDispose]());
      assert.equal(await fixture.setup.exists(ch.name), false);
    });
  }

  test("disposal during the first operation leaves no anonymous channel", async (fixture) => {
    for (let round = 0; round < 10; round++) {
      const ch = fixture.anonymous<number>();
      const put = ch.put(1).catch((error) => assert.ok(error instanceof ChannelClosedError));
      const get = ch.get().catch((error) => assert.ok(error instanceof ChannelClosedError));
      if (round % 2 === 0) await pause(round / 2);
      await within(ch[Symbol.asyncDispose]());
      await within(Promise.all([put, get]));
      assert.equal(await fixture.setup.exists(ch.name), false);
    }
  });

  test("disposal after a first operation that was cancelled early leaves no anonymous channel", async (fixture) => {
    for (let round = 0; round < 12; round++) {
      const ch = fixture.anonymous<number>();
      const stop = new AbortController();
      const get = assert.rejects(ch.get({ signal: stop.signal }), (reason) => reason === "enough");
      for (let turn = 0; turn < round / 3; turn++) await pause(1);
      stop.abort("enough");
      await within(get);
      if (round % 2 === 0) await ch.close();
      await within(ch[Symbol.asyncDispose]());
      assert.equal(await fixture.setup.exists(ch.name), false);
    }
  });

  test("disposal of an unused anonymous channel is instant and creates nothing", async (fixture) => {
    const ch = fixture.anonymous();
    await within(ch[Symbol.asyncDispose]());
    assert.ok(ch.closed);
    assert.equal(await fixture.setup.exists(ch.name), false);
    await rejection(ch.put(1), ChannelClosedError);
  });

  test("a dup is a separate handle on the same channel", async (fixture) => {
    for (const original of [fixture.channel<number>(), fixture.anonymous<number>()]) {
      const dup = fixture.own(original.dup());
      assert.notEqual(dup, original);
      assert.ok(dup instanceof Channel);
      assert.equal(dup.name, original.name);
      await dup.put(1);
      assert.equal(await original.get(), 1);
      await dup[Symbol.asyncDispose]();
      assert.equal(original.closed, false);
      await original.put(2);
      assert.equal(await original.get(), 2);
      const other = fixture.own(original.dup());
      await original.close();
      await other.put(3);
      assert.equal(await other.get(), 3);
    }
  });

  test("a clone is a new anonymous channel on the same connection", async (fixture) => {
    for (const original of [fixture.channel<number>(), fixture.anonymous<number>()]) {
      const clone = fixture.own(original.clone<string>());
      assert.match(clone.name, /^[0-9a-f]{32}$/);
      assert.notEqual(clone.name, original.name);
      await original.put(1);
      await rejection(clone.get({ timeout: 0 }), ChannelTimeoutError);
      await clone.put("x");
      assert.equal(await fixture.channel<string>(clone.name).get({ timeout: 0 }), "x");
      await clone[Symbol.asyncDispose]();
      assert.equal(await fixture.setup.exists(clone.name), false);
      assert.equal(await original.get({ timeout: 0 }), 1);
    }
  });

  test("disposal of a second handle, by name, does not delete an anonymous channel", async (fixture) => {
    const ch = fixture.anonymous<number>();
    await ch.put(1);
    const second = fixture.channel<number>(ch.name);
    assert.equal(await second.depth(), 1);
    await second[Symbol.asyncDispose]();
    assert.equal(await ch.get({ timeout: 20_000 }), 1);
  });

  test("a leased channel is deleted when it has been unused for its lease, and not before", async (fixture) => {
    // A busy machine may need longer than the lease: then a longer one is tried.
    for (let expires = 500;; expires *= 3) {
      const ch = fixture.channel<number>(undefined, 0, { expires });
      await ch.put(1);
      let start = performance.now();
      await pause(expires * 2); // attached, so in use
      const kept = await ch.get({ timeout: 0 }).catch(unlessDeleted);
      if (performance.now() - start > expires * 2.5) continue; // the lease is renewed three times in its time
      assert.equal(kept, 1);
      await ch.put(2);
      start = performance.now();
      await ch.close();
      const again = fixture.channel<number>(ch.name, 0, { expires });
      const got = await again.get({ timeout: 0 }).catch(() => undefined);
      const took = performance.now() - start;
      if (took <= expires) assert.equal(got, 2);
      await again.close();
      // Querying counts as use, so the interval is longer than the lease.
      await until(async () => !await fixture.setup.exists(ch.name), 30_000, expires * 1.5);
      if (took <= expires) return;
    }
  });

  test("300 anonymous channels that were used and disposed of leave nothing", async (fixture) => {
    const worker = async (share: number[]) => {
      for (const n of share) {
        const ch = new Channel<number>({ connection: fixture.setup.connection(0) });
        await ch.put(n);
        assert.equal(await ch.get({ timeout: n % 2 === 0 ? 20_000 : 0 }), n);
        await ch[Symbol.asyncDispose]();
      }
    };
    const share = numbers(30);
    await Promise.all(numbers(10).map((i) => worker(share.map((n) => n + i))));
  }); // the leak check runs after each test

  test("many channels of one process are used at the same time", async (fixture) => {
    const channels = numbers(150).map(() => fixture.channel<number>());
    const gets = channels.map((ch) => ch.get());
    await within(Promise.all(channels.map((ch, i) => ch.put(i))));
    assert.deepEqual(await within(Promise.all(gets)), numbers(150));
    await Promise.all(channels.map((ch) => ch.put(1)));
    for (const values of await within(Promise.all(channels.map((ch) => getAll(ch, 1))))) {
      assert.deepEqual(values, [1]);
    }
    await within(Promise.all(channels.map((ch) => ch.close())));
  });
}

/** Passes an error on, unless it says that the channel was deleted. */
function unlessDeleted(error: unknown): undefined {
  if (!(error instanceof ChannelClosedError && error.reason === "delete")) throw error;
}
