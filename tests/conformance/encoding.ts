import assert from "node:assert/strict";
import {
  Channel,
  ChannelClosedError,
  ChannelReferenceError,
  ChannelTimeoutError,
} from "../../mod.ts";
import { rejection, type Suite, within } from "./fixture.ts";

const json = { encoding: "json" } as const;
const values = [null, 0, "é\ud800", [1.5, { a: [true] }], { ["__proto__"]: {}, n: 1e21 }];

/** The option `encoding`. unreadable.ts tests undecodable messages, and json_test.ts the JSON format. */
export function encodingTests({ test, shared }: Suite): void {
  test("JSON values travel as JSON, and every handle reads both encodings", async (fixture) => {
    const writes = fixture.channel(fixture.name(), 0, json);
    const reads = fixture.channel(writes.name);
    for (const value of values) {
      await writes.put(value);
      assert.deepEqual(await reads.get(), value);
      await reads.put(value);
      assert.deepEqual(await writes.get(), value);
    }
    await reads.put([new Date(5), undefined, 5n]);
    assert.deepEqual(await writes.get(), [new Date(5), undefined, 5n]);
  });

  test("values that structuredClone copies travel as CBOR", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const buffer = new ArrayBuffer(8, { maxByteLength: 16 });
    const sparse: unknown[] = [1];
    sparse[9] = 2;
    const value = {
      sparse,
      regexp: /a/gi,
      numbers: Float64Array.of(0.5, -0),
      view: new DataView(buffer),
      shorts: new Int16Array(buffer),
      buffer,
      boxed: [Object(1), Object("a"), Object(5n)],
      nothing: [undefined, -0, NaN, new Date(NaN)],
      error: new RangeError("far", { cause: new TypeError("near") }),
    };
    await ch.put(value);
    const got = await ch.get() as typeof value;
    assert.deepStrictEqual(Object.keys(got.sparse), ["0", "9"]);
    assert.deepStrictEqual(got.numbers, value.numbers);
    assert.equal(got.view.buffer, got.buffer);
    assert.equal(got.shorts.buffer, got.buffer);
    assert.equal(got.buffer.maxByteLength, 16);
    assert.deepStrictEqual(got.boxed, value.boxed);
    assert.equal(String(got.regexp), "/a/gi");
    assert.ok(got.error instanceof RangeError && got.error.cause instanceof TypeError);
    assert.equal(got.error.stack, value.error.stack);
    assert.ok(Object.is(got.nothing[1], -0) && Number.isNaN((got.nothing[3] as Date).getTime()));
  });

  test("errors travel without their stack if the channel's option says so", async (fixture) => {
    const ch = fixture.channel<Error>(fixture.name(), 0, { stacks: false });
    await ch.put(new RangeError("far", { cause: new Error("near") }));
    const got = await ch.get();
    assert.equal(got.stack, "RangeError: far");
    assert.equal((got.cause as Error).stack, "Error: near");
  });

  test("a megabyte of bytes travels and is not shared with the sender", async (fixture) => {
    const ch = fixture.channel<Uint8Array>();
    const bytes = Uint8Array.from({ length: 1_000_000 }, (_, i) => i);
    await ch.put(bytes);
    bytes.fill(0);
    const got = await ch.get();
    assert.equal(got.length, 1_000_000);
    assert.ok(got.every((byte, i) => byte === i % 256));
  });

  test("JSON is sent as JSON.stringify writes it, with its content type", async (fixture) => {
    const ch = fixture.channel(fixture.name(), 0, json);
    await using raw = await fixture.setup.raw(ch.name);
    for (const value of values) {
      await ch.put(value);
      const { body, contentType } = (await raw.get())!;
      assert.equal(contentType, "application/json");
      assert.equal(new TextDecoder().decode(body), JSON.stringify(value));
    }
  });

  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    const where = connections === 1 ? "" : " to another connection";
    declare(`a channel that travels as JSON${where} is live, and writes JSON`, async (fixture) => {
      const a = fixture.channel<{ n: number; reply_to: Channel }>(fixture.name(), 0, json);
      const b = fixture.channel<{ n: number; reply_to: Channel }>(a.name, connections - 1);
      for (const inner of [fixture.channel(), fixture.anonymous(), fixture.anonymous(0, json)]) {
        await a.put({ n: 6, reply_to: inner });
        const { n, reply_to } = await b.get({ timeout: 20_000 });
        fixture.own(reply_to);
        assert.equal(n, 6);
        assert.ok(reply_to instanceof Channel);
        assert.equal(reply_to.name, inner.name);
        const answer = inner.get();
        await reply_to.put({ n: 42 });
        assert.deepEqual(await within(answer), { n: 42 });
        await inner.put("back");
        assert.equal(await within(reply_to.get()), "back");
        await isJson(reply_to);
        await isJson(fixture.own(reply_to.dup()));
      }
    });
  }

  test("a channel that writes JSON still does so after travelling, also as CBOR", async (fixture) => {
    const carrier = fixture.channel<[Channel, Channel]>();
    await carrier.put([fixture.anonymous(0, json), fixture.anonymous()]);
    const [first, second] = await carrier.get();
    await carrier.put([fixture.own(first), fixture.own(second)]); // and travel a second time
    const [inner, other] = await carrier.get();
    await isJson(fixture.own(inner));
    await fixture.own(other).put([undefined]);
    assert.deepEqual(await other.get(), [undefined]);
  });

  test("dup and clone of a channel that writes JSON write JSON, too", async (fixture) => {
    const ch = fixture.channel(fixture.name(), 0, json);
    await isJson(fixture.own(ch.dup()));
    await isJson(fixture.own(ch.clone()));
  });

  test("the same channel twice in a JSON value is one object on arrival, at any depth", async (fixture) => {
    const ch = fixture.channel<unknown>(fixture.name(), 0, json);
    const inner = fixture.anonymous();
    class Job {
      readonly #to = inner;
      toJSON() {
        return { to: this.#to };
      }
    }
    await ch.put([inner, { deep: [[inner]] }, new Job(), ch]);
    const [a, { deep: [[b]] }, { to }, self] = await ch.get() as [
      Channel,
      { deep: [[Channel]] },
      { to: Channel },
      Channel,
    ];
    for (const each of [a, self]) fixture.own(each);
    assert.equal(a, b);
    assert.equal(a, to);
    assert.equal(a.name, inner.name);
    assert.equal(self.name, ch.name);
    await ch.put(inner);
    assert.equal(fixture.own(await ch.get() as Channel).name, inner.name);
  });

  test("a JSON reference to a disposed anonymous channel does not create it again", async (fixture) => {
    const ch = fixture.channel<Channel>(fixture.name(), 0, json);
    const inner = fixture.anonymous();
    await ch.put(inner);
    await inner[Symbol.asyncDispose]();
    const late = fixture.own(await ch.get());
    await rejection(late.put(1), ChannelClosedError);
    assert.equal(await fixture.setup.exists(inner.name), false);
  });

  test("a value that JSON cannot represent is rejected before anything is sent", async (fixture) => {
    const ch = fixture.channel<unknown>(fixture.name(), 0, json);
    const value = { job: { callbacks: [1, 2, new Date(0)] }, inner: fixture.channel() };
    const error = await rejection(ch.put(value), DOMException);
    assert.equal(error.name, "DataCloneError");
    assert.match(error.message, / at job\.callbacks\[2\] /);
    assert.equal((error as { value?: unknown }).value, value);
    await rejection(ch.put({ __channel__: true, name: ch.name }), DOMException);
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
    await ch.put("goes on");
    assert.equal(await ch.get({ timeout: 0 }), "goes on");
  });

  test("a memory channel travels as JSON only within its reach", async (fixture) => {
    const inner = fixture.own(new Channel<string>({ connection: "memory:apart" }));
    const ch = fixture.channel<{ inner: Channel<string> }>(fixture.name(), 0, json);
    const put = ch.put({ inner });
    if (fixture.setup.features.shared) {
      await rejection(put, ChannelReferenceError);
      return;
    }
    await put;
    const got = fixture.own((await ch.get()).inner);
    await got.put("x");
    assert.equal(await inner.get({ timeout: 0 }), "x");
  });
}

/** Asserts that the handle writes JSON, which cannot represent undefined. */
async function isJson(channel: Channel): Promise<void> {
  const error = await rejection(channel.put([undefined]), DOMException);
  assert.match(error.message, /JSON/);
}
