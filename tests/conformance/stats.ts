import assert from "node:assert/strict";
import { ChannelClosedError, type ChannelStats } from "../../mod.ts";
import { rejection, type Suite, until, within } from "./fixture.ts";

/** ch.stats(): what it tells is true of all processes, and what it cannot tell is absent. */
export function statsTests({ test, shared, features, tells }: Suite): void {
  /** What the stats are expected to be, without what the transport cannot tell. */
  const told = (all: ChannelStats): Partial<ChannelStats> =>
    Object.fromEntries(
      Object.entries(all).filter(([name]) =>
        name === "depth" || tells.includes(name as keyof ChannelStats)
      ),
    );
  const empty = { depth: 0, loans: 0, consumers: 0, delayed: 0, closed: false };

  test("stats of a new channel, from each end", async (fixture) => {
    const ch = fixture.channel<number>();
    for (const end of [ch, ch.sender, ch.receiver]) {
      assert.deepEqual(await within(end.stats()), told(empty));
    }
  });

  for (const n of [0, 1]) {
    const declare = n === 0 ? test : shared;
    const where = n === 0 ? "" : ", seen from another connection";
    declare(`stats count the values that wait and those on loan${where}`, async (fixture) => {
      const ch = fixture.channel<number>();
      const seen = fixture.channel<number>(ch.name, n);
      for (const value of [1, 2, 3]) await ch.put(value);
      const deliveries = [await within(ch.receive()), await within(ch.receive())];
      const first = told({ ...empty, depth: 1, loans: 2 });
      // Values that a process has read ahead, and RabbitMQ's consumers, are there for a moment longer.
      await until(async () => await equals(seen.stats(), first), 20_000);
      deliveries[0]!.accept();
      deliveries[1]!.release();
      await until(async () => await equals(seen.stats(), told({ ...empty, depth: 2 })), 20_000);
    });

    declare(`stats count a consumer that waits${where}`, async (fixture) => {
      const ch = fixture.channel<number>();
      const seen = fixture.channel<number>(ch.name, n);
      const getting = ch.get();
      await fixture.untilWaiting(ch);
      const waiting = told({ ...empty, consumers: 1 });
      await until(async () => await equals(seen.stats(), waiting), 20_000);
      await ch.put(1);
      assert.equal(await within(getting), 1);
      await until(async () => await equals(seen.stats(), told(empty)), 20_000);
    }, tells.includes("consumers") ? {} : { skip: "the transport cannot tell the consumers" });

    declare(`stats tell that a channel is drained${where}`, async (fixture) => {
      const ch = fixture.channel<number>();
      const seen = fixture.channel<number>(ch.name, n);
      await seen.put(1);
      await ch.closeAll({ drain: true });
      const closed = told({ ...empty, depth: 1, closed: true });
      await until(async () => await equals(seen.stats(), closed), 20_000);
    });
  }

  test("stats tell the capacity", async (fixture) => {
    const ch = fixture.channel<number>(fixture.name(), 0, { capacity: 3 });
    await ch.put(1);
    assert.equal((await ch.stats()).capacity, 3);
  }, tells.includes("capacity") ? {} : { skip: "the transport cannot tell the capacity" });

  test("stats count the values that are delayed", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.put(1, { delay: 600_000 });
    await ch.put(2);
    assert.deepEqual(await ch.stats(), told({ ...empty, depth: 1, delayed: 1 }));
  }, features.terms?.includes("delay") ? {} : { skip: "the transport has no delay" });

  test("stats of a channel that is deleted reject", async (fixture) => {
    const ch = fixture.channel<number>();
    await ch.stats();
    await ch.delete();
    const error = await rejection(ch.stats(), ChannelClosedError);
    assert.match(error.message, /^stats/);
  });
}

async function equals(stats: Promise<ChannelStats>, expected: object): Promise<boolean> {
  try {
    assert.deepEqual(await stats, expected);
    return true;
  } catch (error) {
    if (error instanceof assert.AssertionError) return false;
    throw error;
  }
}
