import assert from "node:assert/strict";
import { type Channel, ChannelTimeoutError, type Delivery } from "../../mod.ts";
import { getAll, numbers, type Suite, until, within } from "./fixture.ts";

/** `for await`: order, end, early exit. */
export function iterationTests({ test, shared }: Suite): void {
  test("an iteration yields existing and later values in order", async (fixture) => {
    const ch = fixture.channel<number>();
    for (const n of numbers(5)) await ch.put(n);
    const got: number[] = [];
    const iteration = collect(ch, got);
    await until(() => got.length === 5);
    for (const n of numbers(5, 5)) await ch.put(n);
    await until(() => got.length === 10);
    await ch.closeAll();
    await within(iteration);
    assert.deepEqual(got, numbers(10));
  });

  const ends: [string, (ch: Channel<number>, other: Channel<number>) => Promise<void>][] = [
    ["closeAll", (ch) => ch.closeAll()],
    ["another handle's closeAll", (_, other) => other.closeAll()],
    ["delete", (ch) => ch.delete()],
    ["another handle's delete", (_, other) => other.delete()],
    ["the handle's close", (ch) => ch.close()],
    ["the handle's disposal", (ch) => ch[Symbol.asyncDispose]()],
  ];
  for (const connections of [1, 2]) {
    for (const [title, end] of ends) {
      if (connections === 2 && !title.startsWith("another")) continue;
      const declare = connections === 1 ? test : shared;
      const where = connections === 1 ? "" : " on another connection";
      declare(`a waiting iteration ends by ${title}${where}`, async (fixture) => {
        const ch = fixture.channel<number>();
        const other = fixture.channel<number>(ch.name, connections - 1);
        await other.put(1);
        const got: number[] = [];
        const iteration = collect(ch, got);
        await until(() => got.length === 1);
        await fixture.untilWaiting(ch);
        await end(ch, other);
        await within(iteration);
        assert.deepEqual(got, [1]);
        assert.ok(ch.closed);
        await within(collect(ch, got)); // an iteration of a closed channel ends at once
        assert.deepEqual(got, [1]);
      });
    }
  }

  test("leaving an iteration takes no further value", async (fixture) => {
    const ch = fixture.channel<number>();
    const other = fixture.channel<number>(ch.name);
    for (const n of numbers(10)) await ch.put(n);
    for await (const n of ch) if (n === 3) break;
    assert.deepEqual(await getAll(other, 3), [4, 5, 6]);
    await assert.rejects(
      (async () => {
        for await (const n of ch) throw new Error(`at ${n}`);
      })(),
      { message: "at 7" },
    );
    assert.deepEqual(await getAll(other, 2), [8, 9]);
    const got = other.get();
    await ch.put(10);
    assert.equal(await within(got), 10);
    assert.equal(ch.closed, false);
  });

  shared("leaving an iteration leaves the next value to another connection", async (fixture) => {
    const ch = fixture.channel<number>();
    const other = fixture.channel<number>(ch.name, 1);
    await Promise.all(numbers(400).map((n) => ch.put(n)));
    for await (const n of ch) if (n === 199) break;
    const rest = await getAll(other, 200);
    assert.deepEqual(rest.sort((a, b) => a - b), numbers(200, 200));
    await ch.put(400);
    assert.equal(await other.get({ timeout: 20_000 }), 400);
  });

  test("concurrent iterations share the values, each value once", async (fixture) => {
    const ch = fixture.channel<number>();
    const shares = numbers(3).map(() => [] as number[]);
    const iterations = shares.map((share) => collect(ch, share));
    await Promise.all(numbers(300).map((n) => ch.put(n)));
    await until(() => shares.flat().length >= 300);
    await ch.closeAll();
    await within(Promise.all(iterations));
    assert.deepEqual(shares.flat().sort((a, b) => a - b), numbers(300));
    for (const share of shares) {
      assert.ok(share.length > 0);
      assert.deepEqual(share, share.toSorted((a, b) => a - b));
    }
  });

  test("an iterator can be used directly, and stays at its end", async (fixture) => {
    const ch = fixture.channel<number>();
    const iterator = ch[Symbol.asyncIterator]();
    assert.equal(iterator[Symbol.asyncIterator](), iterator);
    const next = [iterator.next(), iterator.next()];
    await ch.put(1);
    await ch.put(2);
    assert.deepEqual(await within(Promise.all(next)), [
      { value: 1, done: false },
      { value: 2, done: false },
    ]);
    const last = iterator.next();
    await ch.close();
    for (const next of [last, iterator.next(), iterator.next()]) {
      assert.deepEqual(await within(next), { value: undefined, done: true });
    }
  });

  test("an iterator yields nothing after return", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.put(1);
    await ch.put(2);
    const iterator = ch[Symbol.asyncIterator]();
    assert.deepEqual(await iterator.next(), { value: 1, done: false });
    assert.deepEqual(await iterator.return!(), { value: undefined, done: true });
    assert.deepEqual(await within(iterator.next()), { value: undefined, done: true });
    assert.equal(await ch.get({ timeout: 0 }), 2);
  });

  // Each kind of iteration and how it is started.
  const iterations: [
    string,
    (ch: Channel<number>, wanted: Wanted) => AsyncIterableIterator<Yielded>,
  ][] = [
    ["a channel", (ch) => ch[Symbol.asyncIterator]()],
    ["a ReceiveChannel", (ch) => ch.receiver[Symbol.asyncIterator]()],
    ["deliveries", (ch, wanted) => ch.deliveries(wanted)],
    ["a ReceiveChannel's deliveries", (ch, wanted) => ch.receiver.deliveries(wanted)],
  ];
  for (const [title, iterate] of iterations) {
    for (const isAttached of [true, false]) {
      const when = isAttached ? "waits" : "attaches";
      test(`an iterator of ${title} that is left while it ${when} takes nothing`, async (fixture) => {
        const ch = fixture.channel<number>();
        const other = fixture.channel<number>(ch.name);
        if (isAttached) await ch.depth();
        const iterator = iterate(ch, {});
        const next = [iterator.next(), iterator.next()];
        if (isAttached) await fixture.untilWaiting(ch);
        assert.deepEqual(await within(iterator.return!()), end);
        assert.deepEqual(await within(Promise.all(next)), [end, end]);
        await other.put(1);
        assert.deepEqual(await within(iterator.next()), end);
        assert.equal(await other.get({ timeout: 20_000 }), 1);
      });
    }

    test(`an iterator of ${title} takes nothing after throw`, async (fixture) => {
      const ch = fixture.channel<number>();
      const other = fixture.channel<number>(ch.name);
      const iterator = iterate(ch, {});
      const next = iterator.next();
      const reason = new Error("the caller's own");
      await assert.rejects(within(iterator.throw!(reason)), reason);
      assert.deepEqual(await within(next), end);
      await other.put(1);
      assert.equal(await other.get({ timeout: 20_000 }), 1);
      assert.deepEqual(await within(iterator.next()), end);
    });

    test(`concurrent calls of next of ${title} are served in their order`, async (fixture) => {
      const ch = fixture.channel<number>();
      const other = fixture.channel<number>(ch.name);
      await other.put(0);
      const iterator = iterate(ch, {});
      const next = numbers(6).map(() => iterator.next());
      for (const n of numbers(5, 1)) await other.put(n);
      const yielded = await within(Promise.all(next));
      assert.deepEqual(yielded.map(({ value }) => valueOf(value)), numbers(6));
    });
  }

  shared(
    "an iterator that is left leaves the next value to another connection",
    async (fixture) => {
      const ch = fixture.channel<number>();
      const other = fixture.channel<number>(ch.name, 1);
      await ch.depth();
      const iterator = ch[Symbol.asyncIterator]();
      const next = iterator.next();
      await fixture.untilWaiting(ch);
      await iterator.return!();
      assert.deepEqual(await within(next), end);
      await other.put(1);
      assert.equal(await other.get({ timeout: 20_000 }), 1);
    },
  );

  const streams: [string, (ch: Channel<number>) => ReadableStream<number>][] = [
    ["ReadableStream.from a channel", (ch) => ReadableStream.from(ch)],
    ["readable()", (ch) => ch.readable()],
  ];
  for (const [title, open] of streams) {
    test(`cancelling the stream of ${title} during a read takes nothing`, async (fixture) => {
      const ch = fixture.channel<number>();
      const other = fixture.channel<number>(ch.name);
      await ch.depth();
      const reader = open(ch).getReader();
      const read = reader.read();
      await fixture.untilWaiting(ch);
      await within(reader.cancel());
      assert.equal((await within(read)).done, true);
      await other.put(1);
      assert.equal(await other.get({ timeout: 20_000 }), 1);
    });
  }

  test("a loop over deliveries yields values on loan and ends as a loop over values does", async (fixture) => {
    const ch = fixture.channel<number>();
    const other = fixture.channel<number>(ch.name);
    for (const n of numbers(3)) await other.put(n);
    const got: number[] = [];
    const loop = (async () => {
      for await (const delivery of ch.deliveries()) {
        got.push(delivery.value);
        assert.equal(delivery.attempts, 1);
        delivery.accept();
      }
    })();
    await until(() => got.length === 3);
    await other.closeAll({ drain: true });
    await within(loop);
    assert.deepEqual(got, numbers(3));
    for await (const _ of ch.deliveries()) assert.fail("the channel is closed");
  });

  for (const how of ["break", "throw"]) {
    test(`a loop over deliveries that is left by ${how} releases its unsettled deliveries`, async (fixture) => {
      const ch = fixture.channel<number>();
      const other = fixture.channel<number>(ch.name);
      for (const n of numbers(4)) await other.put(n);
      const kept: Delivery<number>[] = [];
      const reason = new Error("the caller's own");
      const loop = (async () => {
        for await (const delivery of ch.deliveries()) {
          kept.push(delivery);
          if (delivery.value === 0) delivery.accept();
          if (delivery.value < 2) continue;
          if (how === "break") break;
          throw reason;
        }
      })();
      if (how === "throw") await assert.rejects(within(loop), reason);
      else await within(loop);
      const rest = await getAll(other, 3);
      assert.deepEqual(rest.sort((a, b) => a - b), [1, 2, 3]);
      for (const delivery of kept) delivery.accept(); // settled already, so this has no effect
      assert.equal(await other.depth(), 0);
    });
  }

  test("a loop over deliveries ends with its signal's reason, and its deliveries can still be settled", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.put(1);
    const stop = new AbortController();
    const kept: Delivery<number>[] = [];
    const loop = (async () => {
      for await (const delivery of ch.deliveries({ signal: stop.signal })) kept.push(delivery);
    })();
    await until(() => kept.length === 1);
    stop.abort("enough");
    await assert.rejects(within(loop), (error) => error === "enough");
    await ch.put(2);
    kept[0]!.accept();
    assert.equal(await within(ch.get()), 2);
    await assert.rejects(ch.get({ timeout: 0 }), ChannelTimeoutError);
  });
}

const end = { value: undefined, done: true };

type Yielded = number | Delivery<number>;
type Wanted = { signal?: AbortSignal };

function valueOf(yielded: Yielded): number {
  return typeof yielded === "number" ? yielded : yielded.value;
}

async function collect<T>(ch: Channel<T>, got: T[]): Promise<void> {
  for await (const value of ch) got.push(value);
}
