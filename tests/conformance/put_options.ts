import assert from "node:assert/strict";
import {
  type Channel,
  ChannelConfigError,
  ChannelTimeoutError,
  type Delivery,
  type PutOptions,
  type PutTerm,
} from "../../mod.ts";
import {
  type Fixture,
  getAll,
  numbers,
  pause,
  rejection,
  type Suite,
  until,
  within,
} from "./fixture.ts";
import type { TestOptions } from "../support/test.ts";

/** put with a delay, an expiry or a priority: options that the transport has work, and others are rejected. */
export function putOptionsTests({ label, test, shared, features }: Suite): void {
  const offered = features.terms ?? [];
  const unless = (needed: PutTerm[]) => {
    const missing = needed.filter((term) => !offered.includes(term));
    return missing.length > 0 ? { skip: `${label}: has no ${missing.join(" and no ")}` } : {};
  };
  const declare = (needed: PutTerm[], title: string, body: (fixture: Fixture) => Promise<void>) =>
    test(title, body, unless(needed));
  const across = (
    needed: PutTerm[],
    title: string,
    body: (fixture: Fixture) => Promise<void>,
    options: TestOptions = {},
  ) => shared(title, body, { ...options, ...unless(needed) });

  for (const term of ["delay", "expires", "priority"] as const) {
    if (offered.includes(term)) continue;
    test(`a put with ${term} is rejected with its value and the transport's name`, async (fixture) => {
      const ch = fixture.channel<string>();
      for (const _ of [1, 2]) {
        const error = await rejection(ch.put("unsent", { [term]: 5 }), ChannelConfigError);
        assert.match(error.message, new RegExp(`\\b${term}\\b.* is not for [a-z]+:.* takes `));
        assert.equal((error as { value?: unknown }).value, "unsent");
      }
      await ch.put("sent", { [term]: undefined });
      assert.deepEqual(await getAll(ch, 1), ["sent"]);
    });
  }

  test("an option out of range is rejected at once", async (fixture) => {
    const ch = fixture.channel<number>();
    const bad: PutOptions[] = [
      { delay: -1 },
      { delay: NaN },
      { delay: 2 ** 32 },
      { delay: "1" as unknown as number },
      { expires: 0 },
      { expires: Infinity },
      { expires: 10, delay: 10 },
      { priority: 0.5 },
      { priority: Infinity },
    ];
    for (const options of bad) {
      const error = await rejection(ch.put(7, options), ChannelConfigError);
      assert.equal((error as { value?: unknown }).value, 7);
    }
    assert.equal(await ch.depth(), 0);
  });

  declare(["delay"], "a delayed value is got when it is due, and not before", async (fixture) => {
    const ch = fixture.channel<string>();
    await within(ch.put("much later", { delay: 600_000 }));
    await ch.put("now");
    assert.equal(await ch.depth(), 1);
    assert.equal(await ch.get(), "now");
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
    const start = performance.now();
    await ch.put("later", { delay: 300 });
    assert.equal(await ch.get({ timeout: 20_000 }), "later");
    const took = performance.now() - start;
    assert.ok(took >= 299, `after ${took} ms`);
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
  });

  declare(["delay"], "a delayed value is never early", async (fixture) => {
    const ch = fixture.channel<number>();
    const start = performance.now();
    const delays = numbers(50).map((n) => 20 + 7 * n);
    await Promise.all(delays.map((delay) => ch.put(delay, { delay })));
    for (const _ of delays) {
      const delay = await ch.get({ timeout: 20_000 });
      const took = performance.now() - start;
      assert.ok(took >= delay - 1, `${delay} ms took ${took}`);
    }
  });

  declare(
    ["delay"],
    "delayed values arrive in the order in which they are due",
    async (fixture) => {
      const ch = fixture.channel<number>();
      const delays = [120, 40, 80, 40, 0, 120];
      await Promise.all(delays.map((delay, i) => ch.put(i, { delay })));
      assert.deepEqual(await getAll(ch, 6), [4, 1, 3, 2, 0, 5]);
    },
  );

  declare(
    ["delay"],
    "a value that becomes due joins the end of the queue, and depth counts it from then on",
    async (fixture) => {
      // A busy machine may need longer than the delay: then a longer one is tried.
      let ch = fixture.channel<string>();
      for (let [delay, took] = [500, Infinity]; took > delay; delay *= 3) {
        ch = fixture.channel<string>();
        const start = performance.now();
        await ch.put("a");
        await ch.put("c", { delay });
        await ch.put("b");
        const depth = await ch.depth();
        took = performance.now() - start;
        if (took <= delay) assert.equal(depth, 2);
      }
      await until(async () => await ch.depth() === 3);
      await ch.put("d");
      assert.deepEqual(await getAll(ch, 4), ["a", "b", "c", "d"]);
    },
  );

  declare(["delay"], "waiting getters get delayed values in turn", async (fixture) => {
    const ch = fixture.channel<number>();
    const gets = numbers(5).map(() => ch.get());
    await Promise.all(numbers(5).map((n) => ch.put(n, { delay: 30 + 10 * n })));
    assert.deepEqual(await within(Promise.all(gets)), numbers(5));
  });

  declare(
    ["delay"],
    "delayed values are deleted by delete and kept by closeAll",
    async (fixture) => {
      const ch = fixture.channel<string>();
      await ch.put("gone", { delay: 30 });
      await ch.delete();
      const again = fixture.channel<string>(ch.name);
      await rejection(again.get({ timeout: 80 }), ChannelTimeoutError);
      await again.put("kept", { delay: 60 });
      await again.closeAll();
      assert.equal(await fixture.channel<string>(ch.name).get({ timeout: 20_000 }), "kept");
    },
  );

  across(
    ["delay"],
    "a delayed value reaches a waiting get on another connection in time",
    async (fixture) => {
      for (const isClosed of [false, true]) {
        const a = fixture.channel<number>();
        const b = fixture.channel<number>(a.name, 1);
        const got = b.get();
        await fixture.untilWaiting(a);
        const start = performance.now();
        const sender = fixture.channel<number>(a.name, 2);
        await sender.put(1, { delay: 700 });
        if (isClosed) await sender.close();
        assert.equal(await within(got), 1);
        const took = performance.now() - start;
        assert.ok(took < 900, `after ${took} ms`);
      }
    },
    { timed: "a value that is slightly late shows only by time" },
  );

  declare(["expires"], "an expired value is not got", async (fixture) => {
    const ch = fixture.channel<string>();
    await ch.depth(); // attaches the handle
    const start = performance.now();
    const puts = [
      ch.put("short", { expires: 1000 }),
      ch.put("long", { expires: 60_000 }),
      ch.put("for ever"),
    ];
    await Promise.all(puts);
    const depth = await ch.depth();
    if (performance.now() - start < 990) assert.equal(depth, 3); // a busy machine may need longer
    await until(async () => await ch.depth() === 2);
    assert.deepEqual(await getAll(ch, 2), ["long", "for ever"]);
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
  });

  declare(["expires"], "a value that has not expired is got as any other", async (fixture) => {
    const ch = fixture.channel<number>();
    await Promise.all(numbers(50).map((n) => ch.put(n, { expires: 30_000 })));
    assert.deepEqual(await getAll(ch, 25), numbers(25));
    const delivery = await ch.receive();
    delivery.release();
    const rest = await getAll(ch, 25); // a released value comes later if others were read ahead
    assert.deepEqual(rest.sort((a, b) => a - b), numbers(25, 25));
    const waiting = ch.get();
    await ch.put(50, { expires: 1 });
    assert.equal(await within(waiting), 50);
  });

  declare(
    ["expires"],
    "an expired value on loan stays usable, and is dropped when it is released",
    async (fixture) => {
      await Promise.all([true, false].map(async (isAccepted) => {
        const ch = fixture.channel<string>();
        await ch.depth(); // attaches the handle
        // On a busy machine, the value may expire before it is received.
        let delivery: Delivery<string> | undefined;
        let expires = 500;
        for (; delivery === undefined; expires *= 2) {
          await ch.put("x", { expires });
          delivery = await ch.receive({ timeout: 2 * expires }).catch(() => undefined);
        }
        await pause(expires / 2 + 50);
        assert.equal(delivery.value, "x");
        if (isAccepted) delivery.accept();
        else delivery.release();
        await rejection(ch.get({ timeout: 60 }), ChannelTimeoutError);
        assert.equal(await ch.depth(), 0);
      }));
    },
  );

  declare(["delay", "expires"], "a delayed value may expire, too", async (fixture) => {
    const ch = fixture.channel<string>();
    await ch.put("x", { delay: 20, expires: 60 });
    await pause(120);
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
    await ch.put("y", { delay: 20, expires: 10_000 });
    assert.equal(await ch.get({ timeout: 20_000 }), "y");
  });

  declare(
    ["priority"],
    "the highest priority is next, and the oldest among equals",
    async (fixture) => {
      const ch = fixture.channel<number[]>();
      const puts = numbers(60).map((n) => [[0, 5, -1, 2 ** 40, 0][n % 5]!, n]);
      for (const [priority, n] of puts) await ch.put([priority!, n!], { priority: priority! });
      const sorted = puts.toSorted((a, b) => b[0]! - a[0]! || a[1]! - b[1]!);
      assert.deepEqual(await getAll(ch, 60), sorted);
    },
  );

  declare(["priority"], "a released value keeps its place among its priority", async (fixture) => {
    const ch = fixture.channel<string>();
    const put = (value: string, priority: number) => ch.put(value, { priority });
    await put("low 1", 0);
    await put("high 1", 1);
    await put("high 2", 1);
    const [first, second] = [await ch.receive(), await ch.receive()];
    await put("high 3", 1);
    await put("top", 2);
    second.release();
    first.release();
    await settled(ch, 5);
    assert.deepEqual(await getAll(ch, 5), ["top", "high 1", "high 2", "high 3", "low 1"]);
  });

  declare(["priority"], "a waiting get gets the next value of any priority", async (fixture) => {
    const ch = fixture.channel<number>();
    const gets = numbers(4).map(() => ch.get());
    await ch.depth();
    for (const n of numbers(4)) await ch.put(n, { priority: -n });
    assert.deepEqual(await within(Promise.all(gets)), numbers(4));
  });

  across(
    ["delay", "priority"],
    "priorities and delays work across connections",
    async (fixture) => {
      const a = fixture.channel<string>();
      const b = fixture.channel<string>(a.name, 1);
      await a.put("low");
      await a.put("high", { priority: 3 });
      await a.put("highest", { priority: 4, delay: 50 });
      await until(async () => await b.depth() === 3);
      assert.deepEqual(await getAll(b, 3), ["highest", "high", "low"]);
    },
  );
}

async function settled(ch: Channel<string>, depth: number): Promise<void> {
  await until(async () => await ch.depth() === depth);
}
