import assert from "node:assert/strict";
import { type Channel, ChannelClosedError, ChannelTimeoutError } from "../../mod.ts";
import { numbers, pause, random, rejection, type Suite, within } from "./fixture.ts";

/** Gets that are cancelled while values arrive: every value is got exactly once. */
export function racesTests({ test, shared }: Suite): void {
  test("1,000 values whose gets are aborted around their arrival are each got once", async (fixture) => {
    const ch = fixture.channel<number>();
    const tally = new Tally();
    const trip = await tripOf(ch);
    await rounds(ch, tally, (i) => {
      const control = new AbortController();
      later(i, () => control.abort(aborted), trip);
      return ch.get({ signal: control.signal });
    }, (error) => assert.equal(error, aborted));
  });

  test("1,000 values whose gets time out around their arrival are each got once", async (fixture) => {
    const ch = fixture.channel<number>();
    const tally = new Tally();
    const trip = await tripOf(ch);
    await rounds(
      ch,
      tally,
      (i) => ch.get({ timeout: i % 4 * trip }),
      (error) => assert.ok(error instanceof ChannelTimeoutError, String(error)),
    );
  });

  test("a value that arrives while its get's handle closes is got once", async (fixture) => {
    const a = fixture.channel<number>();
    const tally = new Tally();
    let n = 0;
    for (let round = 0; round < 50; round++) {
      const b = fixture.channel<number>(a.name);
      await b.depth();
      const gets = numbers(4).map(() => tally.count(b.get()));
      const puts = numbers(4).map(() => a.put(n++));
      const closing = new Promise<void>((resolve) => later(round, () => resolve(b.close())));
      await within(Promise.all([...gets, ...puts, closing]));
    }
    for (const error of tally.errors) assert.ok(error instanceof ChannelClosedError);
    await tally.drain(a, n);
  });

  shared("a value that arrives while its get's connection closes is got once", async (fixture) => {
    const a = fixture.channel<number>();
    const tally = new Tally();
    let n = 0;
    for (let round = 0; round < 20; round++) {
      const b = fixture.channel<number>(a.name, 1 + round % 3);
      await b.depth();
      const gets = numbers(4).map(() => tally.count(b.get()));
      const puts = numbers(4).map(() => a.put(n++));
      const closing = new Promise<void>((resolve) => later(round, () => resolve(b.close())));
      await within(Promise.all([...gets, ...puts, closing]));
    }
    await tally.drain(a, n);
  });

  shared(
    "getters of three connections that time out repeatedly get each value once",
    async (fixture) => {
      const source = fixture.channel<number>();
      const tally = new Tally();
      const count = 1000;
      let done = false;
      const getters = numbers(3).map(async (i) => {
        const ch = fixture.channel<number>(source.name, i + 1);
        for (let k = 0; !done; k++) await tally.count(ch.get({ timeout: k % 5 }));
      });
      for (let n = 0; n < count; n += 10) {
        await Promise.all(numbers(10, n).map((n) => source.put(n)));
        if (n % 100 === 0) await pause(random(20));
      }
      const over = performance.now() + 10_000;
      while (tally.values.length < count && performance.now() < over) await pause(5);
      done = true;
      await within(Promise.all(getters));
      for (const error of tally.errors) assert.ok(error instanceof ChannelTimeoutError);
      assert.deepEqual(tally.values.sort((a, b) => a - b), numbers(count));
    },
  );

  test("closeAll while values arrive loses none", async (fixture) => {
    const name = fixture.name();
    const tally = new Tally();
    let n = 0;
    for (let round = 0; round < 30; round++) {
      const [a, b] = [fixture.channel<number>(name), fixture.channel<number>(name)];
      await b.depth();
      const gets = numbers(5).map(() => tally.count(b.get()));
      const puts = numbers(5).map(() =>
        a.put(n++).catch((error) => {
          assert.ok(error instanceof ChannelClosedError);
          tally.unsure.add(error.value as number);
        })
      );
      const closing = new Promise<void>((resolve) => later(round, () => resolve(b.closeAll())));
      await within(Promise.all([...gets, ...puts, closing]));
    }
    await tally.drain(fixture.channel<number>(name), n);
  });
}

const aborted = new Error("aborted");

/** Returns the milliseconds that a get of a value takes that is there: at least 1. */
async function tripOf(ch: Channel<number>): Promise<number> {
  let best = 10;
  for (let i = 0; i < 10; i++) {
    await ch.put(-1);
    const start = performance.now();
    await ch.get();
    best = Math.min(best, performance.now() - start);
  }
  return Math.max(1, best);
}

/** Calls `act` at one of several moments, some of them within this turn of the event loop, others within two `trip`s. */
function later(i: number, act: () => void, trip = 1): void {
  const moment = i % 8;
  if (moment === 0) act();
  else if (moment < 4) hop(moment * 3, act);
  else setTimeout(act, (moment - 4) * trip / 2 * Math.random());
}

function hop(times: number, act: () => void): void {
  if (times === 0) act();
  else queueMicrotask(() => hop(times - 1, act));
}

/** Puts 1,000 values in 50 rounds and calls `get` as often, sometimes before a put and sometimes after it. */
async function rounds(
  ch: Channel<number>,
  tally: Tally,
  get: (i: number) => Promise<number>,
  check: (error: unknown) => void,
): Promise<void> {
  await ch.depth();
  for (let round = 0; round < 50; round++) {
    const work: Promise<unknown>[] = [];
    for (let i = 0; i < 20; i++) {
      const n = round * 20 + i;
      if (round % 2 === 0) work.push(tally.count(get(i + round)), ch.put(n));
      else work.push(ch.put(n), tally.count(get(i + round)));
      if (i % 5 === round % 5) await pause(0);
    }
    await within(Promise.all(work));
  }
  for (const error of tally.errors) check(error);
  assert.ok(tally.errors.length > 0, "no get was cancelled: this has tested nothing");
  assert.ok(tally.values.length > 0, "no get got a value: this has tested nothing");
  await tally.drain(ch, 1000);
}

/** Counts the values that were got and the errors of the gets. */
class Tally {
  readonly values: number[] = [];
  readonly errors: unknown[] = [];
  /** Values of rejected puts, which may have been put nevertheless. */
  readonly unsure = new Set<number>();

  count(got: Promise<number>): Promise<void> {
    return got.then((n) => void this.values.push(n), (error) => void this.errors.push(error));
  }

  /** Gets the rest of `count` values and asserts that each arrived once. */
  async drain(ch: Channel<number>, count: number): Promise<void> {
    for (;;) {
      const sure = numbers(count).filter((n) => !this.unsure.has(n));
      const got = new Set(this.values);
      if (sure.every((n) => got.has(n))) break;
      const missing = sure.filter((n) => !got.has(n));
      await ch.get({ timeout: 20_000 }).then((n) => this.values.push(n), (error) => {
        throw new Error(`lost: ${missing}`, { cause: error });
      });
    }
    for (;;) {
      try {
        this.values.push(await ch.get({ timeout: 50 }));
      } catch (error) {
        if (!(error instanceof ChannelTimeoutError)) throw error;
        break;
      }
    }
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
    const seen = new Set(this.values);
    assert.equal(seen.size, this.values.length, "a value was got twice");
  }
}
