import assert from "node:assert/strict";
import {
  Channel,
  ChannelClosedError,
  ChannelReferenceError,
  ChannelTimeoutError,
} from "../../mod.ts";
import { numbers, rejection, soon, type Suite } from "./scene.ts";

/** Channels inside values. unreadable.ts tests hostile references. */
export function referenceTests({ test, shared }: Suite): void {
  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    const where = connections === 1 ? "" : " to another connection";
    declare(`a channel that travels${where} is live, named or not`, async (scene) => {
      const a = scene.channel<{ job: number; replyTo: Channel<string> }>();
      const b = scene.channel<{ job: number; replyTo: Channel<string> }>(a.name, connections - 1);
      for (const inner of [scene.channel<string>(), scene.anonymous<string>()]) {
        await a.put({ job: 7, replyTo: inner });
        const { job, replyTo } = await b.get({ timeout: 20_000 });
        scene.own(replyTo);
        assert.equal(job, 7);
        assert.ok(replyTo instanceof Channel);
        assert.notEqual(replyTo, inner);
        assert.equal(replyTo.name, inner.name);
        const answer = inner.get();
        await replyTo.put("there");
        assert.equal(await soon(answer), "there");
        await inner.put("back");
        assert.equal(await soon(replyTo.get()), "back");
        await replyTo[Symbol.asyncDispose](); // the arrived handle does not own the channel
        await inner.put("still here");
        assert.equal(await inner.get(), "still here");
      }
    });
  }

  test("a channel that was never used can travel, and its receiver creates it", async (scene) => {
    const ch = scene.channel<Channel<number>>();
    const inner = scene.anonymous<number>();
    await ch.put(inner);
    const got = scene.own(await ch.get());
    await got.put(1);
    assert.equal(await inner.get({ timeout: 20_000 }), 1);
  });

  test("a channel travels in a channel in a channel", async (scene) => {
    const outer = scene.channel<Channel<Channel<Channel<string>>>>();
    const middle = scene.anonymous<Channel<Channel<string>>>();
    const inner = scene.anonymous<Channel<string>>();
    const innermost = scene.anonymous<string>();
    await innermost.put("found");
    await inner.put(innermost);
    await middle.put(inner);
    await outer.put(middle);
    const a = scene.own(await outer.get());
    const b = scene.own(await soon(a.get()));
    const c = scene.own(await soon(b.get()));
    assert.equal(c.name, innermost.name);
    assert.equal(await soon(c.get()), "found");
  });

  test("a channel travels through itself", async (scene) => {
    const ch = scene.anonymous<unknown>();
    await ch.put({ me: ch });
    const { me } = await ch.get() as { me: typeof ch };
    scene.own(me);
    await me.put("x");
    assert.equal(await ch.get(), "x");
  });

  test("the same channel twice in a value is one object on arrival", async (scene) => {
    const ch = scene.channel<unknown>();
    const inner = scene.anonymous();
    const other = scene.anonymous();
    const second = scene.own(inner.dup());
    await ch.put([inner, { inner }, other, second]);
    const [a, { inner: b }, c, d] = await ch.get() as [
      Channel,
      { inner: Channel },
      Channel,
      Channel,
    ];
    for (const each of [a, b, c, d]) scene.own(each);
    assert.equal(a, b);
    assert.notEqual(a, c);
    assert.equal(a.name, d.name);
    await ch.put(inner);
    const again = scene.own(await ch.get() as Channel);
    assert.equal(again.name, inner.name);
  });

  test("channels travel in Map keys and values, Sets and nested arrays", async (scene) => {
    const ch = scene.channel<unknown>();
    const [a, b, c] = numbers(3).map(() => scene.anonymous<string>()) as [
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
    for (const each of [key, mapped, setC]) scene.own(each);
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

  test("channels travel in cycles, causes of errors, sparse arrays and objects with a toJSON", async (scene) => {
    const ch = scene.channel<unknown>();
    const inner = scene.anonymous<string>();
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
    const arrived = scene.own(got.job.replyTo as Channel<string>);
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

  test("a channel outlives the handles that sent and carried it", async (scene) => {
    const outer = scene.anonymous<Channel<string>>();
    const receiver = scene.channel<Channel<string>>(outer.name);
    await receiver.depth().catch(() => {}); // attached, whether or not the channel exists yet
    const inner = new Channel<string>({ connection: scene.setup.connection(0) });
    await inner.put("left behind");
    await outer.put(inner);
    await inner.close();
    const got = await receiver.get();
    await Promise.all([outer.close(), receiver.close()]);
    assert.equal(await soon(got.get({ timeout: 20_000 })), "left behind");
    await got.put("works");
    assert.equal(await got.get({ timeout: 20_000 }), "works");
    await got.delete();
  });

  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    const where = connections === 1 ? "" : ", on another connection";
    declare(
      `a reference to a disposed anonymous channel does not create it again${where}`,
      async (scene) => {
        const ch = scene.channel<Channel<number>>();
        const receiver = scene.channel<Channel<number>>(ch.name, connections - 1);
        const inner = scene.anonymous<number>();
        await ch.put(inner);
        await ch.put(inner);
        const early = scene.own(await receiver.get());
        await early.depth();
        await inner[Symbol.asyncDispose]();
        const late = scene.own(await receiver.get());
        for (const got of [early, late]) {
          const error = await rejection(got.put(1), ChannelClosedError);
          assert.equal(error.value, 1);
          await rejection(got.get(), ChannelClosedError);
          await rejection(got.get({ timeout: 0 }), ChannelClosedError);
          await rejection(got.get({ timeout: 50 }), ChannelClosedError);
          await rejection(got.depth(), ChannelClosedError);
        }
        for await (const _ of late) assert.fail("the channel has a value");
        assert.equal(await scene.setup.exists(inner.name), false);
        await rejection(inner.put(1), ChannelClosedError);
        await soon(late[Symbol.asyncDispose]());
        assert.equal(await scene.setup.exists(inner.name), false);
      },
    );
  }

  test("a dup of a reference to a disposed anonymous channel does not create it again", async (scene) => {
    const ch = scene.channel<Channel<number>>();
    const inner = scene.anonymous<number>();
    await ch.put(inner);
    const got = scene.own(await ch.get());
    await inner[Symbol.asyncDispose]();
    const dup = scene.own(got.dup());
    const outcome = await soon(dup.put(1).then(() => undefined, (error) => error));
    const isThere = await scene.setup.exists(inner.name);
    if (isThere) await dup.delete();
    assert.ok(outcome instanceof ChannelClosedError, String(outcome));
    assert.equal(isThere, false);
  });

  test("a channel whose handle is closed can still be sent", async (scene) => {
    const ch = scene.channel<Channel<number>>();
    const inner = scene.channel<number>();
    await inner.put(1);
    await inner.close();
    await ch.put(inner);
    const got = scene.own(await ch.get());
    assert.equal(await got.get({ timeout: 20_000 }), 1);
  });

  test("sending a deleted anonymous channel does not create it again", async (scene) => {
    const ch = scene.channel<Channel<number>>();
    const inner = scene.anonymous<number>();
    await inner.put(1);
    await inner[Symbol.asyncDispose]();
    await ch.put(inner);
    const got = scene.own(await ch.get());
    await rejection(got.put(1), ChannelClosedError);
    assert.equal(await scene.setup.exists(inner.name), false);
  });

  test("an anonymous channel that was closed unused can be sent without harm", async (scene) => {
    const ch = scene.channel<unknown>();
    const inner = scene.anonymous<number>();
    await inner.close();
    const outcome = await soon(ch.put(inner).then(() => undefined, (error) => error));
    await ch.put("next");
    let next = await soon(ch.get());
    if (outcome === undefined) {
      scene.own(next as Channel);
      next = await soon(ch.get());
    } else {
      assert.ok(outcome instanceof ChannelClosedError, String(outcome));
      assert.equal(outcome.value, inner);
    }
    assert.equal(next, "next");
  });

  test("a reference to a channel of another memory is rejected, or leads to it", async (scene) => {
    const inner = scene.own(new Channel<string>({ connection: "memory:apart" }));
    const ch = scene.channel<unknown>();
    const value = { inner };
    if (scene.setup.features.shared) {
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
      scene.own(got.inner);
      await got.inner.put("x");
      assert.equal(await inner.get({ timeout: 0 }), "x");
    }
  });

  test("a reference is written as relative, without address and credentials", async (scene) => {
    const ch = scene.channel<unknown>();
    await using raw = await scene.setup.raw(ch.name);
    await ch.put([scene.channel(), scene.anonymous()]);
    const { body, contentType } = (await raw.get())!;
    const text = String.fromCharCode(...body);
    assert.equal(contentType, "application/cbor");
    assert.doesNotMatch(text, /amqp|memory|guest|localhost|127\.0\.0\.1|:\/\//);
  });
}
