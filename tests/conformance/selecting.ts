import assert from "node:assert/strict";
import {
  after,
  Channel,
  ChannelClosedError,
  ChannelConfigError,
  ChannelConnectionError,
  ChannelDecodeError,
  ChannelTimeoutError,
  every,
  select,
  trySelect,
} from "../../mod.ts";
import { startChild } from "../support/child.ts";
import {
  type Fixture,
  getAll,
  numbers,
  pause,
  random,
  rejection,
  type Suite,
  until,
  within,
} from "./fixture.ts";

/** select: exactly one case is chosen, and no other case has any effect. */
export function selectingTests({ test, shared, features }: Suite): void {
  // The core chooses at random, which is exact if every case answers at once. On other transports, a case that does not
  // answer within 10 ms is not considered, so each case only has to be chosen now and then.
  const isFair = (counts: number[]) =>
    features.shared ? Math.min(...counts) >= 5 : chiSquare(counts) < 28;
  const rounds = features.shared ? 200 : 1000;
  const fair = (title: string, body: (fixture: Fixture) => Promise<void>) =>
    test(
      title,
      body,
      features.shared ? { timed: "a case that does not answer within 10 ms has no chance" } : {},
    );

  test("select receives a value that exists", async (fixture) => {
    const [a, b] = [fixture.channel<string>(), fixture.channel<number>()];
    await b.put(7);
    assert.deepEqual(await within(select({ a, b })), { key: "b", value: 7, closed: false });
    await a.put("foo");
    assert.deepEqual(await within(select([a.getCase(), b.getCase()])), {
      key: 0,
      value: "foo",
      closed: false,
    });
  });

  test("select waits for a value", async (fixture) => {
    const [a, b] = [fixture.channel<string>(), fixture.channel<string>()];
    const chosen = select({ a, b });
    await Promise.all([a, b].map((ch) => fixture.untilWaiting(ch)));
    await b.put("foo");
    assert.deepEqual(await within(chosen), { key: "b", value: "foo", closed: false });
    await a.put("bar"); // the receive case of a was withdrawn
    assert.equal(await a.get({ timeout: 20_000 }), "bar");
  });

  test("select puts if it cannot receive, and only then", async (fixture) => {
    const [a, b] = [fixture.channel<string>(), fixture.channel<string>()];
    await Promise.all([a.depth(), b.depth()]);
    assert.deepEqual(await within(select({ a, out: b.putCase("foo") })), {
      key: "out",
      value: undefined,
      closed: false,
    });
    assert.equal(await b.get({ timeout: 20_000 }), "foo");
    assert.equal(await a.depth() + await b.depth(), 0);
  });

  test("a put case and a get case on one channel match, one by one", async (fixture) => {
    const ch = fixture.channel<number>();
    let sum = 0;
    let sent = 0;
    let received = 0;
    while (sent < 30 || received < sent) {
      const cases = sent < 30 ? [ch, ch.putCase(sent + 1)] : [ch];
      const { key, value } = await within(select(cases));
      if (key === 1) sent++;
      else {
        received++;
        sum += value as number;
      }
    }
    assert.equal(sum, 30 * 31 / 2);
    assert.equal(await ch.depth(), 0);
  });

  test("one channel in two cases is received from once", async (fixture) => {
    const ch = fixture.channel<number>();
    const counts = [0, 0];
    for (let n = 0; n < 40; n++) {
      const first = n % 2 === 0 ? ch.put(n) : undefined;
      await first;
      const chosen = select([ch, ch]);
      if (first === undefined) await ch.put(n);
      const { key, value } = await within(chosen);
      assert.equal(value, n);
      counts[key]!++;
    }
    assert.ok(Math.min(...counts) > 3, `${counts}`);
    assert.equal(await ch.depth(), 0);
  });

  fair("the choice among ready receives is fair", async (fixture) => {
    const channels = numbers(3).map(() => fixture.channel<number>());
    await Promise.all(channels.flatMap((ch) => numbers(rounds).map((n) => ch.put(n))));
    const counts = [0, 0, 0];
    for (let n = 0; n < rounds; n++) counts[(await within(select(channels))).key]!++;
    assert.ok(isFair(counts), `${counts}`);
    const left = await Promise.all(channels.map(async (ch, i) => {
      const values = await getAll(ch, rounds - counts[i]!);
      return values.length;
    }));
    assert.equal(left[0]! + left[1]! + left[2]!, 2 * rounds);
  });

  fair(
    "the choice among puts, and among a put, a receive and a timer, is fair",
    async (fixture) => {
      const [a, b] = [fixture.channel<number>(), fixture.channel<number>()];
      await Promise.all(numbers(rounds).map((n) => a.put(n)));
      await b.depth();
      const sends = { a: 0, b: 0 };
      for (let n = 0; n < rounds; n++) {
        sends[(await within(select({ a: a.putCase(n), b: b.putCase(n) }))).key]++;
      }
      assert.ok(isFair(Object.values(sends)), JSON.stringify(sends));
      const mixed = { a: 0, b: 0, time: 0 };
      for (let n = 0; n < rounds; n++) {
        const time = after(0);
        mixed[(await within(select({ a, b: b.putCase(n), time }))).key]++;
      }
      assert.ok(isFair(Object.values(mixed)), JSON.stringify(mixed));
      assert.equal(await b.depth(), sends.b + mixed.b);
      await getAll(a, rounds + sends.a - mixed.a);
      await assert.rejects(a.get({ timeout: 0 }), ChannelTimeoutError);
    },
  );

  shared(
    "a value that reached a case that was not chosen is available to others within 20 ms",
    async (fixture) => {
      const [a, b] = [fixture.channel<number>(), fixture.channel<number>()];
      const [a1, b1] = [fixture.channel<number>(a.name, 1), fixture.channel<number>(b.name, 1)];
      await Promise.all([a1.depth(), b1.depth()]);
      const waits: number[] = [];
      for (let n = 0; n < 20; n++) {
        await Promise.all([a.put(n), b.put(n)]);
        const { key } = await within(select({ a, b }));
        const start = performance.now();
        assert.equal(await (key === "a" ? b1 : a1).get({ timeout: 20_000 }), n);
        waits.push(performance.now() - start);
      }
      waits.sort((x, y) => x - y);
      assert.ok(waits[10]! < 40, `ms: ${waits.map(Math.round)}`); // twice the limit, for the transfer
    },
    { timed: "a value held for more than 20 ms shows only by time" },
  );

  test("a channel closed for everyone is a ready case", async (fixture) => {
    const [a, b] = [fixture.channel<string>(), fixture.channel<string>()];
    const chosen = select({ a, b, c: b.putCase("x") });
    await chosen;
    await getAll(b, 1);
    const waiting = select({ a, b });
    await Promise.all([a, b].map((ch) => fixture.untilWaiting(ch)));
    await b.closeAll();
    assert.deepEqual(await within(waiting), { key: "b", value: undefined, closed: true });
    assert.deepEqual(await within(select({ a, b })), { key: "b", value: undefined, closed: true });
    assert.deepEqual(await within(select({ a, b: b.putCase("x") })), {
      key: "b",
      value: undefined,
      closed: true,
    });
    assert.equal((await trySelect({ a, b }))?.closed, true);
    await a.delete();
    assert.equal((await within(select({ a }))).closed, true);
  });

  shared("a channel closed by another connection is a ready case", async (fixture) => {
    const [a, b] = [fixture.channel<string>(), fixture.channel<string>()];
    const other = fixture.channel<string>(b.name, 1);
    for (const end of ["closeAll", "delete"] as const) {
      const here = fixture.channel<string>(b.name);
      await Promise.all([a.depth(), here.depth()]);
      const waiting = select({ a, here });
      await Promise.all([a, here].map((ch) => fixture.untilWaiting(ch)));
      const there = end === "closeAll" ? other : fixture.channel<string>(b.name, 1);
      await there[end]();
      assert.deepEqual(await within(waiting), { key: "here", value: undefined, closed: true });
    }
  });

  test("a handle that is closed here rejects the select", async (fixture) => {
    const [a, b] = [fixture.channel<string>(), fixture.channel<string>()];
    const waiting = rejection(select({ a, b }), ChannelClosedError, { reason: "close" });
    await Promise.all([a.depth(), b.depth()]);
    await b.close();
    await waiting;
    await rejection(select({ a, b }), ChannelClosedError, { reason: "close" });
    await rejection(select({ a, b: b.putCase("") }), ChannelClosedError, { reason: "close" });
    await a.put("foo"); // no select waits for it any more
    assert.equal(await a.get({ timeout: 20_000 }), "foo");
  });

  test("a select that timed out or was aborted takes nothing", async (fixture) => {
    const [a, b] = [fixture.channel<number>(), fixture.channel<number>()];
    await Promise.all([a.depth(), b.depth()]); // attaches both handles
    await rejection(select({ a, b }, { timeout: 20 }), ChannelTimeoutError);
    await rejection(select({ a, b }, { timeout: 0 }), ChannelTimeoutError);
    const control = new AbortController();
    const reason = new Error("enough");
    const waiting = select({ a, b, late: after(60_000) }, { signal: control.signal });
    await Promise.all([a, b].map((ch) => fixture.untilWaiting(ch)));
    control.abort(reason);
    assert.equal(await rejection(waiting, Error), reason);
    assert.equal(await rejection(select({ a }, { signal: control.signal }), Error), reason);
    await Promise.all([a.put(1), b.put(2)]);
    assert.deepEqual(await Promise.all([getAll(a, 1), getAll(b, 1)]), [[1], [2]]);
  });

  test("600 values whose selects are cancelled around their arrival are each got once", async (fixture) => {
    const channels = numbers(3).map(() => fixture.channel<number>());
    await Promise.all(channels.map((ch) => ch.depth()));
    const got: number[] = [];
    for (let round = 0; round < 60; round++) {
      const puts = numbers(10, round * 10).map((n) => channels[random(3)]!.put(n));
      const selects = numbers(10).map(async (i) => {
        const options = i % 2 === 0
          ? { timeout: random(4) }
          : { signal: AbortSignal.timeout(random(4)) };
        try {
          got.push((await select([...channels, ...channels.slice(0, i % 3)], options)).value!);
        } catch (error) {
          assert.ok((error as Error).name.includes("Timeout"), String(error));
        }
      });
      await within(Promise.all([...puts, ...selects]));
    }
    assert.ok(got.length > 0);
    const deadline = performance.now() + 20_000; // a busy machine takes time
    while (got.length < 600 && performance.now() < deadline) {
      const found = await trySelect(channels);
      if (found?.closed === false) got.push(found.value);
    }
    assert.deepEqual(got.sort((x, y) => x - y), numbers(600));
  });

  test("selects that put and get on the same channels lose nothing", async (fixture) => {
    const channels = numbers(3).map(() => fixture.channel<number>());
    const got: number[] = [];
    let next = 0;
    const workers = numbers(4).map(async () => {
      while (next < 200) {
        const n = next++;
        for (;;) {
          const [from, to] = [channels[random(3)]!, channels[random(3)]!];
          const { key, value } = await select({ from, to: to.putCase(n) });
          if (key === "to") break;
          got.push(value!);
        }
      }
    });
    await within(Promise.all(workers));
    await until(async () => {
      const found = await trySelect(channels);
      if (found?.closed === false) got.push(found.value);
      return got.length === 200;
    });
    assert.deepEqual(got.sort((x, y) => x - y), numbers(200));
  });

  test("trySelect, tryGet and tryPut answer at once", async (fixture) => {
    const [a, b] = [fixture.channel<number>(), fixture.channel<number>()];
    assert.equal(await trySelect({ a, b }), undefined);
    assert.equal(await trySelect({}), undefined);
    assert.deepEqual(await a.tryGet(), { status: "empty" });
    assert.equal(await a.tryPut(1), "ok");
    assert.deepEqual(await trySelect({ a, b }), { key: "a", value: 1, closed: false });
    assert.equal(await trySelect({ a, b }), undefined);
    assert.deepEqual(await trySelect({ a, b: b.putCase(2) }), {
      key: "b",
      value: undefined,
      closed: false,
    });
    assert.deepEqual(await b.tryGet(), { status: "ok", value: 2 });
    await a.closeAll();
    assert.deepEqual(await a.tryGet(), { status: "closed" });
    assert.equal(await a.tryPut(1), "closed");
    const fresh = fixture.channel<number>();
    assert.equal((await trySelect([fresh.putCase(3)]))?.key, 0);
    await getAll(fresh, 1);
  });

  test("a value that cannot be encoded or decoded rejects the select, and no other case has an effect", async (fixture) => {
    const [a, b] = [fixture.channel<unknown>(), fixture.channel<unknown>()];
    await a.put("foo");
    const error = await rejection(select({ a, b: b.putCase(() => {}) }), DOMException);
    assert.equal(error.name, "DataCloneError");
    assert.equal(await a.get({ timeout: 20_000 }), "foo");
    await using raw = await fixture.setup.raw(b.name);
    await raw.put({ body: new Uint8Array([0xff]), contentType: "application/cbor" });
    await rejection(select({ a, b }), ChannelDecodeError);
    assert.equal(await b.depth(), 0);
    for (const wrong of [7, null, {}, { getCase: () => 1 }]) {
      await rejection(select({ wrong } as unknown as { a: typeof a }), ChannelConfigError);
    }
    await rejection(select({ a }, { timeout: -1 }), ChannelConfigError);
  });

  test("an unreachable broker rejects the select", async (fixture) => {
    const a = fixture.channel<string>();
    const connection = "amqp://127.0.0.1:1";
    const far = fixture.own(new Channel<string>({ connection, retryTimeout: 0 }));
    await rejection(select({ a, far }), ChannelConnectionError);
    await rejection(select({ a, far: far.putCase("x") }), ChannelConnectionError);
    const retrying = fixture.own(new Channel<string>({ connection, retryTimeout: 60_000 }));
    await rejection(select({ a, retrying }, { timeout: 50 }), ChannelConnectionError);
    await a.put("foo"); // the other cases do not matter
    assert.equal((await within(select({ a, retrying }))).value, "foo");
  });

  fair("one select can mix transports", async (fixture) => {
    const here = fixture.own(new Channel<number>({ connection: "memory:select" }));
    const there = fixture.channel<number>();
    await Promise.all(numbers(rounds).flatMap((n) => [here.put(n), there.put(n)]));
    const counts = { here: 0, there: 0 };
    for (let n = 0; n < rounds; n++) counts[(await within(select({ here, there }))).key]++;
    assert.ok(isFair(Object.values(counts)), JSON.stringify(counts));
    await getAll(here, rounds - counts.here);
    await getAll(there, rounds - counts.there);
    const waiting = select({ here, there });
    await here.put(1);
    assert.equal((await within(waiting)).key, "here");
    assert.equal(await here.depth() + await there.depth(), 0);
  });

  test("after and every are cases", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.depth();
    const start = performance.now();
    const late = after(30);
    const { key, value } = await within(select({ ch, late }));
    assert.equal(key, "late");
    assert.ok(value instanceof Date);
    assert.ok(performance.now() - start >= 29);
    assert.equal(await trySelect({ late, never: undefined }), undefined, "it fired twice");
    await using ticks = every(10);
    let n = 0;
    for await (const _ of ticks) if (++n === 3) break;
    await pause(35);
    assert.equal((await trySelect([ticks]))?.key, 0, "one tick for all that were missed");
    assert.ok(performance.now() - start < 5000);
    await ch.put(1);
    const kinds = { ch: 0, ticks: 0 };
    while (kinds.ch === 0) kinds[(await within(select({ ch, ticks }))).key]++;
  });

  test("a waiting iterator of timers ends when it is left or its timer is disposed of", async () => {
    const end = { value: undefined, done: true };
    for (const ticks of [every(60_000), after(60_000)]) {
      const iterator = ticks[Symbol.asyncIterator]();
      const next = [iterator.next(), iterator.next()];
      assert.deepEqual(await within(iterator.return!()), end);
      assert.deepEqual(await within(Promise.all(next)), [end, end]);
      const another = ticks[Symbol.asyncIterator]().next();
      await ticks[Symbol.asyncDispose]();
      assert.deepEqual(await within(another), end);
      assert.deepEqual(await within(ticks[Symbol.asyncIterator]().next()), end);
    }
  });

  test("a hundred channels in one select", async (fixture) => {
    const channels = numbers(100).map(() => fixture.channel<number>());
    await Promise.all(channels.map((ch) => ch.depth()));
    for (let n = 0; n < 5; n++) {
      const i = random(100);
      const chosen = select(channels);
      await channels[i]!.put(n);
      assert.deepEqual(await within(chosen), { key: i, value: n, closed: false });
    }
    await channels[42]!.put(42);
    assert.equal((await trySelect(channels))?.value, 42);
  });

  shared(
    "five selecting processes move 2,000 values of three channels, each once",
    async (fixture) => {
      const processes = 5;
      const channels = numbers(3).map(() => fixture.channel<number>());
      const results = fixture.channel<number[]>();
      await Promise.all([...channels, results].map((ch) => ch.depth()));
      const names = [...channels, results].map(({ name }) => name);
      const program = new URL("../programs/selector.ts", import.meta.url);
      const children = numbers(processes).map(() =>
        startChild(program, { args: [String(fixture.setup.connection(0)), ...names] })
      );
      try {
        for (const child of children) assert.equal(await child.next(60_000), "ready");
        // Each process gets values. On a busy machine one may be slow, and more values are put until it has one.
        let isShared = false;
        const shared = Promise.all(children.map((child) => child.next(60_000))).then((first) => {
          assert.deepEqual(first, numbers(processes).map(() => "got one"));
          isShared = true;
        });
        shared.catch(() => isShared = true);
        const puts = numbers(2000).map((n) => channels[random(3)]!.put(n));
        let count = puts.length;
        const got: number[] = [];
        const collect = async () => {
          while (got.length < count) got.push(...await results.get({ timeout: 15_000 }));
        };
        await Promise.all([...puts, collect()]);
        while (!isShared) await channels[random(3)]!.put(count++);
        await Promise.all([shared, collect()]);
        assert.deepEqual(got.sort((a, b) => a - b), numbers(count));
        await channels[0]!.closeAll();
        for (const child of children) {
          assert.equal(await child.next(), "closed");
          assert.deepEqual(await within(child.exited), { code: 0, signal: null }, child.stderr);
        }
        assert.equal(await trySelect(channels.slice(1)), undefined);
      } finally {
        await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
      }
    },
  );
}

/** Pearson's statistic for equal counts. With 2 degrees of freedom, it exceeds 28 once in 1,200,000. */
function chiSquare(counts: number[]): number {
  const expected = counts.reduce((sum, count) => sum + count) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}
