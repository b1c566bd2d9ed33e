import assert from "node:assert/strict";
import {
  type Broadcasts,
  Channel,
  ChannelClosedError,
  ChannelConfigError,
  ChannelReferenceError,
} from "../../mod.ts";
import { numbers, pause, rejection, type Suite, within } from "./fixture.ts";

/** broadcast: every listener gets it, nobody else does, and it is not stored. */
export function broadcastsTests({ test, shared }: Suite): void {
  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    const where = connections === 1 ? "" : ", on every connection";

    for (const kind of ["a named channel", "an anonymous channel"]) {
      declare(
        `a broadcast on ${kind} reaches every listener, including its sender${where}`,
        async (fixture) => {
          const first = kind === "a named channel" ? fixture.channel() : fixture.anonymous();
          await first.depth(); // creates the anonymous channel
          const handles = [
            first,
            fixture.channel(first.name),
            fixture.channel(first.name, connections - 1),
          ];
          const listeners = handles.map((handle) => handle.broadcasts());
          await within(Promise.all(listeners.map(({ ready }) => ready)));
          await first.broadcast({ n: 1n, at: new Map([["x", new Date(5)]]) });
          for (const events of listeners) {
            assert.deepEqual(await next(events), { n: 1n, at: new Map([["x", new Date(5)]]) });
          }
          await handles[2]!.broadcast("close");
          for (const events of listeners) assert.equal(await next(events), "close");
          assert.equal(await first.depth(), 0);
          for (const handle of handles) assert.equal(handle.closed, false);
          for (const events of listeners) await events.return();
        },
      );
    }

    declare(`broadcasts arrive in the order of the calls${where}`, async (fixture) => {
      const sender = fixture.channel<number>();
      const events = fixture.channel<number>(sender.name, connections - 1).broadcasts();
      await events.ready;
      await within(Promise.all(numbers(300).map((n) => sender.broadcast(n))));
      assert.deepEqual(await take(events, 300), numbers(300));
    });

    for (const ending of ["closeAll", "delete"] as const) {
      for (const isWaiting of [true, false]) {
        const when = isWaiting ? "that waits" : "after earlier broadcasts";
        declare(
          `${ending} ends a loop over broadcasts normally, ${when}${where}`,
          async (fixture) => {
            const sender = fixture.channel<number>();
            const listener = fixture.channel<number>(sender.name, connections - 1);
            const events = listener.broadcasts();
            await events.ready;
            const got: number[] = [];
            const loop = async () => {
              for await (const n of events) got.push(n);
            };
            const early = isWaiting ? loop() : undefined;
            await sender.broadcast(1);
            await sender.broadcast(2);
            await sender[ending]();
            await within(early ?? loop());
            assert.deepEqual(got, [1, 2]);
            await rejection(sender.broadcast(3), ChannelClosedError, { reason: ending });
            assert.deepEqual(await events.next(), { value: undefined, done: true });
          },
        );
      }
    }

    declare(`a broadcast can carry a channel${where}`, async (fixture) => {
      const sender = fixture.channel<{ to: Channel<string> }>();
      const events = fixture.channel<{ to: Channel<string> }>(sender.name, connections - 1)
        .broadcasts();
      await events.ready;
      const reply = fixture.anonymous<string>();
      await sender.broadcast({ to: reply });
      const { to } = await next(events);
      assert.ok(to instanceof Channel);
      await fixture.own(to).put("heard");
      assert.equal(await reply.get({ timeout: 20_000 }), "heard");
    });

    declare(
      `JSON broadcasts reach all listeners, also those that look like events${where}`,
      async (fixture) => {
        const sender = fixture.channel<unknown>(undefined, 0, { encoding: "json" });
        const events = fixture.channel<unknown>(sender.name, connections - 1).broadcasts();
        await events.ready;
        for (const value of ["close", "delete", { a: [1, null] }, 7]) {
          await sender.broadcast(value);
          assert.deepEqual(await next(events), value);
        }
        await rejection(sender.broadcast(1n), DOMException);
        assert.equal(sender.closed, false);
      },
    );
  }

  shared(
    "a listener gets broadcasts once any operation of its handle has resolved",
    async (fixture) => {
      const [sender, listener] = [fixture.channel(), fixture.channel(undefined, 1)];
      const other = fixture.channel(listener.name);
      const events = listener.broadcasts();
      await listener.depth();
      await other.broadcast("here");
      assert.equal(await next(events), "here");
      await sender.broadcast("nobody listens"); // a broadcast without listeners is not an error
    },
  );

  test("a handle without a listener misses a broadcast, and other channels get nothing", async (fixture) => {
    const ch = fixture.channel<number>();
    const other = fixture.channel<number>().broadcasts();
    await other.ready;
    await ch.broadcast(1);
    const late = ch.broadcasts();
    await late.ready;
    await ch.broadcast(2);
    assert.equal(await next(late), 2);
    await other.return();
    assert.deepEqual(await other.next(), { value: undefined, done: true });
    assert.deepEqual([late.missed, other.missed], [0, 0]);
  });

  test("a slow listener keeps the latest broadcasts, counts the others, and slows nobody down", async (fixture) => {
    const ch = fixture.channel<number>();
    const [slow, all] = [ch.broadcasts({ buffer: 3 }), ch.broadcasts()];
    await Promise.all([slow.ready, all.ready]);
    await within(Promise.all(numbers(10).map((n) => ch.broadcast(n))));
    assert.deepEqual(await take(all, 10), numbers(10));
    assert.equal(slow.missed, 7);
    assert.deepEqual(await take(slow, 3), [7, 8, 9]);
    for (const buffer of [0, -1, 1.5, NaN]) {
      assert.throws(() => ch.broadcasts({ buffer }), ChannelConfigError);
    }
  });

  test("each call of next gets one broadcast, in the order of the calls", async (fixture) => {
    const ch = fixture.channel<number>();
    const events = ch.broadcasts();
    const calls = numbers(5).map(() => events.next());
    await events.ready;
    for (const n of numbers(5)) await ch.broadcast(n);
    const results = await within(Promise.all(calls));
    assert.deepEqual(results.map(({ value }) => value), numbers(5));
  });

  test("an aborted signal ends a listener with its reason, once", async (fixture) => {
    const ch = fixture.channel<number>();
    const reason = new Error("enough");
    const stop = new AbortController();
    const [waiting, later] = [0, 1].map(() => ch.broadcasts({ signal: stop.signal })) as [
      Broadcasts<number>,
      Broadcasts<number>,
    ];
    await Promise.all([waiting.ready, later.ready]);
    await ch.broadcast(1);
    assert.equal(await next(waiting), 1);
    const pending = waiting.next();
    stop.abort(reason);
    await assert.rejects(within(pending), reason);
    await pause(0);
    await assert.rejects(later.next(), reason);
    for (const events of [waiting, later]) {
      assert.deepEqual(await events.next(), { value: undefined, done: true });
    }
    const never = ch.broadcasts({ signal: stop.signal });
    await assert.rejects(within(never.ready), reason);
    await assert.rejects(within(never.next()), reason);
    await ch.broadcast(2); // the handle still works
  });

  test("leaving a loop over broadcasts does not affect other loops", async (fixture) => {
    const ch = fixture.channel<number>();
    const other = ch.broadcasts();
    await other.ready;
    const loops = numbers(50).map(async () => {
      for await (const n of ch.broadcasts()) return n;
    });
    await ch.depth();
    await ch.broadcast(1);
    assert.deepEqual(await within(Promise.all(loops)), numbers(50).map(() => 1));
    await ch.broadcast(2);
    assert.deepEqual(await take(other, 2), [1, 2]);
  });

  test("closing the handle ends its loops but no loop of another handle", async (fixture) => {
    const ch = fixture.channel<number>();
    const stays = fixture.channel<number>(ch.name);
    const [a, b] = [ch.broadcasts(), stays.broadcasts()];
    const waiting = a.next();
    await Promise.all([a.ready, b.ready]);
    await ch.close();
    assert.equal((await within(waiting)).done, true);
    const late = ch.broadcasts();
    assert.equal((await within(late.next())).done, true);
    await rejection(late.ready, ChannelClosedError);
    await rejection(ch.broadcast(1), ChannelClosedError);
    await stays.broadcast(2);
    assert.equal(await next(b), 2);
  });

  test("a value that a broadcast cannot carry is rejected", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const error = await rejection(ch.broadcast(() => {}), DOMException);
    assert.equal(error.name, "DataCloneError");
    await rejection(ch.broadcast(1, { signal: AbortSignal.abort(new TypeError()) }), TypeError);
    const value = { n: [1] };
    const events = ch.broadcasts();
    await events.ready;
    const sent = ch.broadcast(value);
    value.n[0] = 2;
    await sent;
    assert.deepEqual(await next(events), { n: [1] });
  });

  shared("a broadcast cannot carry a channel of shorter reach", async (fixture) => {
    const ch = fixture.channel<unknown>();
    await rejection(ch.broadcast([new Channel({ connection: "memory:" })]), ChannelReferenceError);
  });
}

async function next<T>(events: Broadcasts<T>): Promise<T> {
  const { value, done } = await within(events.next());
  assert.equal(done, false);
  return value;
}

async function take<T>(events: Broadcasts<T>, count: number): Promise<T[]> {
  const values: T[] = [];
  while (values.length < count) values.push(await next(events));
  return values;
}
