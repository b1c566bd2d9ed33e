import assert from "node:assert/strict";
import { inspect } from "node:util";
import {
  Channel,
  ChannelConfigError,
  ChannelReferenceError,
  ReceiveChannel,
  select,
  SendChannel,
  serve,
} from "../../mod.ts";
import { encode } from "../../src/encoding/cbor/mod.ts";
import { rejection, type Suite, within } from "./fixture.ts";

/** Channels for sending only and for receiving only. */
export function directionTests({ test }: Suite): void {
  test("a sender only sends, and a receiver only receives", async (fixture) => {
    const ch = fixture.channel<number>();
    const { sender, receiver } = ch;
    assert.ok(sender instanceof SendChannel && receiver instanceof ReceiveChannel);
    assert.equal(ch.sender, sender);
    assert.deepEqual([sender.name, receiver.name], [ch.name, ch.name]);
    await sender.put(1);
    assert.equal(await receiver.depth(), 1);
    assert.equal(await receiver.get(), 1);
    const receiving = [
      "get",
      "tryGet",
      "getCase",
      "receive",
      "deliveries",
      "readable",
      "broadcasts",
      Symbol.asyncIterator,
    ];
    const sending = ["put", "tryPut", "putCase", "request", "writable", "broadcast", "closeAll"];
    for (const name of [...receiving, "delete"]) assert.ok(!(name in sender), String(name));
    for (const name of [...sending, "delete"]) assert.ok(!(name in receiver), String(name));
    // @ts-expect-error the types reject it, too
    assert.throws(() => sender.get(), TypeError);
    // @ts-expect-error the types reject it, too
    assert.throws(() => receiver.put(1), TypeError);
    // @ts-expect-error the types reject it, too
    assert.throws(() => new ReceiveChannel(sender), ChannelConfigError);
    // @ts-expect-error the types reject it, too
    assert.throws(() => new SendChannel(receiver), ChannelConfigError);
    const get = Channel.prototype.get as (this: unknown) => Promise<unknown>;
    assert.throws(() => get.call(sender), TypeError);
  });

  test("a receiver has all receiving operations, and closing it closes the handle", async (fixture) => {
    const ch = fixture.channel<number>();
    const { sender, receiver } = ch;
    await sender.put(1);
    (await receiver.receive()).accept();
    const writer = sender.writable().getWriter();
    await writer.write(2);
    await writer.close();
    const reader = receiver.readable().getReader();
    assert.equal((await within(reader.read())).value, 2);
    await reader.cancel();
    await sender.put(3);
    for await (const n of receiver) {
      assert.equal(n, 3);
      break;
    }
    assert.equal((await within(select({ out: sender.putCase(4) }))).key, "out");
    assert.equal((await within(select({ in: receiver }))).value, 4);
    assert.equal(await within(sender.tryPut(5)), "ok");
    assert.deepEqual(await within(receiver.tryGet()), { status: "ok", value: 5 });
    const listener = receiver.broadcasts();
    await within(listener.ready);
    await sender.broadcast(6);
    assert.equal((await within(listener.next())).value, 6);
    const serving = serve(receiver, (n) => n + 1);
    assert.equal(await within(sender.request(4)), 5);
    await sender.closeAll({ drain: true });
    await within(serving);
    await sender.closeAll();
    assert.ok(ch.closed && sender.closed && receiver.closed);
  });

  test("directed channels keep their direction when they travel, repeatedly", async (fixture) => {
    const there = fixture.setup.features.shared ? 1 : 0;
    type Ends = { out: SendChannel<string>; in: ReceiveChannel<string>; both: Channel<string> };
    const ch = fixture.channel<Ends>();
    const far = fixture.channel<Ends>(ch.name, there);
    for (const inner of [fixture.channel<string>(), fixture.anonymous<string>()]) {
      let ends: Ends = { out: inner.sender, in: inner.receiver, both: inner };
      for (const _ of [1, 2]) {
        await ch.put(ends);
        ends = await within(far.get());
        for (const end of Object.values(ends)) fixture.own(end as AsyncDisposable);
        assert.ok(ends.out instanceof SendChannel && !("get" in ends.out));
        assert.ok(ends.in instanceof ReceiveChannel && !("put" in ends.in));
        assert.ok(ends.both instanceof Channel);
        assert.equal(ends.out.name, inner.name);
      }
      await ends.out.put("there");
      assert.equal(await within(ends.in.get()), "there");
      await ends.out.put("again");
      assert.equal(await within(inner.get()), "again");
    }
  });

  test("several ends of one channel in a value are the same objects on arrival", async (fixture) => {
    const ch = fixture.channel<unknown[]>();
    const inner = fixture.channel();
    await ch.put([inner.sender, inner.sender, inner, inner.receiver]);
    const [a, b, c, d] = await ch.get() as [SendChannel, SendChannel, Channel, ReceiveChannel];
    fixture.own(c);
    assert.equal(a, b);
    assert.equal(c.sender, a);
    assert.equal(c.receiver, d);
  });

  test("JSON has no directed channels", async (fixture) => {
    const ch = fixture.channel<unknown>(undefined, 0, { encoding: "json" });
    const error = await rejection(ch.put({ to: ch.sender }), ChannelReferenceError);
    assert.match(error.message, /no direction/);
    assert.equal(await ch.depth(), 0);
  });

  test("hostile directions are rejected", async (fixture) => {
    const ch = fixture.channel<unknown>();
    await using raw = await fixture.setup.raw(ch.name);
    class Marked {}
    const put = (...items: unknown[]) =>
      raw.put({
        body: encode([new Marked()], {
          stacks: true,
          extension: (object) => object instanceof Marked ? ["Channel", ...items] : undefined,
        }),
        contentType: "application/cbor",
      });
    const hostile = ["", "both", "SEND", "__proto__", "constructor", undefined, null, 1, {}, [
      "send",
    ]];
    for (const direction of hostile) {
      await put("inner", undefined, "cbor", direction);
      await rejection(ch.get(), ChannelReferenceError);
    }
    await put("inner", undefined, "cbor", "send", "more");
    await rejection(ch.get(), ChannelReferenceError);
    for (const items of [["inner"], ["inner", undefined], ["inner", undefined, "json"]]) {
      await put(...items);
      const [older] = await ch.get() as [Channel];
      assert.ok(fixture.own(older) instanceof Channel, inspect(older));
    }
    await put("inner", undefined, undefined, "receive");
    const [directed] = await ch.get() as [ReceiveChannel];
    assert.ok(fixture.own(directed) instanceof ReceiveChannel);
  });
}
