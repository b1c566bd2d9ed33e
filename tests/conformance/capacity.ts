import assert from "node:assert/strict";
import {
  Channel,
  ChannelClosedError,
  ChannelConfigError,
  type ChannelOptions,
  ChannelTimeoutError,
  select,
  trySelect,
} from "../../mod.ts";
import { startChild } from "../support/child.ts";
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

/** Reports whether a promise is still pending after `ms` milliseconds. */
async function waits(promise: Promise<unknown>, ms = 150): Promise<boolean> {
  return await Promise.race([promise.then(() => false), pause(ms).then(() => true)]);
}

/** Returns a handle on a new channel with this capacity. */
function bounded<T>(fixture: Fixture, capacity: number, n = 0): Channel<T> {
  return fixture.channel<T>(undefined, n, { capacity });
}

/** Starts a process that puts, gets its first value, and kills the process while it waits with the next. */
async function killedWhileWaiting(
  program: URL,
  args: string[],
  ch: Channel<number>,
): Promise<unknown> {
  await using child = startChild(program, { args });
  await ch.get({ timeout: 10_000 });
  const first = await child.next();
  await pause(200);
  child.kill();
  await child.exited;
  return first;
}

/** Channels with a capacity. */
export function capacityTests({ label, features, test, shared }: Suite): void {
  const skip = !features.rendezvous && `${label}: has no channels of capacity 0`;

  test("a put to a full channel waits and resolves when a value is got", async (fixture) => {
    const ch = bounded<number>(fixture, 3);
    for (const n of numbers(3)) await within(ch.put(n));
    const fourth = ch.put(3);
    assert.ok(await waits(fourth));
    assert.equal(await ch.depth(), 3);
    assert.equal(await ch.get(), 0);
    await within(fourth);
    assert.deepEqual(await getAll(ch, 3), [1, 2, 3]);
  });

  test("waiting puts keep their order, and each value arrives once", async (fixture) => {
    const ch = bounded<number>(fixture, 5);
    const puts = numbers(200).map((n) => ch.put(n));
    assert.deepEqual(await within(getAll(ch, 200)), numbers(200));
    await within(Promise.all(puts));
    assert.equal(await ch.depth(), 0);
  });

  test("the value of a cancelled waiting put is never delivered", async (fixture) => {
    const ch = bounded<number>(fixture, 1);
    await ch.put(0);
    const late = await Promise.all(
      numbers(5).map((n) => rejection(ch.put(1, { timeout: 400 + 7 * n }), ChannelTimeoutError)),
    );
    assert.deepEqual(late.map(({ value }) => value), numbers(5).map(() => 1));
    // RabbitMQ rejects a publish to a full queue. A put that is cancelled during such an attempt has an unknown
    // outcome.
    const known = late.filter(({ messageId }) => messageId === undefined).length;
    assert.ok(known === 5 || (label.endsWith("amqp") && known >= 3), `${known} of 5 are known`);
    const stop = new AbortController();
    const aborted = assert.rejects(ch.put(2, { signal: stop.signal }), (e) => e === "mine");
    const last = ch.put(3);
    await pause(50);
    stop.abort("mine");
    await within(aborted);
    assert.equal(await ch.get(), 0);
    await within(last);
    assert.equal(await ch.get(), 3);
    await rejection(ch.get({ timeout: 50 }), ChannelTimeoutError);
  });

  test("tryPut returns ok, full or closed, and never waits", async (fixture) => {
    const ch = bounded<number>(fixture, 2);
    const answers = [];
    for (const n of numbers(4)) answers.push(await within(ch.tryPut(n)));
    assert.deepEqual(answers, ["ok", "ok", "full", "full"]);
    const waiting = ch.put(9);
    assert.equal(await within(ch.tryPut(4)), "full");
    assert.ok(await waits(waiting, 50));
    assert.equal(await ch.tryPut(4), "full");
    assert.deepEqual(await getAll(ch, 2), [0, 1]);
    await within(waiting);
    assert.equal(await ch.tryPut(5), "ok");
    assert.deepEqual(await getAll(ch, 2), [9, 5]);
    const other = fixture.channel<number>(ch.name);
    await other.close();
    assert.equal(await other.tryPut(6), "closed");
    const unbounded = fixture.channel<number>();
    assert.equal(await unbounded.tryPut(1), "ok");
  });

  test("the first handle sets the channel's capacity, and all handles respect it", async (fixture) => {
    const ch = bounded<number>(fixture, 2);
    await ch.depth();
    const plain = fixture.channel<number>(ch.name, 1);
    const other = fixture.channel<number>(ch.name, 2, { capacity: 10 });
    if (!fixture.setup.features.shared) assert.equal(await plain.depth(), 0);
    await plain.put(0);
    await other.put(1);
    assert.equal(await other.tryPut(2), "full");
    assert.equal(await plain.tryPut(2), "full");
    const waiting = [plain.put(2), other.put(3)];
    assert.ok(await waits(Promise.race(waiting)));
    assert.deepEqual(await getAll(ch, 2), [0, 1]);
    assert.deepEqual((await getAll(ch, 2)).sort(), [2, 3]);
    await within(Promise.all(waiting));
    const unbounded = fixture.channel<number>();
    await unbounded.put(0);
    const late = fixture.channel<number>(unbounded.name, 1, { capacity: 1 });
    await within(late.put(1));
  });

  test("producers and consumers of a channel of capacity 1 pass each value once", async (fixture) => {
    const ch = bounded<number>(fixture, 1);
    await ch.depth();
    const producers = [0, 1, 2].map((n) => fixture.channel<number>(ch.name, n));
    const consumers = [0, 1, 2].map((n) => fixture.channel<number>(ch.name, n));
    const puts = producers.map(async (producer, i) => {
      for (const n of numbers(40)) await producer.put(i * 40 + n);
    });
    const gets = consumers.map((consumer) => getAll(consumer, 40));
    const all = (await within(Promise.all(gets))).flat();
    await within(Promise.all(puts));
    assert.deepEqual(all.sort((a, b) => a - b), numbers(120));
  });

  test("each way to close a channel rejects a put that waits for room", async (fixture) => {
    await Promise.all((["close", "closeAll", "drain", "delete"] as const).map(async (reason) => {
      const ch = bounded<number>(fixture, 1);
      const other = fixture.channel<number>(ch.name, 1);
      await ch.put(0);
      const put = ch.put(1).then(() => {
        // RabbitMQ confirms a publish to a queue that is being deleted: the value is deleted with the others.
        assert.ok(label === "amqp" && reason === "delete", `a put resolved, reason ${reason}`);
        return ch.put(1);
      });
      const waiting = rejection(put, ChannelClosedError, { reason });
      assert.ok(await waits(waiting, 50));
      if (reason === "close") await within(ch.close());
      else if (reason === "delete") await other.delete();
      else await other.closeAll({ drain: reason === "drain" });
      const error = await within(waiting);
      assert.equal(error.value, 1);
      if (reason === "delete") return;
      const later = fixture.channel<number>(ch.name);
      assert.equal(await later.get({ timeout: 20_000 }), 0);
      await assert.rejects(later.get({ timeout: 100 }));
    }));
  });

  test("a released value returns to a full channel", async (fixture) => {
    for (const options of [{}, { maxAttempts: 5 }] as ChannelOptions[]) {
      const ch = fixture.channel<string>(undefined, 0, { ...options, capacity: 1 });
      await ch.put("a");
      const delivery = await ch.receive();
      const waiting = ch.put("b");
      await pause(100);
      delivery.release();
      const values = [];
      for (let i = 0; i < 2; i++) {
        const next = await ch.receive({ timeout: 20_000 });
        values.push(next.value);
        next.accept();
      }
      await within(waiting);
      assert.deepEqual(values.sort(), ["a", "b"]);
    }
  });

  test("an invalid capacity is rejected", () => {
    for (const capacity of [-1, 0.5, NaN, Infinity, "1" as unknown as number, 2 ** 31]) {
      assert.throws(() => new Channel({ capacity, connection: "memory:" }), ChannelConfigError);
    }
    return Promise.resolve();
  });

  test("a put to a channel of capacity 0 waits until its value is taken", async (fixture) => {
    const ch = bounded<number>(fixture, 0);
    const put = ch.put(1);
    assert.ok(await waits(put));
    assert.equal(await ch.tryPut(2), "full");
    const far = fixture.channel<number>(ch.name, 1);
    assert.equal(await within(far.get()), 1);
    await within(put);
    const got = far.get();
    await until(async () => await ch.tryPut(3) === "ok"); // a slow answer counts as no answer
    assert.equal(await within(got), 3);
    assert.equal(await ch.tryPut(4), "full");
    for (const taker of [ch, far]) {
      const waiting = ch.put(5);
      // On a busy machine, a waiting put may not be visible at first.
      await until(async () => {
        const got = await taker.tryGet();
        return got.status === "ok" && got.value === 5;
      });
      await within(waiting);
      assert.deepEqual(await within(taker.tryGet()), { status: "empty" });
    }
  }, { skip });

  test(
    "the value of a cancelled put to a channel of capacity 0 is never delivered",
    async (fixture) => {
      const ch = bounded<number>(fixture, 0);
      await ch.depth();
      await rejection(ch.put(1, { timeout: 50 }), ChannelTimeoutError);
      const far = fixture.channel<number>(ch.name, 1);
      await far.depth();
      await rejection(far.get({ timeout: 100 }), ChannelTimeoutError);
      const put = ch.put(2);
      assert.equal(await within(far.get()), 2);
      await within(put);
      const waiting = rejection(ch.put(3), ChannelClosedError, { reason: "drain" });
      await pause(50);
      await far.closeAll({ drain: true });
      await within(waiting);
      await rejection(far.get(), ChannelClosedError, { reason: "drain" });
    },
    { skip },
  );

  test(
    "a channel of capacity 0 passes each value once, in the order of the puts",
    async (fixture) => {
      const ch = bounded<number>(fixture, 0);
      await ch.depth();
      const far = fixture.channel<number>(ch.name, 1);
      const puts = numbers(60).map((n) => ch.put(n));
      assert.deepEqual(await within(getAll(far, 30)), numbers(30));
      assert.deepEqual(await within(getAll(ch, 30)), numbers(30, 30));
      await within(Promise.all(puts));
    },
    { skip },
  );

  test("select puts to a full channel only when there is room", async (fixture) => {
    const ch = bounded<number>(fixture, 1);
    const other = fixture.channel<string>();
    await ch.put(0);
    await other.depth();
    const full = { out: ch.putCase(1), other };
    assert.equal(await within(trySelect(full)), undefined);
    await rejection(select(full, { timeout: 100 }), ChannelTimeoutError);
    const chosen = select(full);
    assert.ok(await waits(chosen));
    assert.equal(await ch.get(), 0);
    assert.equal((await within(chosen)).key, "out");
    assert.equal(await ch.get(), 1);

    await ch.put(2);
    const second = select(full);
    assert.ok(await waits(second));
    await other.put("foo");
    assert.deepEqual(await within(second), { key: "other", value: "foo", closed: false });
    assert.equal(await ch.get(), 2);
    await rejection(ch.get({ timeout: 100 }), ChannelTimeoutError); // nothing was put
  });

  test("a put case is ready when its full channel is closed", async (fixture) => {
    for (const drain of [true, false]) {
      const ch = bounded<number>(fixture, 1);
      const far = fixture.channel<number>(ch.name, 1);
      await ch.put(0);
      await far.depth();
      const chosen = select([ch.putCase(1)]);
      assert.ok(await waits(chosen, 100));
      await far.closeAll({ drain });
      assert.deepEqual(await within(chosen), { key: 0, value: undefined, closed: true });
    }
  });

  test("select puts to a channel of capacity 0 only if a receiver waits", async (fixture) => {
    const ch = bounded<number>(fixture, 0);
    const far = fixture.channel<number>(ch.name, 1);
    await ch.depth();
    await far.depth();
    assert.equal(await within(trySelect([ch.putCase(1)])), undefined);
    const alone = select({ out: ch.putCase(1), in: ch.getCase() });
    assert.ok(await waits(alone, 300)); // a select does not match its own cases
    assert.equal(await within(far.get()), 1);
    assert.equal((await within(alone)).key, "out");
    const receiving = select({ in: far });
    await fixture.untilWaiting(far);
    assert.equal((await within(select([ch.putCase(2)]))).key, 0);
    assert.equal((await within(receiving)).value, 2);
  }, { skip });

  test("selects that put and get on channels of capacity 0 meet in pairs", async (fixture) => {
    const ch = bounded<number>(fixture, 0);
    const ends = numbers(4).map((n) => fixture.channel<number>(ch.name, n));
    for (const end of [ch, ...ends]) await end.depth();
    const quit = fixture.channel<never>();
    const quits = numbers(4).map((n) => fixture.channel<never>(quit.name, n));
    await Promise.all(quits.map((end) => end.depth()));
    const sent: number[] = [];
    const received: number[] = [];
    await Promise.all(ends.map(async (end, i) => {
      for (let n = 0;; n++) {
        const value = i * 1000 + n;
        const cases = { in: end, out: end.putCase(value), quit: quits[i]! };
        const { key, value: got } = await within(select(cases), 20_000);
        if (key === "quit") return;
        if (key === "out") sent.push(value);
        else received.push(got!);
        if (sent.length === 40) await quit.closeAll();
      }
    }));
    received.push(...await getAll(ch, sent.length - received.length));
    const byNumber = (a: number, b: number) => a - b;
    assert.deepEqual(received.sort(byNumber), sent.sort(byNumber));
  }, { skip });

  test(
    "a handle by name or by reference respects capacity 0",
    async (fixture) => {
      for (
        const ch of [bounded<number>(fixture, 0), fixture.anonymous<number>(0, { capacity: 0 })]
      ) {
        await ch.depth();
        const byName = fixture.channel<number>(ch.name, 1);
        assert.ok(await waits(byName.put(0), 100));
        assert.equal(await within(ch.get()), 0);
        const carrier = fixture.channel<Channel<number>>();
        await carrier.put(ch);
        const byReference = fixture.own(
          await fixture.channel<Channel<number>>(carrier.name, 2).get(),
        );
        const put = byReference.put(1);
        assert.ok(await waits(put, 100));
        assert.equal(await within(byName.get()), 1);
        await within(put);
        await rejection(byReference.put(2, { timeout: 50 }), ChannelTimeoutError);
        await rejection(byName.get({ timeout: 100 }), ChannelTimeoutError);
      }
    },
    { skip },
  );

  test(
    "cancelled puts to a channel of capacity 0 do not affect the others",
    async (fixture) => {
      const ch = bounded<number>(fixture, 0);
      await ch.depth();
      const far = fixture.channel<number>(ch.name, 1);
      const stop = new AbortController();
      const puts = numbers(9).map((n) => {
        if (n % 3 === 0) return ch.put(n);
        const how = n % 3 === 1 ? { timeout: 60 } : { signal: stop.signal };
        return ch.put(n, how).then(() => assert.fail("the value was taken"), () => {});
      });
      await pause(150);
      stop.abort();
      assert.deepEqual(await within(getAll(far, 3)), [0, 3, 6]);
      await within(Promise.all(puts));
      await rejection(far.get({ timeout: 100 }), ChannelTimeoutError);
    },
    { skip },
  );

  test(
    "a value released by a receiver of a channel of capacity 0 goes to another receiver",
    async (fixture) => {
      const ch = bounded<string>(fixture, 0);
      await ch.depth();
      const far = fixture.channel<string>(ch.name, 1);
      const put = ch.put("a");
      const delivery = await within(far.receive());
      await within(put);
      assert.ok(await waits(ch.put("b").catch(() => {}), 50));
      delivery.release();
      const values = await within(getAll(fixture.channel<string>(ch.name, 2), 2));
      assert.deepEqual(values.sort(), ["a", "b"]);
    },
    { skip },
  );

  test(
    "a put to a channel of capacity 0 waits while a released value is taken",
    async (fixture) => {
      const ch = bounded<string>(fixture, 0);
      await ch.depth();
      const put = ch.put("a");
      const delivery = await within(ch.receive());
      await within(put);
      delivery.release();
      await until(async () => await ch.depth() === 1);
      const got = ch.get();
      const waiting = ch.put("b");
      assert.equal(await within(got), "a");
      assert.ok(await waits(waiting, 50));
      assert.equal(await within(ch.get()), "b");
      await within(waiting);
    },
    { skip },
  );

  test("a channel of capacity 0 passes 1,000 values, each once and in order", async (fixture) => {
    const ch = bounded<number>(fixture, 0);
    await ch.depth();
    const far = fixture.channel<number>(ch.name, 1);
    const got = getAll(far, 1000);
    for (const n of numbers(500)) await ch.put(n);
    const puts = numbers(500, 500).map((n) => ch.put(n));
    assert.deepEqual(await got, numbers(1000));
    await within(Promise.all(puts));
    assert.equal(await ch.depth(), 0);
  }, { skip });

  test(
    "producers and consumers of a channel of capacity 0 pass each value once",
    async (fixture) => {
      const ch = bounded<number>(fixture, 0);
      await ch.depth();
      const handles = [0, 1, 2].map((n) => fixture.channel<number>(ch.name, n));
      const gets = handles.map((consumer) => getAll(consumer, 30));
      const puts = handles.map(async (producer, i) => {
        for (const n of numbers(30)) await producer.put(i * 30 + n);
      });
      const all = (await within(Promise.all(gets))).flat();
      await within(Promise.all(puts));
      assert.deepEqual(all.sort((a, b) => a - b), numbers(90));
    },
    { skip },
  );

  test("each way to close a channel rejects a put that waits for a receiver", async (fixture) => {
    const reject = async (
      ch: Channel<number>,
      reason: "close" | "closeAll" | "drain" | "delete",
    ) => {
      await ch.depth();
      const other = fixture.channel<number>(ch.name, 1);
      await other.depth();
      const waiting = rejection(ch.put(1), ChannelClosedError, { reason });
      assert.ok(await waits(waiting, 50));
      if (reason === "close") await within(ch.close());
      else if (reason === "delete") await other.delete();
      else await other.closeAll({ drain: reason === "drain" });
      assert.equal((await within(waiting)).value, 1);
    };
    await Promise.all((["close", "closeAll", "drain", "delete"] as const).flatMap((reason) => [
      reject(bounded(fixture, 0), reason),
      reject(fixture.anonymous(0, { capacity: 0 }), reason),
    ]));
  }, { skip });

  shared("a channel of capacity 0 works between processes", async (fixture) => {
    const ch = bounded<number>(fixture, 0);
    await ch.depth();
    const connection = String(fixture.setup.connection(1));
    const program = (name: string) => new URL(`../programs/${name}.ts`, import.meta.url);
    {
      await using filler = startChild(program("filler"), { args: [connection, ch.name, "3"] });
      for (const n of numbers(3)) {
        await assert.rejects(filler.next(500), /sent nothing/);
        assert.equal(await ch.get({ timeout: 10_000 }), n);
        assert.equal(await filler.next(), n);
      }
      assert.equal((await within(filler.exited)).code, 0);
    }
    await using getter = startChild(program("getter"), { args: [connection, ch.name] });
    await within(ch.put(9));
    assert.equal(await getter.next(), 9);
    assert.equal((await within(getter.exited)).code, 0);
  }, { skip });

  shared("killed processes block nobody at a channel of capacity 0", async (fixture) => {
    const ch = bounded<number>(fixture, 0);
    await ch.depth();
    const connection = String(fixture.setup.connection(1));
    const program = (name: string) => new URL(`../programs/${name}.ts`, import.meta.url);
    const first = await killedWhileWaiting(program("filler"), [connection, ch.name, "3"], ch);
    assert.equal(first, 0);
    await rejection(ch.get({ timeout: 300 }), ChannelTimeoutError); // its next value was lost with it
    await using getter = startChild(program("pending"), { args: [connection, ch.name] });
    assert.equal(await getter.next(), "waiting");
    await fixture.untilWaiting(ch);
    getter.kill();
    await getter.exited;
    const put = ch.put(7);
    assert.equal(await within(fixture.channel<number>(ch.name, 2).get()), 7);
    await within(put);
  }, { skip });

  shared(
    "a full channel's producer in another process continues when there is room",
    async (fixture) => {
      const ch = bounded<number>(fixture, 2);
      await ch.depth();
      const program = new URL("../programs/filler.ts", import.meta.url);
      const args = [String(fixture.setup.connection(1)), ch.name, "6"];
      await using child = startChild(program, { args });
      assert.equal(await child.next(), 0);
      assert.equal(await child.next(), 1);
      await pause(300);
      assert.equal(await ch.depth(), 2);
      assert.deepEqual(await getAll(ch, 6), numbers(6));
      for (const n of numbers(4, 2)) assert.equal(await child.next(), n);
      assert.equal((await within(child.exited)).code, 0);
    },
  );
}
