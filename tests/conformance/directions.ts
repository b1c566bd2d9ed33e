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
import { rejection, soon, type Suite } from "./scene.ts";

/** Channels for sending only and for receiving only. */
export function directionTests({ test }: Suite): void {
  test("a sender only sends, and a receiver only receives", async (scene) => {
    const ch = scene.channel<number>();
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
    // the types reject it, too
    assert.throws(() => sender.get(), TypeError);
    // the types reject it, too
    assert.throws(() => receiver.put(1), TypeError);
    // the types reject it, too
    assert.throws(() => new ReceiveChannel(sender), ChannelConfigError);
    // the types reject it, too
    assert.throws(() => new SendChannel(receiver), ChannelConfigError);
    const get = Channel.prototype.get as (this: unknown) => Promise<unknown>;
    assert.throws(() => get.call(sender), TypeError);
  });

  test("a receiver has all receiving operations, and closing it closes the handle", async (scene) => {
    const ch = scene.channel<number>();
    const { sender, receiver } = ch;
    await sender.put(1);
    (await receiver.receive()).accept();
    const writer = sender.writable().getWriter();
    await writer.write(2);
    await writer.close();
    const reader = receiver.readable().getReader();
    assert.equal((await soon(reader.read())).value, 2);
    await reader.cancel();
    await sender.put(3);
    for await (const n of receiver) {
      assert.equal(n, 3);
      break;
    }
    assert.equal((await soon(select({ out: sender.putCase(4) }))).key, "out");
    assert.equal((await soon(select({ in: receiver }))).value, 4);
    assert.equal(await soon(sender.tryPut(5)), "ok");
    assert.deepEqual(await soon(receiver.tryGet()), { status: "ok", value: 5 });
    const heard = receiver.broadcasts();
    await soon(heard.ready);
    await sender.broadcast(6);
    assert.equal((await soon(heard.next())).value, 6);
    const serving = serve(receiver, (n) => n + 1);
    assert.equal(await soon(sender.request(4)), 5);
    await sender.closeAll({ drain: true });
    await soon(serving);
    await sender.closeAll();
    assert.ok(ch.closed && sender.closed && receiver.closed);
  });

  test("directed channels keep their direction when they travel, repeatedly", async (scene) => {
    const there = scene.setup.features.shared ? 1 : 0;
    type Ends = { out: SendChannel<string>; in: ReceiveChannel<string>; both: Channel<string> };
    const ch = scene.channel<Ends>();
    const far = scene.channel<Ends>(ch.name, there);
    for (const inner of [scene.channel<string>(), scene.anonymous<string>()]) {
      let ends: Ends = { out: inner.sender, in: inner.receiver, both: inner };
      for (const _ of [1, 2]) {
        await ch.put(ends);
        ends = await soon(far.get());
        for (const end of Object.values(ends)) scene.own(end as AsyncDisposable);
        assert.ok(ends.out instanceof SendChannel && !("get" in ends.out));
        assert.ok(ends.in instanceof ReceiveChannel && !("put" in ends.in));
        assert.ok(ends.both instanceof Channel);
        assert.equal(ends.out.name, inner.name);
      }
      await ends.out.put("there");
      assert.equal(await soon(ends.in.get()), "there");
      await ends.out.put("again");
      assert.equal(await soon(inner.get()), "again");
    }
  });

  test("several ends of one channel in a value are the same objects on arrival", async (scene) => {
    const ch = scene.channel<unknown[]>();
    const inner = scene.channel();
    await ch.put([inner.sender, inner.sender, inner, inner.receiver]);
    const [a, b, c, d] = await ch.get() as [SendChannel, SendChannel, Channel, ReceiveChannel];
    scene.own(c);
    assert.equal(a, b);
    assert.equal(c.sender, a);
    assert.equal(c.receiver, d);
  });

  test("JSON has no directed channels", async (scene) => {
    const ch = scene.channel<unknown>(undefined, 0, { encoding: "json" });
    const error = await rejection(ch.put({ to: ch.sender }), ChannelReferenceError);
    assert.match(error.message, /no direction/);
    assert.equal(await ch.depth(), 0);
  });

  test("hostile directions are rejected", async (scene) => {
    const ch = scene.channel<unknown>();
    await using raw = await scene.setup.raw(ch.name);
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
      assert.ok(scene.own(older) instanceof Channel, inspect(older));
    }
    await put("inner", undefined, undefined, "receive");
    const [directed] = await ch.get() as [ReceiveChannel];
    assert.ok(scene.own(directed) instanceof ReceiveChannel);
  });
}
