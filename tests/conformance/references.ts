import assert from "node:assert/strict";
import {
  Channel,
  ChannelClosedError,
  ChannelReferenceError,
  ChannelTimeoutError,
} from "../../mod.ts";
import { numbers, rejection, type Suite, within } from "./fixture.ts";

/** Channels inside values. unreadable.ts tests hostile references. */
export function referenceTests({ test, shared }: Suite): void {
  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    const where = connections === 1 ? "" : " to another connection";
    declare(`a channel that travels${where} is live, named or not`, async (fixture) => {
      const a = fixture.channel<{ job: number; replyTo: Channel<string> }>();
      const b = fixture.channel<{ job: number; replyTo: Channel<string> }>(a.name, connections - 1);
      for (const inner of [fixture.channel<string>(), fixture.anonymous<string>()]) {
        await a.put({ job: 7, replyTo: inner });
        const { job, replyTo } = await b.get({ timeout: 20_000 });
        fixture.own(replyTo);
        assert.equal(job, 7);
        assert.ok(replyTo instanceof Channel);
        assert.notEqual(replyTo, inner);
        assert.equal(replyTo.name, inner.name);
        const answer = inner.get();
        await replyTo.put("there");
        assert.equal(await within(answer), "there");
        await inner.put("back");
        assert.equal(await within(replyTo.get()), "back");
        await replyTo[Symbol.asyncDispose](); // the arrived handle does not own the channel
        await inner.put("still here");
        assert.equal(await inner.get(), "still here");
      }
    });
  }

  test("a channel that was never used can travel, and its receiver creates it", async (fixture) => {
    const ch = fixture.channel<Channel<number>>();
    const inner = fixture.anonymous<number>();
    await ch.put(inner);
    const got = fixture.own(await ch.get());
    await got.put(1);
    assert.equal(await inner.get({ timeout: 20_000 }), 1);
  });

  test("a channel travels in a channel in a channel", async (fixture) => {
    const outer = fixture.channel<Channel<Channel<Channel<string>>>>();
    const middle = fixture.anonymous<Channel<Channel<string>>>();
    const inner = fixture.anonymous<Channel<string>>();
    const innermost = fixture.anonymous<string>();
    await innermost.put("found");
    await inner.put(innermost);
    await middle.put(inner);
    await outer.put(middle);
    const a = fixture.own(await outer.get());
    const b = fixture.own(await within(a.get()));
    const c = fixture.own(await within(b.get()));
    assert.equal(c.name, innermost.name);
    assert.equal(await within(c.get()), "found");
  });

  test("a channel travels through itself", async (fixture) => {
    const ch = fixture.anonymous<unknown>();
    await ch.put({ me: ch });
    const { me } = await ch.get() as { me: typeof ch };
    fixture.own(me);
    await me.put("x");
    assert.equal(await ch.get(), "x");
  });

  test("the same channel twice in a value is one object on arrival", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const inner = fixture.anonymous();
    const other = fixture.anonymous();
    const second = fixture.own(inner.dup());
    await ch.put([inner, { inner }, other, second]);
    const [a, { inner: b }, c, d] = await ch.get() as [
      Channel,
      { inner: Channel },
      Channel,
      Channel,
    ];
    for (const each of [a, b, c, d]) fixture.own(each);
    assert.equal(a, b);
    assert.notEqual(a, c);
    assert.equal(a.name, d.name);
    await ch.put(inner);
    const again = fixture.own(await ch.get() as Channel);
    assert.equal(again.name, inner.name);
  });

  test("channels travel in Map keys and values, Sets and nested arrays", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const [a, b, c] = numbers(3).map(() => fixture.anonymous<string>()) as [
      Channel<string>,
      Channel<string>,
      Channel<string>,
    ];
    const value = {
      map: new Map<unknown, unknown>([[a, "a"], ["b", b]]),
      set: new Set([b, c]),
      deep: [[[c]], { x: { y: [a] } }],
    };
    await ch.put(value);
    const got = await ch.get() as typeof value;
    const [key, [, mapped]] = [...got.map.entries()].map((entry, i) =>
      i === 0 ? entry[0] : entry
    ) as [
      Channel<string>,
      [string, Channel<string>],
    ];
    const [setB, setC] = [...got.set] as [Channel<string>, Channel<string>];
    const deep = got.deep as [[[Channel<string>]], { x: { y: [Channel<string>] } }];
    for (const each of [key, mapped, setC]) fixture.own(each);
    assert.equal(key, deep[1].x.y[0]);
    assert.equal(setB, mapped);
    assert.equal(setC, deep[0][0][0]);
    assert.equal(got.map.get(key), "a");
    assert.deepEqual([key.name, mapped.name, setC.name], [a.name, b.name, c.name]);
    for (const [sent, arrived] of [[a, key], [b, mapped], [c, setC]] as const) {
      await arrived.put(sent.name);
      assert.equal(await sent.get(), sent.name);
    }
  });

  test("channels travel in cycles, causes of errors, sparse arrays and objects with a toJSON", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const inner = fixture.anonymous<string>();
    class Job {
      readonly replyTo = inner;
      toJSON(): string {
        return "JSON has no part in this";
      }
    }
    const sparse: unknown[] = [];
    sparse[5] = inner;
    const cycle: Record<string, unknown> = { job: new Job(), sparse, set: new Set([[inner]]) };
    cycle.self = cycle;
    cycle.error = new Error("failed", { cause: { replyTo: inner, cycle } });
    await ch.put(cycle);
    // deno-lint-ignore no-explicit-any
    const got = await ch.get() as any;
    const arrived = fixture.own(got.job.replyTo as Channel<string>);
    assert.equal(got.self, got);
    assert.equal(got.error.cause.cycle, got);
    assert.ok(got.error instanceof Error);
    assert.equal(got.error.cause.replyTo, arrived);
    assert.equal(got.sparse.length, 6);
    assert.equal(got.sparse[5], arrived);
    assert.equal([...got.set][0][0], arrived);
    await arrived.put("alive");
    assert.equal(await inner.get(), "alive");
  });

  test("a channel outlives the handles that sent and carried it", async (fixture) => {
    const outer = fixture.anonymous<Channel<string>>();
    const receiver = fixture.channel<Channel<string>>(outer.name);
    await receiver.depth().catch(() => {}); // attached, whether or not the channel exists yet
    const inner = new Channel<string>({ connection: fixture.setup.connection(0) });
    await inner.put("left behind");
    await outer.put(inner);
    await inner.close();
    const got = await receiver.get();
    await Promise.all([outer.close(), receiver.close()]);
    assert.equal(await within(got.get({ timeout: 20_000 })), "left behind");
    await got.put("works");
    assert.equal(await got.get({ timeout: 20_000 }), "works");
    await got.delete();
  });

  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    const where = connections === 1 ? "" : ", on another connection";
    declare(
      `a reference to a disposed anonymous channel does not create it again${where}`,
      async (fixture) => {
        const ch = fixture.channel<Channel<number>>();
        const receiver = fixture.channel<Channel<number>>(ch.name, connections - 1);
        const inner = fixture.anonymous<number>();
        await ch.put(inner);
        await ch.put(inner);
        const early = fixture.own(await receiver.get());
        await early.depth();
        await inner[Symbol.asyncDispose]();
        const late = fixture.own(await receiver.get());
        for (const got of [early, late]) {
          const error = await rejection(got.put(1), ChannelClosedError);
          assert.equal(error.value, 1);
          await rejection(got.get(), ChannelClosedError);
          await rejection(got.get({ timeout: 0 }), ChannelClosedError);
          await rejection(got.get({ timeout: 20_000 }), ChannelClosedError);
          await rejection(got.depth(), ChannelClosedError);
        }
        for await (const _ of late) assert.fail("the channel has a value");
        assert.equal(await fixture.setup.exists(inner.name), false);
        await rejection(inner.put(1), ChannelClosedError);
        await within(late[Symbol.asyncDispose]());
        assert.equal(await fixture.setup.exists(inner.name), false);
      },
    );
  }

  test("a dup of a reference to a disposed anonymous channel does not create it again", async (fixture) => {
    const ch = fixture.channel<Channel<number>>();
    const inner = fixture.anonymous<number>();
    await ch.put(inner);
    const got = fixture.own(await ch.get());
    await inner[Symbol.asyncDispose]();
    const dup = fixture.own(got.dup());
    const outcome = await within(dup.put(1).then(() => undefined, (error) => error));
    const isThere = await fixture.setup.exists(inner.name);
    if (isThere) await dup.delete();
    assert.ok(outcome instanceof ChannelClosedError, String(outcome));
    assert.equal(isThere, false);
  });

  test("a channel whose handle is closed can still be sent", async (fixture) => {
    const ch = fixture.channel<Channel<number>>();
    const inner = fixture.channel<number>();
    await inner.put(1);
    await inner.close();
    await ch.put(inner);
    const got = fixture.own(await ch.get());
    assert.equal(await got.get({ timeout: 20_000 }), 1);
  });

  test("sending a deleted anonymous channel does not create it again", async (fixture) => {
    const ch = fixture.channel<Channel<number>>();
    const inner = fixture.anonymous<number>();
    await inner.put(1);
    await inner[Symbol.asyncDispose]();
    await ch.put(inner);
    const got = fixture.own(await ch.get());
    await rejection(got.put(1), ChannelClosedError);
    assert.equal(await fixture.setup.exists(inner.name), false);
  });

  test("an anonymous channel that was closed unused can be sent without harm", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const inner = fixture.anonymous<number>();
    await inner.close();
    const outcome = await within(ch.put(inner).then(() => undefined, (error) => error));
    await ch.put("next");
    let next = await within(ch.get());
    if (outcome === undefined) {
      fixture.own(next as Channel);
      next = await within(ch.get());
    } else {
      assert.ok(outcome instanceof ChannelClosedError, String(outcome));
      assert.equal(outcome.value, inner);
    }
    assert.equal(next, "next");
  });

  test("a reference to a channel of another memory is rejected, or leads to it", async (fixture) => {
    const inner = fixture.own(new Channel<string>({ connection: "memory:apart" }));
    const ch = fixture.channel<unknown>();
    const value = { inner };
    if (fixture.setup.features.shared) {
      const error = await rejection(ch.put(value), ChannelReferenceError);
      assert.equal(error.value, value);
      assert.equal(error.bytes, undefined);
      assert.ok(error.message.includes(inner.name));
      await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
      await ch.put("goes on");
      assert.equal(await ch.get({ timeout: 0 }), "goes on");
    } else {
      await ch.put(value);
      const got = await ch.get() as typeof value;
      fixture.own(got.inner);
      await got.inner.put("x");
      assert.equal(await inner.get({ timeout: 0 }), "x");
    }
  });

  test("a reference is written as relative, without address and credentials", async (fixture) => {
    const ch = fixture.channel<unknown>();
    await using raw = await fixture.setup.raw(ch.name);
    await ch.put([fixture.channel(), fixture.anonymous()]);
    const { body, contentType } = (await raw.get())!;
    const text = String.fromCharCode(...body);
    assert.equal(contentType, "application/cbor");
    assert.doesNotMatch(text, /amqp|memory|guest|localhost|127\.0\.0\.1|:\/\//);
  });
}
