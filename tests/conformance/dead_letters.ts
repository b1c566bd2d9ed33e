import assert from "node:assert/strict";
import {
  type Channel,
  ChannelClosedError,
  ChannelConfigError,
  ChannelDecodeError,
  ChannelError,
  ChannelTimeoutError,
} from "../../mod.ts";
import { type Child, startChild } from "../support/child.ts";
import { isGone, maker } from "./receiving.ts";
import { type Fixture, numbers, rejection, type Suite, within } from "./fixture.ts";

/** maxAttempts: how often a value is tried, and where it goes then. */
export function deadLettersTests({ test, shared }: Suite): void {
  test("an invalid maxAttempts is rejected", (fixture) => {
    for (const maxAttempts of [0, -1, 1.5, NaN, Infinity, "1", null] as number[]) {
      assert.throws(() => fixture.channel(fixture.name(), 0, { maxAttempts }), ChannelConfigError);
    }
    const long = "x".repeat(250); // no room for .dead-letters
    assert.throws(() => fixture.channel(long, 0, { maxAttempts: 1 }), ChannelConfigError);
    return Promise.resolve();
  });

  for (const maxAttempts of [1, 2, 3]) {
    test(`a value released ${maxAttempts} times becomes a dead letter, and others keep their order`, async (fixture) => {
      const ch = maker(fixture, { maxAttempts })<string>(fixture.name());
      const values = ["a", "poison", "b", "c"];
      await Promise.all(values.map((value) => ch.put(value)));
      const [accepted, attempts] = [[] as string[], [] as number[]];
      while (accepted.length < 3 || attempts.length < maxAttempts) {
        const delivery = await ch.receive({ timeout: 20_000 });
        if (delivery.value === "poison") {
          attempts.push(delivery.attempts);
          assert.equal(delivery.redelivered, attempts.length > 1);
          delivery.release();
        } else {
          assert.equal(delivery.attempts, 1);
          accepted.push(delivery.value);
          delivery.accept();
        }
      }
      assert.deepEqual(accepted, ["a", "b", "c"]);
      assert.deepEqual(attempts, numbers(maxAttempts, 1));
      const dead = fixture.own(ch.deadLetters);
      assert.equal(dead, ch.deadLetters);
      assert.equal(dead.name, `${ch.name}.dead-letters`);
      const letter = await dead.receive({ timeout: 20_000 });
      assert.equal(letter.value, "poison");
      assert.match(letter.reason!, /^maxAttempts\b.*\b\d\b.*[^.]$/);
      assert.ok(letter.reason!.includes(` ${maxAttempts} `), letter.reason);
      assert.deepEqual([letter.attempts, letter.redelivered], [1, false]);
      letter.accept();
      await isGone(dead);
      await isGone(ch);
    });
  }

  test("a released dead letter stays a dead letter with its reason, without a limit of attempts", async (fixture) => {
    const ch = maker(fixture, { maxAttempts: 1 })<number>(fixture.name());
    await ch.put(7);
    (await ch.receive()).release();
    const dead = fixture.own(ch.deadLetters);
    for (const attempt of numbers(4, 1)) {
      const letter = await dead.receive({ timeout: 20_000 });
      assert.equal(letter.value, 7);
      assert.match(letter.reason!, /maxAttempts/);
      assert.equal(letter.redelivered, attempt > 1);
      letter.release();
    }
    assert.equal(await dead.get({ timeout: 20_000 }), 7);
  });

  test("changes that the holder makes to a value are not in the dead letter", async (fixture) => {
    const ch = maker(fixture, { maxAttempts: 1 })<{ list: number[]; bytes: Uint8Array }>(
      fixture.name(),
    );
    const value = { list: [1], bytes: new Uint8Array([1, 2]) };
    await ch.put(value);
    const delivery = await ch.receive();
    delivery.value.list.push(2);
    delivery.value.bytes.fill(9);
    delivery.release();
    assert.deepEqual(await fixture.own(ch.deadLetters).get({ timeout: 20_000 }), value);
  });

  test("the end of a scope, a delayed release, and close count as attempts", async (fixture) => {
    const make = maker(fixture, { maxAttempts: 3 });
    const ch = make<string>(fixture.name());
    await ch.put("poison");
    {
      await using delivery = await ch.receive();
      assert.equal(delivery.attempts, 1);
    }
    const second = await ch.receive({ timeout: 20_000 });
    assert.equal(second.attempts, 2);
    second.release({ delay: 20 });
    const third = await ch.receive({ timeout: 20_000 });
    assert.equal(third.attempts, 3);
    await ch.close();
    const dead = fixture.own(ch.deadLetters);
    assert.equal(await dead.get({ timeout: 20_000 }), "poison");
    await isGone(dead);
    await isGone(fixture.channel(ch.name));
  });

  test("a get does not count as an attempt and makes no dead letter", async (fixture) => {
    const ch = maker(fixture, { maxAttempts: 1 })<number>(fixture.name());
    await ch.put(1);
    await ch.put(2);
    assert.equal(await ch.get(), 1);
    (await ch.receive()).release();
    assert.equal(await fixture.own(ch.deadLetters).get({ timeout: 20_000 }), 2);
    await isGone(ch);
  });

  test("a value already tried too often becomes a dead letter at the next receive with maxAttempts", async (fixture) => {
    const ch = fixture.channel<string>();
    await ch.put("poison");
    await ch.put("good");
    (await ch.receive()).release();
    const strict = maker(fixture, { maxAttempts: 1 })<string>(ch.name);
    const good = await strict.receive({ timeout: 20_000 });
    assert.equal(good.value, "good");
    good.accept();
    await rejection(strict.receive({ timeout: 100 }), ChannelTimeoutError);
    assert.equal(await fixture.own(strict.deadLetters).get({ timeout: 20_000 }), "poison");
    await isGone(ch);
  });

  for (const connections of [1, 3]) {
    const declare = connections === 1 ? test : shared;
    declare(
      `attempts are counted across handles on ${connections} connection(s)`,
      async (fixture) => {
        const make = maker(fixture, { maxAttempts: 3 });
        const name = fixture.name();
        const handles = numbers(3).map((n) => make<string>(name, n % connections));
        await handles[0]!.put("poison");
        for (const [i, handle] of handles.entries()) {
          const delivery = await handle.receive({ timeout: 20_000 });
          assert.equal(delivery.attempts, i + 1);
          delivery.release();
        }
        assert.equal(await fixture.own(handles[0]!.deadLetters).get({ timeout: 20_000 }), "poison");
        for (const handle of handles) {
          await rejection(handle.receive({ timeout: 30 }), ChannelTimeoutError);
        }
      },
    );
  }

  const garbage = { body: new Uint8Array([0xff, 0, 1]), contentType: "application/cbor" };

  test("an undecodable message becomes a dead letter with maxAttempts, and is removed without", async (fixture) => {
    const ch = maker(fixture, { maxAttempts: 3 })<string>(fixture.name());
    const plain = fixture.channel<string>(ch.name);
    await using raw = await fixture.setup.raw(ch.name);
    await raw.put(garbage);
    await ch.put("next");
    const error = await rejection(ch.receive(), ChannelDecodeError);
    assert.deepEqual([...error.bytes], [...garbage.body]);
    const next = await ch.receive({ timeout: 20_000 });
    assert.deepEqual([next.value, next.attempts], ["next", 1]);
    next.accept();
    await raw.put(garbage);
    await rejection(plain.receive(), ChannelDecodeError);
    await rejection(plain.receive({ timeout: 0 }), ChannelTimeoutError);
    await isGone(ch);
    const dead = fixture.own(ch.deadLetters as Channel);
    await dead.depth();
    await using rawDead = await fixture.setup.raw(dead.name);
    const message = await rawDead.get();
    assert.deepEqual([...message!.body], [...garbage.body]);
    assert.equal(message!.contentType, garbage.contentType);
    assert.equal(await rawDead.get(), undefined);
  });

  test("a dead letter can be put into its channel again", async (fixture) => {
    const ch = maker(fixture, { maxAttempts: 1 })<number>(fixture.name());
    const dead = fixture.own(ch.deadLetters);
    await ch.put(1);
    for (const _ of numbers(3)) {
      (await ch.receive({ timeout: 20_000 })).release();
      await ch.put(await dead.get({ timeout: 20_000 }));
    }
    const delivery = await ch.receive({ timeout: 20_000 });
    assert.deepEqual([delivery.value, delivery.attempts, delivery.reason], [1, 1, undefined]);
    delivery.accept();
  });

  test("if the dead-letter channel is full, other values are received, and the next receive rejects with the reason", async (fixture) => {
    const ch = maker(fixture, { maxAttempts: 1, retryTimeout: 200 })<string>(fixture.name());
    const dead = fixture.channel<string>(`${ch.name}.dead-letters`, 0, { capacity: 1 });
    await dead.put("first");
    await ch.put("poison");
    (await ch.receive()).release();
    await ch.put("good");
    const good = await ch.receive({ timeout: 20_000 });
    assert.equal(good.value, "good");
    good.accept();
    const error = await rejection(ch.receive(), ChannelError);
    assert.ok(error.message.includes(dead.name), error.message);
    assert.ok(error.cause instanceof ChannelTimeoutError, String(error.cause));
    const waiting = rejection(ch.receive(), ChannelClosedError);
    assert.equal(await within(dead.get()), "first");
    const letter = await within(dead.receive());
    assert.equal(letter.value, "poison");
    assert.match(letter.reason!, /maxAttempts/);
    letter.accept();
    await isGone(ch);
    await ch.close();
    await waiting;
    await dead.delete();
  });

  test("a value refused by the dead-letter channel is retried with growing pauses, and close is bounded", async (fixture) => {
    const ch = maker(fixture, { maxAttempts: 1, retryTimeout: 4000 })<string>(fixture.name());
    const dead = fixture.channel<string>(`${ch.name}.dead-letters`);
    await dead.put("first");
    await dead.closeAll({ drain: true });
    await ch.put("poison");
    (await ch.receive()).release();
    const failed = async () => {
      const { cause } = await rejection(ch.receive(), ChannelError);
      assert.ok(cause instanceof ChannelClosedError && cause.reason === "drain", String(cause));
    };
    await failed();
    const began = performance.now();
    await failed();
    await failed();
    // The pauses before the two retries are at least half of 200 ms and half of 400 ms.
    const waited = performance.now() - began;
    assert.ok(waited > 290, `it was tried again after ${waited} ms`);
    const waiting = rejection(ch.receive(), ChannelClosedError);
    await within(ch.close());
    await waiting;
    const again = await within(fixture.channel<string>(ch.name).receive());
    assert.equal(again.value, "poison");
    again.accept();
    await dead.delete();
  });

  test("if the dead-letter channel was deleted or closed for everyone, a new one is used", async (fixture) => {
    const ch = maker(fixture, { maxAttempts: 1 })<number>(fixture.name());
    for (const how of ["delete", "closeAll", "delete"] as const) {
      const dead = fixture.own(ch.dup().deadLetters);
      await ch.put(1);
      (await ch.receive({ timeout: 20_000 })).release();
      assert.equal(await dead.get({ timeout: 20_000 }), 1);
      await dead[how]();
    }
  });

  test("an undecodable message that the dead-letter channel refuses is reported, and not received again at once", async (fixture) => {
    const ch = maker(fixture, { maxAttempts: 1, retryTimeout: 200 })<string>(fixture.name());
    const dead = fixture.channel<string>(`${ch.name}.dead-letters`);
    await dead.put("first");
    await dead.closeAll({ drain: true });
    await using raw = await fixture.setup.raw(ch.name);
    await raw.put(garbage);
    await rejection(ch.receive(), ChannelDecodeError);
    const error = await rejection(ch.receive(), ChannelError);
    assert.ok(error.cause instanceof ChannelClosedError, String(error.cause));
    await ch.close();
    await dead.delete();
  });

  shared(
    "a value held by a killed process is redelivered with one more attempt",
    async (fixture) => {
      const ch = fixture.channel<string>();
      await ch.put("a value");
      await using holder = hold(fixture, ch.name);
      assert.deepEqual(await holder.next(), { value: "a value", attempts: 1, redelivered: false });
      await rejection(ch.get({ timeout: 50 }), ChannelTimeoutError);
      const waiting = ch.receive();
      holder.kill();
      const again = await within(waiting);
      assert.deepEqual([again.value, again.attempts, again.redelivered], ["a value", 2, true]);
      again.accept();
      await isGone(ch);
    },
  );

  shared(
    "a value that has killed maxAttempts processes becomes a dead letter",
    async (fixture) => {
      const ch = maker(fixture, { maxAttempts: 2 })<string>(fixture.name());
      await ch.put("poison");
      for (const attempts of [1, 2]) {
        await using victim = hold(fixture, ch.name, 2);
        const redelivered = attempts > 1;
        assert.deepEqual(await victim.next(), { value: "poison", attempts, redelivered });
        victim.kill();
        assert.equal((await victim.exited).signal, "SIGKILL");
      }
      const waiting = ch.receive();
      const letter = await fixture.own(ch.deadLetters).receive({ timeout: 20_000 });
      assert.equal(letter.value, "poison");
      assert.match(letter.reason!, /maxAttempts/);
      letter.accept();
      await ch.put("good");
      const next = await within(waiting);
      assert.deepEqual([next.value, next.attempts], ["good", 1]);
      next.accept();
      await isGone(ch.deadLetters);
    },
  );

  shared(
    "a value that kills each process on receipt becomes a dead letter once",
    async (fixture) => {
      const maxAttempts = 3;
      const ch = maker(fixture, { maxAttempts })<string>(fixture.name());
      await ch.put("poison");
      const dead = fixture.own(ch.deadLetters);
      const ends: (string | null)[] = [];
      for (let i = 0; i < maxAttempts + 30 && await dead.depth() === 0; i++) {
        const args = [String(fixture.setup.connection(1)), ch.name, String(maxAttempts)];
        await using victim = startChild(
          new URL("../programs/crash_on_receipt.ts", import.meta.url),
          {
            args,
          },
        );
        ends.push((await victim.exited).signal);
      }
      assert.equal(ends.at(-1), null);
      // On a busy machine, a process may have ended without receiving: it waits for one second.
      const deaths = ends.filter((end) => end !== null);
      assert.deepEqual(deaths, numbers(maxAttempts).map(() => "SIGKILL"));
      assert.equal(await dead.depth(), 1);
      assert.equal(await ch.depth(), 0);
    },
  );

  shared("releases and process deaths count as attempts alike", async (fixture) => {
    const ch = maker(fixture, { maxAttempts: 9 })<string>(fixture.name());
    await ch.put("poison");
    (await ch.receive()).release();
    {
      await using victim = hold(fixture, ch.name, 9);
      const reported = await victim.next();
      assert.deepEqual(reported, { value: "poison", attempts: 2, redelivered: true });
    }
    const third = await ch.receive({ timeout: 20_000 });
    assert.equal(third.attempts, 3);
    third.release();
    const fourth = await ch.receive({ timeout: 20_000 });
    assert.equal(fourth.attempts, 4);
    fourth.accept();
  });
}

/** Starts a process that receives a value of the channel and holds it. */
function hold(fixture: Fixture, name: string, maxAttempts?: number): Child {
  const counting = maxAttempts === undefined ? [] : [String(maxAttempts)];
  const args = [String(fixture.setup.connection(1)), name, ...counting];
  return startChild(new URL("../programs/holder.ts", import.meta.url), { args });
}
