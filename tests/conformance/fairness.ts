import assert from "node:assert/strict";
import { type Channel, ChannelClosedError, ChannelTimeoutError } from "../../mod.ts";
import { getAll, numbers, pause, rejection, type Suite, until, within } from "./fixture.ts";

/** Competing getters: they take turns, and none holds values that others wait for. */
export function fairnessTests({ test, shared, noState }: Suite): void {
  test("three waiting handles are served in turn", async (fixture) => {
    const ch = fixture.channel<number>();
    const getters = numbers(3).map(() => fixture.channel<number>(ch.name));
    for (const getter of getters) await getter.depth();
    const got = await takingTurns(ch, getters, 9);
    assert.deepEqual(got, [[0, 3, 6], [1, 4, 7], [2, 5, 8]]);
  });

  test("gets of several handles are served in the order of the calls", async (fixture) => {
    const greedy = fixture.channel<number>();
    const modest = fixture.channel<number>(greedy.name);
    await Promise.all([greedy.depth(), modest.depth()]);
    const gets = [greedy.get(), greedy.get(), modest.get(), greedy.get(), modest.get()];
    for (const n of numbers(5)) await greedy.put(n);
    assert.deepEqual(await within(Promise.all(gets)), numbers(5));
  });

  shared("three connections with one get each get one value each", async (fixture) => {
    const ch = fixture.channel<number>();
    const getters = numbers(3, 1).map((i) => fixture.channel<number>(ch.name, i));
    for (let round = 0; round < 10; round++) {
      const gets = getters.map((getter) => getter.get());
      await Promise.all(numbers(3).map((n) => ch.put(n)));
      assert.deepEqual((await within(Promise.all(gets))).sort(), numbers(3));
    }
  });

  shared("three waiting connections are served in turn", async (fixture) => {
    const ch = fixture.channel<number>();
    const getters = numbers(3, 1).map((i) => fixture.channel<number>(ch.name, i));
    for (const getter of getters) await getter.depth();
    const got = await takingTurns(ch, getters, 60);
    for (const values of got) {
      assert.ok(values.length >= 12, `shares: ${got.map((values) => values.length)}`);
    }
    assert.deepEqual(got.flat().sort((a, b) => a - b), numbers(60));
  });

  shared(
    "a burst is shared evenly by connections with the same time per value",
    async (fixture) => {
      const ch = fixture.channel<number>();
      const getters = numbers(3, 1).map((i) => fixture.channel<number>(ch.name, i));
      for (const getter of getters) await getter.depth();
      const shares = getters.map(() => [] as number[]);
      await Promise.all(numbers(600).map((n) => ch.put(n)));
      const loops = getters.map(async (getter, i) => {
        for await (const n of getter) {
          shares[i]!.push(n);
          await pause(2); // simulated work
        }
      });
      await until(() => shares.flat().length === 600);
      await ch.closeAll();
      await within(Promise.all(loops));
      assert.deepEqual(shares.flat().sort((a, b) => a - b), numbers(600));
      const sizes = shares.map((share) => share.length);
      assert.ok(Math.min(...sizes) > 150, `shares: ${sizes}`);
    },
  );

  shared(
    "connections that get a burst at full speed get each value once, in order",
    async (fixture) => {
      const ch = fixture.channel<number>();
      const getters = numbers(3, 1).map((i) => fixture.channel<number>(ch.name, i));
      for (const getter of getters) await getter.depth();
      const shares = getters.map(() => [] as number[]);
      const loops = getters.map(async (getter, i) => {
        for await (const n of getter) shares[i]!.push(n);
      });
      await Promise.all(numbers(9000).map((n) => ch.put(n)));
      await until(() => shares.flat().length === 9000);
      await ch.closeAll();
      await within(Promise.all(loops));
      assert.deepEqual(shares.flat().sort((a, b) => a - b), numbers(9000));
      for (const share of shares) {
        assert.deepEqual(
          share,
          share.toSorted((a, b) => a - b),
          "a connection's values are in order",
        );
      }
    },
  );

  shared(
    "a connection that has stopped getting returns the values that it holds",
    async (fixture) => {
      const a = fixture.channel<number>();
      const b = fixture.channel<number>(a.name, 1);
      await b.depth();
      await Promise.all(numbers(600).map((n) => a.put(n)));
      assert.deepEqual(await getAll(a, 200), numbers(200));
      const rest = await getAll(b, 400);
      assert.deepEqual(rest.sort((x, y) => x - y), numbers(400, 200));
    },
  );

  shared("returned values go to their old place in the queue", async (fixture) => {
    const a = fixture.channel<number>();
    const b = fixture.channel<number>(a.name, 1);
    await Promise.all(numbers(600).map((n) => a.put(n)));
    assert.deepEqual(await getAll(a, 200), numbers(200));
    await until(async () => await b.depth() === 400);
    assert.deepEqual(await getAll(b, 400), numbers(400, 200));
  });

  shared(
    "a connection that has stopped getting does not delay a get that already waits",
    async (fixture) => {
      const a = fixture.channel<number>();
      const b = fixture.channel<number>(a.name, 1);
      for (let round = 0; round < 5; round++) {
        await Promise.all(numbers(300).map((n) => a.put(n)));
        const values = await getAll(a, 100);
        const waiting = numbers(200).map(() => b.get());
        values.push(...await within(Promise.all(waiting)));
        assert.deepEqual(values.sort((x, y) => x - y), numbers(300));
      }
    },
  );

  shared(
    "prefetched values are counted again shortly after a connection has stopped getting",
    async (fixture) => {
      const a = fixture.channel<number>();
      const b = fixture.channel<number>(a.name, 1);
      await Promise.all(numbers(600).map((n) => a.put(n)));
      await getAll(a, 200);
      await until(async () => await b.depth() === 400);
      assert.deepEqual(await getAll(a, 400), numbers(400, 200));
    },
  );

  shared(
    "closing a handle returns at once the values that its connection holds",
    async (fixture) => {
      for (let round = 0; round < 5; round++) {
        const a = fixture.channel<number>();
        const [b, c] = [fixture.channel<number>(a.name, 1), fixture.channel<number>(a.name, 2)];
        await Promise.all(numbers(300).map((n) => a.put(n)));
        assert.deepEqual(await getAll(c, 100), numbers(100));
        await c.close();
        assert.deepEqual(await getAll(b, 200), numbers(200, 100));
      }
    },
  );

  shared("a cancelled get leaves no consumer", async (fixture) => {
    const before = await fixture.setup.state!();
    const ch = fixture.channel<number>();
    await ch.depth(); // attaches the handle
    await rejection(ch.get({ timeout: 50 }), ChannelTimeoutError);
    await ch.put(1);
    await ch.put(2);
    await getAll(ch, 2);
    const resting = fixture.channel(); // the consumer of its announcement queue is the connection's
    await resting.depth();
    await until(
      async () => (await fixture.setup.state!()).consumers <= before.consumers + 1,
      10_000,
    );
  }, noState ? { skip: noState } : {});
}

/** Puts values one by one, each after the previous one was got. Returns what each getter got. */
async function takingTurns(
  ch: Channel<number>,
  getters: Channel<number>[],
  count: number,
): Promise<number[][]> {
  const got = getters.map(() => [] as number[]);
  let received = 0;
  const loops = getters.map(async (getter, i) => {
    try {
      for (;;) {
        got[i]!.push(await getter.get());
        received++;
      }
    } catch (error) {
      assert.ok(error instanceof ChannelClosedError, String(error));
    }
  });
  for (const n of numbers(count)) {
    await ch.put(n);
    await until(() => received === n + 1, 20_000, 0);
  }
  await ch.closeAll();
  await within(Promise.all(loops));
  return got;
}
