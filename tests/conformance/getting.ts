import assert from "node:assert/strict";
import { ChannelClosedError, ChannelConfigError, ChannelTimeoutError } from "../../mod.ts";
import { getAll, numbers, rejection, type Suite, until, within } from "./fixture.ts";

/** get: order, waiting, timeouts and aborts. races.ts has the gets that race with deliveries. */
export function gettingTests({ test, shared }: Suite): void {
  test("values are got in the order of the puts", async (fixture) => {
    const ch = fixture.channel<number>();
    for (const n of numbers(20)) await ch.put(n);
    assert.deepEqual(await getAll(ch, 20), numbers(20));
  });

  test("a get waits for a value that is put later", async (fixture) => {
    const ch = fixture.channel<string>();
    const got = ch.get();
    await fixture.untilWaiting(ch);
    await ch.put("late");
    assert.equal(await within(got), "late");
  });

  test("a value put by one handle is got by another", async (fixture) => {
    const a = fixture.channel<string>();
    const b = fixture.channel<string>(a.name);
    const got = b.get();
    await a.put("foo");
    assert.equal(await within(got), "foo");
  });

  shared("a value put by one connection is got by another", async (fixture) => {
    const a = fixture.channel<string>();
    const b = fixture.channel<string>(a.name, 1);
    const got = b.get();
    await a.put("foo");
    assert.equal(await within(got), "foo");
    await b.put("bar");
    assert.equal(await a.get({ timeout: 20_000 }), "bar");
  });

  test("a get with timeout 0 takes a value that exists, also as a handle's first operation", async (fixture) => {
    const a = fixture.channel<number>();
    for (const n of numbers(6)) await a.put(n);
    assert.equal(await a.get({ timeout: 0 }), 0);
    const b = fixture.channel<number>(a.name);
    for (const n of numbers(5, 1)) assert.equal(await b.get({ timeout: 0 }), n);
  });

  test("a get with timeout 0 on an empty channel rejects at once", async (fixture) => {
    const ch = fixture.channel<string>();
    const start = performance.now();
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
    for (let i = 0; i < 20; i++) await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
    assert.ok(performance.now() - start < 8000);
    await ch.put("still works");
    assert.equal(await ch.get({ timeout: 0 }), "still works");
  });

  test("a get with timeout 0 takes no value that an earlier get waits for", async (fixture) => {
    const ch = fixture.channel<string>();
    const waiting = ch.get();
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
    await ch.put("first");
    assert.equal(await within(waiting), "first");
  });

  test("gets with timeout 0 find every value after a burst of other gets", async (fixture) => {
    const ch = fixture.channel<number>();
    await Promise.all(numbers(300).map((n) => ch.put(n)));
    assert.deepEqual(await getAll(ch, 100), numbers(100)); // a transport may have read ahead by now
    for (const n of numbers(200, 100)) assert.equal(await ch.get({ timeout: 0 }), n);
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
  });

  test("a get with a timeout rejects when the timeout has elapsed, and not before", async (fixture) => {
    const ch = fixture.channel();
    await ch.depth();
    for (const timeout of [1, 30, 100.5]) {
      const start = performance.now();
      const error = await rejection(ch.get({ timeout }), ChannelTimeoutError);
      const took = performance.now() - start;
      assert.ok(took > timeout - 2 && took < timeout + 8000, `${timeout} ms took ${took}`);
      assert.match(error.message, /^get: .*[^.]$/);
      assert.ok(error.message.includes(ch.name));
    }
  });

  test("a timeout that elapses while a new handle attaches is a ChannelTimeoutError", async (fixture) => {
    const other = fixture.channel(); // the broker is reachable, and the connection is open
    await other.depth();
    for (const timeout of [0.1, 1, 2]) {
      await rejection(fixture.channel().get({ timeout }), ChannelTimeoutError);
    }
  });

  test("a get with a timeout resolves with a value that arrives in time", async (fixture) => {
    const ch = fixture.channel<number>();
    const gets = [Infinity, 5000, 2 ** 31, Number.MAX_VALUE, undefined].map((timeout) =>
      ch.get(timeout === undefined ? {} : { timeout })
    );
    await fixture.untilWaiting(ch);
    for (const n of numbers(5)) await ch.put(n);
    assert.deepEqual(await within(Promise.all(gets)), numbers(5));
  });

  test("an invalid option is rejected before anything is done", async (fixture) => {
    const ch = fixture.channel<unknown>();
    await ch.put("kept");
    const bad: unknown[] = [
      ...[-1, -0.001, NaN, -Infinity, "10", null, true, 1n, {}].map((timeout) => ({ timeout })),
      ...["now", {}, null, 1].map((signal) => ({ signal })),
    ];
    for (const options of bad as { timeout?: number }[]) {
      await rejection(ch.get(options), ChannelConfigError);
      const error = await rejection(ch.put("x", options), ChannelConfigError);
      assert.equal(error.value, "x");
      for (const action of ["depth", "closeAll", "delete"] as const) {
        await rejection(ch[action](options) as Promise<unknown>, ChannelConfigError);
      }
    }
    assert.equal(await ch.depth(), 1);
    assert.equal(await ch.get({ timeout: 0 }), "kept");
  });

  test("a get that has timed out takes no value", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.depth();
    const gets = numbers(100).map((n) =>
      rejection(ch.get({ timeout: 1 + n % 7 }), ChannelTimeoutError)
    );
    await Promise.all(gets);
    for (const n of numbers(50)) await ch.put(n);
    assert.deepEqual(await getAll(ch, 50), numbers(50));
  });

  test("a get whose signal is already aborted takes nothing and rejects with the reason", async (fixture) => {
    const ch = fixture.channel<string>();
    const reason = { any: "reason" };
    await assert.rejects(ch.get({ signal: AbortSignal.abort(reason) }), (e) => e === reason);
    await ch.put("kept");
    for (const reason of [new Error("mine"), "text", null]) {
      const got = ch.get({ signal: AbortSignal.abort(reason) });
      await assert.rejects(got, (error) => error === reason);
    }
    await assert.rejects(ch.get({ signal: AbortSignal.abort() }), { name: "AbortError" });
    await assert.rejects(ch.get({ signal: AbortSignal.abort(1), timeout: 0 }), (e) => e === 1);
    assert.equal(await ch.get({ timeout: 0 }), "kept");
  });

  test("a waiting get that is aborted rejects at once with the reason", async (fixture) => {
    const ch = fixture.channel<string>();
    const first = new AbortController();
    const got = ch.get({ signal: first.signal }); // before the handle is attached
    first.abort("changed my mind");
    await assert.rejects(within(got), (e) => e === "changed my mind");
    await ch.depth();
    const second = new AbortController();
    const other = ch.get({ signal: second.signal, timeout: 10_000 });
    await fixture.untilWaiting(ch);
    second.abort("again");
    await assert.rejects(within(other), (e) => e === "again");
    await ch.put("kept");
    assert.equal(await ch.get({ timeout: 0 }), "kept");
  });

  test("a get accepts the signal of AbortSignal.timeout", async (fixture) => {
    const ch = fixture.channel();
    await assert.rejects(within(ch.get({ signal: AbortSignal.timeout(20) })), {
      name: "TimeoutError",
    });
  });

  test("a value meant for a cancelled get goes to the next waiting get", async (fixture) => {
    const a = fixture.channel<string>();
    const b = fixture.channel<string>(a.name);
    await a.depth(); // attaches the handle
    const control = new AbortController();
    const aborted = a.get({ signal: control.signal });
    const late = a.get({ timeout: 30 });
    const waiting = b.get();
    control.abort();
    await assert.rejects(aborted, { name: "AbortError" });
    await rejection(late, ChannelTimeoutError);
    await a.put("for b");
    assert.equal(await within(waiting), "for b");
  });

  shared("a value meant for a cancelled get goes to another connection", async (fixture) => {
    const a = fixture.channel<string>();
    const b = fixture.channel<string>(a.name, 1);
    await a.depth(); // attaches the handle
    await rejection(a.get({ timeout: 50 }), ChannelTimeoutError);
    await a.put("for b"); // a's connection may still have a consumer
    assert.equal(await b.get({ timeout: 20_000 }), "for b");
  });

  test("settled operations leave no listener on their signal", async (fixture) => {
    const ch = fixture.channel<number>();
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    Object.assign(signal, {
      addEventListener(...args: Parameters<AbortSignal["addEventListener"]>) {
        listeners++;
        addEventListener.apply(signal, args);
      },
      removeEventListener(...args: Parameters<AbortSignal["removeEventListener"]>) {
        listeners--;
        removeEventListener.apply(signal, args);
      },
    });
    for (const n of numbers(10)) await ch.put(n, { signal });
    for (const n of numbers(10)) assert.equal(await ch.get({ signal, timeout: 20_000 }), n);
    await rejection(ch.get({ signal, timeout: 5 }), ChannelTimeoutError);
    await rejection(ch.get({ signal, timeout: 0 }), ChannelTimeoutError);
    await ch.depth({ signal });
    const waiting = numbers(3).map(() => rejection(ch.get({ signal }), ChannelClosedError));
    assert.equal(listeners, 1); // a runtime searches the listeners of a signal one by one, so they share it
    await ch.close();
    await Promise.all(waiting);
    assert.equal(listeners, 0);
  });

  test("many waiting gets are each served once, in the order of the calls", async (fixture) => {
    const ch = fixture.channel<number>();
    const order: number[] = [];
    const gets = numbers(500).map((i) =>
      ch.get().then((value) => {
        order.push(i);
        return value;
      })
    );
    await Promise.all(numbers(500).map((n) => ch.put(n)));
    assert.deepEqual(await within(Promise.all(gets)), numbers(500));
    assert.deepEqual(order, numbers(500));
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
  });

  test("depth counts the values in the channel", async (fixture) => {
    const a = fixture.channel<number>();
    const b = fixture.channel<number>(a.name);
    assert.equal(await a.depth(), 0);
    await Promise.all(numbers(5).map((n) => a.put(n)));
    assert.equal(await a.depth(), 5);
    assert.equal(await b.depth({ timeout: 20_000 }), 5);
    await b.get();
    await until(async () => await a.depth() === 4);
    await assert.rejects(a.depth({ signal: AbortSignal.abort("no") }), (e) => e === "no");
  });
}
