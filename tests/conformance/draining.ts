import assert from "node:assert/strict";
import { type Channel, ChannelClosedError, ChannelTimeoutError } from "../../mod.ts";
import { startChild } from "../support/child.ts";
import {
  type Fixture,
  getAll,
  numbers,
  pause,
  random,
  rejection,
  type Suite,
  within,
} from "./fixture.ts";

const drained = { reason: "drain" } as const;

/** Returns the values until the end of the channel. */
async function rest<T>(channel: Channel<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of channel) values.push(value);
  return values;
}

/** Deletes a channel, which also closes its handles. */
async function done(fixture: Fixture, channel: Channel<never>): Promise<void> {
  await fixture.channel(channel.name).delete();
}

/** Closing as in Go: `closeAll({ drain: true })`. */
export function drainingTests({ test, shared }: Suite): void {
  test("values put before a drain are got, then gets reject and iterations end", async (fixture) => {
    const ch = fixture.channel<number>();
    for (const n of numbers(5)) await ch.put(n);
    await ch.closeAll({ drain: true });
    const error = await rejection(ch.put(9), ChannelClosedError, drained);
    assert.equal(error.value, 9);
    assert.equal(await ch.tryPut(9), "closed");
    assert.equal(await ch.get(), 0);
    assert.equal(await ch.get({ timeout: 0 }), 1);
    assert.deepEqual(await within(rest(ch)), [2, 3, 4]);
    await rejection(ch.get(), ChannelClosedError, drained);
    await rejection(ch.get({ timeout: 0 }), ChannelClosedError, drained);
    await rejection(ch.receive({ timeout: 500 }), ChannelClosedError, drained);
    await rejection(ch.put(9), ChannelClosedError, drained);
    await ch.closeAll({ drain: true }); // a second drain is not an error
  });

  test("draining an empty channel ends waiting operations, in this process and in others", async (fixture) => {
    const name = fixture.name();
    const others = [0, 1, 2].map((n) => fixture.channel<number>(name, n));
    const ends = others.flatMap((ch) => [rest(ch), rest(ch)]);
    const gets = others.map((ch) => rejection(ch.get(), ChannelClosedError, drained));
    await fixture.untilWaiting({ name }, fixture.setup.features.shared ? 3 : 1);
    await fixture.channel(name, 1).closeAll({ drain: true });
    assert.deepEqual(await within(Promise.all(ends)), ends.map(() => []));
    assert.equal(new Set(await within(Promise.all(gets))).size, 3);
  });

  test("puts called before a drain, and not awaited, are delivered before the end", async (fixture) => {
    for (const attached of [false, true]) {
      const ch = fixture.channel<number>();
      if (attached) await ch.depth();
      const puts = numbers(1200).map((n) => ch.put(n));
      const closing = ch.closeAll({ drain: true });
      const late = rejection(closing.then(() => ch.put(-1)), ChannelClosedError, drained);
      await within(Promise.all([...puts, closing, late]));
      assert.deepEqual(await within(rest(ch)), numbers(1200));
    }
  });

  test("a handle made after a drain finds the channel closed until it is deleted", async (fixture) => {
    const ch = fixture.channel<string>();
    await ch.put("left");
    await ch.closeAll({ drain: true });
    await ch.close();
    await pause(60); // the connection becomes idle
    const later = fixture.channel<string>(ch.name, 1);
    await rejection(later.put("late"), ChannelClosedError, drained);
    assert.equal(await later.get({ timeout: 20_000 }), "left");
    await rejection(later.get(), ChannelClosedError, drained);
    const last = fixture.channel<string>(ch.name, 2);
    await rejection(last.get({ timeout: 0 }), ChannelClosedError, drained);
    assert.deepEqual(await within(rest(last)), []);
    await later.delete();
    const anew = fixture.channel<string>(ch.name);
    await anew.put("new");
    assert.equal(await anew.get({ timeout: 20_000 }), "new");
  });

  test("a loan released after a drain is redelivered before the end", async (fixture) => {
    const name = fixture.name();
    const holder = fixture.channel<string>(name, 1);
    const ch = fixture.channel<string>(name);
    await ch.put("a");
    const loan = await holder.receive();
    await ch.closeAll({ drain: true });
    const end = rest(ch);
    await pause(150); // on amqp it polls now and then, which has no visible effect
    await rejection(ch.get({ timeout: 50 }), ChannelTimeoutError);
    loan.release();
    assert.deepEqual(await within(end), ["a"]);
    await rejection(holder.get(), ChannelClosedError, drained);
  });

  test("a loan accepted after a drain ends waiting operations", async (fixture) => {
    const name = fixture.name();
    const holder = fixture.channel<string>(name, 1);
    const ch = fixture.channel<string>(name);
    await ch.put("a");
    const loan = await holder.receive();
    await ch.closeAll({ drain: true });
    const end = rest(ch);
    await pause(150); // as above
    loan.accept();
    assert.deepEqual(await within(end), []);
  });

  test("with maxAttempts, a drained channel's values are tried as often as before", async (fixture) => {
    const ch = fixture.channel<string>(undefined, 0, { maxAttempts: 2 });
    await ch.put("poison");
    await ch.closeAll({ drain: true });
    const delivery = await ch.receive();
    delivery.release();
    (await ch.receive({ timeout: 20_000 })).release();
    await rejection(ch.receive({ timeout: 5000 }), ChannelClosedError, drained);
    const dead = fixture.own(ch.deadLetters);
    assert.equal(await dead.get({ timeout: 20_000 }), "poison");
    await dead.delete();
  });

  test("an anonymous channel can be drained, too", async (fixture) => {
    await using ch = fixture.anonymous<number>();
    const carrier = fixture.channel<Channel<number>>();
    await carrier.put(ch);
    const far = fixture.own(await carrier.get({ timeout: 20_000 }));
    for (const n of numbers(3)) await far.put(n);
    await far.closeAll({ drain: true });
    await rejection(ch.put(9), ChannelClosedError, drained);
    assert.deepEqual(await within(rest(ch)), numbers(3));
    await carrier.put(ch);
    const later = fixture.own(await carrier.get({ timeout: 20_000 }));
    assert.deepEqual(await within(rest(later)), []);
  });

  test("two concurrent drains of a channel both succeed", async (fixture) => {
    for (let round = 0; round < 10; round++) {
      const name = fixture.name();
      const [a, b] = [fixture.channel<number>(name), fixture.channel<number>(name, 1)];
      const end = rest(fixture.channel<number>(name, 2));
      await Promise.all([a.put(1), b.put(2)]);
      await within(Promise.all([a, b, a].map((ch) => ch.closeAll({ drain: true }))));
      assert.deepEqual((await within(end)).sort(), [1, 2]);
      await rejection(a.put(3), ChannelClosedError, drained);
      await rejection(b.put(3), ChannelClosedError, drained);
      await done(fixture, a as Channel<never>);
    }
  });

  test("a drained channel can be closed for everyone, and its values stay", async (fixture) => {
    const ch = fixture.channel<string>();
    await ch.put("a");
    await ch.closeAll({ drain: true });
    await ch.closeAll();
    await rejection(ch.get(), ChannelClosedError, { reason: "closeAll" });
    assert.deepEqual(await within(rest(fixture.channel<string>(ch.name))), ["a"]);
  });

  test("each put that races with a drain is delivered before the end or rejected", async (fixture) => {
    for (let group = 0; group < 8; group++) {
      await Promise.all(numbers(10).map((n) => race(fixture, group * 10 + n)));
    }
  });

  shared(
    "the last value of a drained channel is redelivered if the process that holds it dies",
    async (fixture) => {
      const name = fixture.name();
      const connection = String(fixture.setup.connection(1));
      const ch = fixture.channel<string>(name);
      await ch.put("last");
      const program = new URL("../programs/holder_until_killed.ts", import.meta.url);
      await using child = startChild(program, { args: [connection, name] });
      assert.equal(await child.next(), "last");
      await ch.closeAll({ drain: true });
      const end = rest(ch);
      const timer = fixture.channel<string>(name, 2);
      await timer.depth(); // attaches the handle
      await rejection(timer.get({ timeout: 300 }), ChannelTimeoutError);
      child.kill();
      assert.deepEqual(await within(end), ["last"]);
      await rejection(timer.get(), ChannelClosedError, drained);
    },
  );

  shared(
    "many consumers of a drained channel get each value once, and all end",
    async (fixture) => {
      const name = fixture.name();
      const ch = fixture.channel<number>(name);
      await Promise.all(numbers(2000).map((n) => ch.put(n)));
      const consumers = [0, 1, 2, 0, 1].map((n) => fixture.channel<number>(name, n));
      const first = await getAll(consumers[0]!, 100);
      await ch.closeAll({ drain: true });
      const all = await within(Promise.all(consumers.map(rest)));
      assert.deepEqual([first, ...all].flat().sort((a, b) => a - b), numbers(2000));
    },
  );
}

async function race(fixture: Fixture, round: number): Promise<void> {
  const name = fixture.name();
  const producers = [fixture.channel<number>(name), fixture.channel<number>(name, 1)];
  const consumers = [fixture.channel<number>(name, 2), fixture.channel<number>(name)];
  const got = consumers.map(rest);
  const stored: number[] = [];
  let next = 0;
  let isOpen = true;
  const producing = producers.map(async (ch, i) => {
    if (round % 2 === i) await ch.depth();
    const puts: Promise<void>[] = [];
    for (const n of numbers(200)) {
      if (!isOpen && n > 3) break;
      const id = next++;
      const put = ch.put(id).then(() => void stored.push(id), (error) => {
        if (!(error instanceof ChannelClosedError) || error.reason !== "drain") throw error;
        if (error.messageId !== undefined) throw new Error("its outcome is unknown");
        isOpen = false;
      });
      puts.push(put);
      if (n % 7 === 6) await put;
      else if (n % 3 === 0) await pause(0);
    }
    await Promise.all(puts);
  });
  await pause(random(40));
  const closer = fixture.channel(name, random(3));
  await within(closer.closeAll({ drain: true }));
  await within(Promise.all(producing));
  const values = (await within(Promise.all(got))).flat();
  const ascending = (a: number, b: number) => a - b;
  assert.deepEqual(values.sort(ascending), stored.sort(ascending));
  await closer.delete();
  await Promise.all([...producers, ...consumers, closer].map((ch) => ch.close()));
}
