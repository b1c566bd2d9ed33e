import assert from "node:assert/strict";
import { Channel, ChannelTimeoutError, every, select } from "../mod.ts";
import { numbers, rejection } from "./conformance/fixture.ts";
import { startChild } from "./support/child.ts";
import { findRuntime } from "./support/runtimes.ts";
import { test } from "./support/test.ts";

test("timers: those of node:test control all timeouts", {
  timed: "the machine's clock runs, and the program must be faster",
}, async () => {
  const runtime = await findRuntime("node");
  const program = new URL("programs/mock_timers.ts", import.meta.url);
  await using child = startChild(program, { runtime });
  const month = 30 * 24 * 3_600_000;
  const events = await child.next() as string[];
  // The machine's clock runs, too, so the last step of 1 ms may not be needed.
  const long = events.findIndex((event) => event.startsWith("long get"));
  events[long] = events[long]!.replace(
    / at (\d+)$/,
    (text, at) => month - at <= 1 ? " in time" : text,
  );
  assert.deepEqual(events, [
    "get: ChannelTimeoutError at 500000",
    "short get: ChannelTimeoutError at 1",
    "long get: ChannelTimeoutError in time",
    "after: done at 500000",
    "tick 1: done at 500000",
    "tick 2: done at 500000",
    "tick 3: done at 500000",
    "delayed: 7 at 500000",
    "expired: 0 at 0",
    "released: 9 at 500000",
    "afterwards: ChannelTimeoutError at 5",
  ]);
});

/** Timers with which a test replaces the runtime's, with or without the clock. */
class FakeTimers implements Disposable {
  readonly #real = { setTimeout, clearTimeout, now: performance.now };
  readonly #timers = new Map<number, { at: number; call: () => void }>();
  #time = 0;
  #last = 0;

  constructor(withClock: boolean) {
    Object.assign(globalThis, {
      setTimeout: (call: () => void, ms = 0) => {
        this.#timers.set(++this.#last, { at: this.#time + ms, call });
        return this.#last;
      },
      clearTimeout: (id: number) => this.#timers.delete(id),
    });
    if (withClock) performance.now = () => this.#time;
  }

  move(ms: number): void {
    const end = this.#time + ms;
    for (;;) {
      const next = [...this.#timers].filter(([, { at }]) => at <= end)
        .sort(([, a], [, b]) => a.at - b.at)[0];
      if (next === undefined) break;
      const [id, { at, call }] = next;
      this.#timers.delete(id);
      this.#time = at;
      call();
    }
    this.#time = end;
  }

  [Symbol.dispose](): void {
    const { now, ...timers } = this.#real;
    Object.assign(globalThis, timers);
    performance.now = now;
  }
}

for (const withClock of [true, false]) {
  const what = withClock ? "timers and the clock" : "timers alone";
  Deno.test(`timers: a test that replaces ${what} controls timeouts and ticks`, async () => {
    await using ch = new Channel<number>({ connection: "memory:timers" });
    await using ticks = every(10_000_000);
    using fake = new FakeTimers(withClock);
    for (const timeout of [1, 50, 3_600_000, 2 ** 32]) {
      const get = assert.rejects(ch.get({ timeout }), ChannelTimeoutError);
      fake.move(timeout);
      await get;
    }
    if (withClock) return;
    await select([ticks]); // it has been due for long
  });
}

Deno.test("timers: a timeout is never more than a millisecond early", async () => {
  await using ch = new Channel<number>({ connection: "memory:timers" });
  await ch.depth();
  await Promise.all(
    numbers(300).map(async (n) => {
      const timeout = 1 + n / 7;
      const begun = performance.now();
      await rejection(ch.get({ timeout }), ChannelTimeoutError);
      const taken = performance.now() - begun;
      assert.ok(taken > timeout - 1, `${timeout} ms took ${taken}`);
    }),
  );
});
