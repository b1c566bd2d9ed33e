import assert from "node:assert/strict";
import {
  Channel,
  ChannelClosedError,
  ChannelConfigError,
  type ChannelOptions,
  ChannelTimeoutError,
  type Delivery,
} from "../../mod.ts";
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

/** receive: values on loan. */
export function receivingTests({ test, shared }: Suite): void {
  test("receive lends a value, and accept removes it", async (fixture) => {
    const [ch, other] = await twoConnections<string>(fixture);
    await ch.put("a value");
    const delivery = await ch.receive({ timeout: 20_000 });
    assert.equal(delivery.value, "a value");
    assert.equal(delivery.attempts, 1);
    assert.equal(delivery.redelivered, false);
    assert.equal(delivery.reason, undefined);
    assert.equal(await other.depth(), 0);
    delivery.accept();
    await ch.close();
    await isGone(other);
  });

  test("a waiting receive gets the next value that is put", async (fixture) => {
    const ch = fixture.channel<number>();
    for (const n of numbers(3)) {
      const waiting = ch.receive();
      await ch.put(n);
      const delivery = await within(waiting);
      assert.deepEqual([delivery.value, delivery.attempts], [n, 1]);
      delivery.accept();
    }
    await isGone(ch);
  });

  test("a held value is not delivered to others until it is released", async (fixture) => {
    const [ch, other] = await twoConnections<string>(fixture);
    await ch.put("a value");
    const delivery = await ch.receive();
    await rejection(other.get({ timeout: 60 }), ChannelTimeoutError);
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
    const waiting = other.receive();
    delivery.release();
    const again = await within(waiting);
    assert.deepEqual([again.value, again.attempts, again.redelivered], ["a value", 2, true]);
    again.accept();
    await isGone(ch);
  });

  test("a get takes a value that a receive has just released", async (fixture) => {
    const ch = fixture.channel<number>();
    for (const n of numbers(5)) {
      await ch.put(n);
      (await ch.receive()).release();
      assert.equal(await ch.get({ timeout: n % 2 === 0 ? 0 : 1000 }), n);
    }
  });

  test("a released value is the next one received, however fast", async (fixture) => {
    const ch = fixture.channel<number>();
    await Promise.all(numbers(9).map((n) => ch.put(n)));
    for (const _ of numbers(60)) {
      const delivery = await ch.receive(); // so fast that a transport may read ahead
      assert.equal(delivery.value, 0);
      delivery.release();
    }
    assert.deepEqual(await getAll(ch, 9), numbers(9));
  });

  for (const order of ["the older first", "the younger first"]) {
    test(`a released value returns to its old place, ${order}`, async (fixture) => {
      const [ch, other] = await twoConnections<number>(fixture);
      await Promise.all(numbers(6).map((n) => ch.put(n)));
      const held = [await ch.receive(), await ch.receive()];
      if (order.includes("younger")) held.reverse();
      for (const delivery of held) {
        delivery.release();
        await pause(5);
      }
      await until(async () => await other.depth() === 6);
      assert.deepEqual(await getAll(other, 6), numbers(6));
    });
  }

  test("the end of an `await using` scope releases a delivery that was not accepted", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.put(1);
    await ch.put(2);
    for (const attempts of [1, 2]) {
      await using delivery = await ch.receive();
      assert.deepEqual([delivery.value, delivery.attempts], [1, attempts]);
      if (attempts === 2) delivery.accept();
    }
    const failure = new Error("the work fails");
    const work = async () => {
      await using delivery = await ch.receive();
      assert.equal(delivery.value, 2);
      throw failure;
    };
    await assert.rejects(work(), (error) => error === failure);
    assert.equal(await ch.get({ timeout: 20_000 }), 2);
    await isGone(ch);
  });

  test("a delivery is settled once: later calls have no effect", async (fixture) => {
    const [ch, other] = await twoConnections<number>(fixture);
    await Promise.all(numbers(2).map((n) => ch.put(n)));
    const [accepted, released] = [await ch.receive(), await ch.receive()];
    accepted.accept();
    accepted.accept();
    accepted.release();
    accepted.release({ delay: 10 });
    await accepted[Symbol.asyncDispose]();
    released.release();
    released.accept();
    released.release();
    await released[Symbol.asyncDispose]();
    assert.equal(await other.get({ timeout: 20_000 }), 1);
    released.accept(); // another handle has the value now
    released.release();
    await pause(20);
    await ch.close();
    await isGone(other);
  });

  test("receive with timeout 0 takes a value that exists and never waits", async (fixture) => {
    const ch = fixture.channel<number>();
    const error = await rejection(ch.receive({ timeout: 0 }), ChannelTimeoutError);
    assert.match(error.message, /receive.*[^.]$/);
    await ch.put(1);
    const delivery = await ch.receive({ timeout: 0 });
    await rejection(ch.receive({ timeout: 0 }), ChannelTimeoutError);
    delivery.release();
    const again = await ch.receive({ timeout: 0 });
    assert.deepEqual([again.value, again.attempts], [1, 2]);
    again.accept();
    await rejection(ch.receive({ timeout: 0 }), ChannelTimeoutError);
  });

  test("a cancelled receive takes nothing", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.depth();
    const control = new AbortController();
    const late = rejection(ch.receive({ timeout: 30 }), ChannelTimeoutError);
    const aborted = assert.rejects(ch.receive({ signal: control.signal }), (e) => e === "r");
    await late;
    control.abort("r");
    await aborted;
    await assert.rejects(ch.receive({ signal: AbortSignal.abort("s") }), (e) => e === "s");
    await Promise.all(numbers(3).map((n) => ch.put(n)));
    assert.deepEqual(await getAll(ch, 3), numbers(3));
  });

  test("a receiver whose calls time out repeatedly receives all values in order", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.depth(); // attached: from here on a timeout is a ChannelTimeoutError
    const [count, got] = [150, [] as number[]];
    const putting = (async () => {
      for (const n of numbers(count)) await ch.put(n);
    })();
    while (got.length < count) {
      await ch.receive({ timeout: 0.1 + Math.random() * 4 }).then((delivery) => {
        got.push(delivery.value);
        delivery.accept();
      }, (error) => {
        if (!(error instanceof ChannelTimeoutError)) throw error;
      });
      if (got.length % 20 === 0) await pause(16);
    }
    await putting;
    assert.deepEqual(got, numbers(count));
  });

  test("an invalid option of receive is rejected, and nothing is taken", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.put(1);
    for (const options of [{ timeout: -1 }, { timeout: NaN }, { timeout: "1" }, { signal: {} }]) {
      await rejection(ch.receive(options as never), ChannelConfigError);
    }
    assert.equal(await ch.get({ timeout: 0 }), 1);
  });

  for (const end of ["close", "closeAll", "delete"] as const) {
    test(`${end} ends a waiting receive`, async (fixture) => {
      const ch = fixture.channel<number>();
      await ch.depth();
      const reason = end;
      const refused = rejection(ch.receive(), ChannelClosedError, { reason });
      await ch[end]();
      await refused;
      await rejection(ch.receive(), ChannelClosedError, { reason });
    });

    test(`${end} while values are held`, async (fixture) => {
      const ch = fixture.channel<number>();
      await Promise.all(numbers(3).map((n) => ch.put(n)));
      const held = [await ch.receive(), await ch.receive(), await ch.receive()];
      held[1]!.release({ delay: 60_000 }); // the delay ends, too
      await ch[end]();
      for (const delivery of held) {
        delivery.accept();
        delivery.release();
      }
      const next = fixture.channel<number>(ch.name);
      if (end !== "delete") {
        assert.deepEqual(await getAll(next, 3), numbers(3));
      }
      await isGone(next);
    });
  }

  shared(
    "closeAll on another connection ends receives and releases held values",
    async (fixture) => {
      const [ch, other] = await twoConnections<number>(fixture);
      await ch.put(1);
      const delivery = await ch.receive();
      const refused = rejection(ch.receive(), ChannelClosedError, { reason: "closeAll" });
      await other.closeAll();
      await refused;
      await until(() => ch.closed);
      delivery.accept(); // too late
      const next = fixture.channel<number>(ch.name, 2);
      const again = await next.receive({ timeout: 20_000 });
      assert.deepEqual([again.value, again.redelivered], [1, true]);
      again.accept();
    },
  );

  shared("delete on another connection while values are held", async (fixture) => {
    const [ch, other] = await twoConnections<number>(fixture);
    await Promise.all(numbers(2).map((n) => ch.put(n)));
    const held = [await ch.receive(), await ch.receive()];
    const refused = rejection(ch.receive(), ChannelClosedError, { reason: "delete" });
    await other.delete();
    await refused;
    held[0]!.accept();
    held[1]!.release();
    assert.equal(await fixture.setup.exists(ch.name), false);
  });

  for (const maxAttempts of [undefined, 3]) {
    const counting = maxAttempts === undefined ? {} : { maxAttempts };
    const where = maxAttempts === undefined ? "" : ", with maxAttempts";
    test(`close releases held values once${where}`, async (fixture) => {
      const name = fixture.name();
      const other = fixture.channel<number>(name, 1);
      await Promise.all(numbers(20).map((n) => other.put(n)));
      const ch = maker(fixture, { ...counting })<number>(name);
      for (const _ of numbers(20)) await ch.receive({ timeout: 20_000 });
      await within(ch.close());
      await until(async () => await other.depth() >= 20);
      await pause(30);
      assert.equal(await other.depth(), 20); // before a get here, which recognizes a duplicate
      const got = await getAll(other, 20);
      assert.deepEqual(got.sort((a, b) => a - b), numbers(20));
      await isGone(other);
    });

    test(`changes that the holder makes to a value are not seen by the next receiver${where}`, async (fixture) => {
      const ch = maker(fixture, counting)<
        { list: number[]; bytes: Uint8Array; map: Map<string, 1> }
      >(
        fixture.name(),
      );
      const value = { list: [1], bytes: new Uint8Array([1, 2]), map: new Map([["a", 1 as const]]) };
      await ch.put(value);
      for (const _ of numbers(2)) {
        const delivery = await ch.receive({ timeout: 20_000 });
        assert.deepEqual(delivery.value, value);
        delivery.value.list.push(2);
        delivery.value.bytes.fill(9);
        delivery.value.map.clear();
        structuredClone(delivery.value.bytes, { transfer: [delivery.value.bytes.buffer] });
        delivery.release();
      }
      assert.deepEqual(await ch.get({ timeout: 20_000 }), value);
    });

    test(`release with a delay makes the value available later${where}`, async (fixture) => {
      const ch = maker(fixture, counting)<number>(fixture.name());
      const other = fixture.channel<number>(ch.name, 1);
      await ch.put(1);
      const delivery = await ch.receive();
      await other.depth(); // attaches the handle
      const start = performance.now();
      delivery.release({ delay: 150 });
      await rejection(other.get({ timeout: 0 }), ChannelTimeoutError);
      delivery.release(); // the delivery is settled already
      const again = await other.receive({ timeout: 20_000 });
      const took = performance.now() - start;
      assert.ok(took > 145, `it took ${took} ms`);
      assert.deepEqual([again.value, again.attempts, again.redelivered], [1, 2, true]);
      again.accept();
    });
  }

  test("an invalid delay is rejected, and the delivery stays usable", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.put(1);
    const delivery = await ch.receive();
    for (const delay of [-1, NaN, Infinity, 2 ** 31, "1", null] as number[]) {
      assert.throws(() => delivery.release({ delay }), ChannelConfigError);
    }
    delivery.accept();
    await isGone(ch);
  });

  for (const count of [10, 300]) {
    test(`with ${count} values held, the next value is served here and elsewhere`, async (fixture) => {
      const [ch, other] = await twoConnections<number>(fixture);
      await Promise.all(numbers(count + 4).map((n) => ch.put(n)));
      const held = await within(Promise.all(numbers(count).map(() => ch.receive())));
      assert.deepEqual(held.map(({ value }) => value), numbers(count));
      const next: number[] = [];
      for (const getter of [ch, other, ch, other]) {
        const delivery = await getter.receive({ timeout: 20_000 });
        next.push(delivery.value);
        delivery.accept();
      }
      assert.deepEqual(next.sort((a, b) => a - b), numbers(4, count));
      const waiting = ch.receive();
      await other.put(-1);
      (await within(waiting)).accept();
      held.forEach((delivery, i) => i % 2 === 0 ? delivery.accept() : delivery.release());
      const rest = await getAll(other, count / 2, 1000);
      assert.deepEqual(rest.sort((a, b) => a - b), numbers(count).filter((n) => n % 2 === 1));
      await ch.close();
      await isGone(other);
    });
  }

  test("ten waiting receives are served in the order of the calls, and hold their values", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.depth();
    const waiting = numbers(11).map(() => ch.receive());
    for (const n of numbers(11)) await ch.put(n);
    const held = await within(Promise.all(waiting));
    assert.deepEqual(held.map(({ value }) => value), numbers(11));
    for (const delivery of held) delivery.accept();
    await isGone(ch);
  });

  test("gets and receives of one channel are served in the order of the calls", async (fixture) => {
    for (const isThere of [true, false]) {
      const ch = fixture.channel<number>();
      await ch.depth();
      const put = () => Promise.all(numbers(40).map((n) => ch.put(n)));
      if (isThere) await put();
      const waiting = numbers(40).map((n) => n % 3 === 0 ? ch.receive() : ch.get());
      if (!isThere) await put();
      const got = await within(Promise.all(waiting));
      const values = got.map((one) => typeof one === "number" ? one : one.value);
      assert.deepEqual(values, numbers(40));
      for (const one of got) if (typeof one !== "number") one.accept();
      await isGone(ch);
    }
  });

  test("waiting receivers and getters are served in turn", async (fixture) => {
    const ch = fixture.channel<number>();
    const handles = numbers(3).map(() => fixture.channel<number>(ch.name));
    for (const handle of handles) await handle.depth();
    const got = await takingTurns(ch, handles, 9);
    assert.deepEqual(got, [[0, 3, 6], [1, 4, 7], [2, 5, 8]]);
  });

  shared(
    "of several waiting connections, receivers take no more than their turn",
    async (fixture) => {
      const ch = fixture.channel<number>();
      const handles = numbers(3, 1).map((i) => fixture.channel<number>(ch.name, i));
      for (const handle of handles) await handle.depth();
      const got = await takingTurns(ch, handles, 60);
      for (const values of got) {
        assert.ok(values.length >= 12, `shares: ${got.map((values) => values.length)}`);
      }
      assert.deepEqual(got.flat().sort((a, b) => a - b), numbers(60));
    },
  );

  shared("a receiver that holds a value does not make others wait", async (fixture) => {
    const [ch, other] = await twoConnections<number>(fixture);
    await Promise.all(numbers(600).map((n) => ch.put(n)));
    for (const _ of numbers(200)) (await ch.receive()).accept(); // its prefetch is large now
    const held = await ch.receive();
    assert.equal(held.value, 200);
    const rest = await getAll(other, 399);
    assert.deepEqual(rest.sort((a, b) => a - b), numbers(399, 201));
    held.release();
    assert.equal(await other.get({ timeout: 20_000 }), 200);
  });

  for (const maxAttempts of [undefined, 1000]) {
    const where = maxAttempts === undefined ? "" : ", and is counted exactly";
    test(`each value is accepted once, however often it was released${where}`, async (fixture) => {
      const make = maker(fixture, maxAttempts === undefined ? {} : { maxAttempts });
      const name = fixture.name();
      const handles = numbers(3).map((n) => make<number>(name, n));
      const count = 60;
      const tries = numbers(count).map(() => 0);
      const accepted: number[] = [];
      const isExact = maxAttempts !== undefined || !fixture.setup.features.shared;
      const loops = handles.map(async (handle) => {
        try {
          for (;;) {
            const delivery = await handle.receive();
            const n = delivery.value;
            tries[n]!++;
            if (isExact) assert.equal(delivery.attempts, tries[n]);
            // a redelivered value may have been read ahead, so that it has had no attempt
            else assert.ok(delivery.attempts === 1 || delivery.redelivered);
            assert.ok(delivery.redelivered || tries[n] === 1);
            if (random(3) === 0) await pause(random(4));
            if (random(5) < 3) delivery.release({ delay: random(2) * random(5) });
            else accepted.push(n), delivery.accept();
          }
        } catch (error) {
          if (!(error instanceof ChannelClosedError)) throw error;
        }
      });
      let isOver = false;
      const running = Promise.all(loops).finally(() => isOver = true);
      running.catch(() => {});
      await Promise.all(numbers(count).map((n) => handles[n % 3]!.put(n)));
      await until(() => isOver || accepted.length >= count, 15_000);
      if (isOver) await running;
      await pause(30); // a value too many would arrive now
      await handles[0]!.closeAll();
      await within(running);
      assert.deepEqual(accepted.sort((a, b) => a - b), numbers(count));
      await isGone(fixture.channel(name));
    });
  }
}

/** Returns a function that makes handles with these options. Their dead-letter channel is deleted after the test. */
export function maker(
  fixture: Fixture,
  options: ChannelOptions,
): <T>(name: string, n?: number) => Channel<T> {
  return <T>(name: string, n = 0) => {
    if (options.maxAttempts !== undefined) {
      fixture.own({
        async [Symbol.asyncDispose]() {
          const dead = `${name}.dead-letters`;
          if (!await fixture.setup.exists(dead)) return;
          await new Channel({ name: dead, connection: fixture.setup.connection(0) }).delete();
        },
      });
    }
    return fixture.channel<T>(name, n, options);
  };
}

/** Returns two handles on one channel, on different connections if the transport has several. */
async function twoConnections<T>(fixture: Fixture): Promise<[Channel<T>, Channel<T>]> {
  const a = fixture.channel<T>();
  const b = fixture.channel<T>(a.name, 1);
  await Promise.all([a.depth(), b.depth()]);
  return [a, b];
}

/** Asserts that the channel is empty and that no value returns after a connection has become idle. */
export async function isGone(channel: Channel<never> | Channel<number> | Channel): Promise<void> {
  await rejection((channel as Channel).get({ timeout: 60 }), ChannelTimeoutError);
  await rejection((channel as Channel).get({ timeout: 0 }), ChannelTimeoutError);
}

/** Puts values one by one, each after the previous one was taken. The first two handles receive, the others get. */
async function takingTurns(
  ch: Channel<number>,
  handles: Channel<number>[],
  count: number,
): Promise<number[][]> {
  const got = handles.map(() => [] as number[]);
  let taken = 0;
  const loops = handles.map(async (handle, i) => {
    try {
      for (;;) {
        const next: number | Delivery<number> = await (i < 2 ? handle.receive() : handle.get());
        got[i]!.push(typeof next === "number" ? next : next.value);
        if (typeof next !== "number") next.accept();
        taken++;
      }
    } catch (error) {
      assert.ok(error instanceof ChannelClosedError, String(error));
    }
  });
  for (const n of numbers(count)) {
    await ch.put(n);
    await until(() => taken === n + 1, 20_000, 0);
  }
  await ch.closeAll();
  await within(Promise.all(loops));
  return got;
}
