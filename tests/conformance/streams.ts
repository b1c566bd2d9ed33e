import assert from "node:assert/strict";
import { Channel, ChannelClosedError, select, trySelect } from "../../mod.ts";
import { getAll, numbers, pause, rejection, type Suite, until, within } from "./fixture.ts";

/** Channels as Web Streams. */
export function streamTests({ test }: Suite): void {
  test("a readable reads nothing before it is pulled, and one value for each read", async (fixture) => {
    const ch = fixture.channel<number>();
    for (const n of numbers(3)) await ch.put(n);
    const reader = ch.readable().getReader();
    await pause(50);
    assert.equal(await ch.depth(), 3);
    assert.deepEqual(await within(reader.read()), { value: 0, done: false });
    await until(async () => await ch.depth() === 2);
    await reader.cancel();
    assert.deepEqual(await getAll(ch, 2), [1, 2]);
  });

  test("cancelling a readable takes no value, also while it waits", async (fixture) => {
    const ch = fixture.channel<number>();
    const reader = ch.readable().getReader();
    const read = reader.read();
    await fixture.untilWaiting(ch);
    await reader.cancel();
    assert.deepEqual(await within(read), { value: undefined, done: true });
    await ch.put(1);
    assert.equal(await within(ch.get()), 1);
    for await (const n of iterate(ch)) {
      assert.equal(n, 2);
      break;
    }
    assert.equal(await within(ch.get()), 3);
    assert.equal(ch.closed, false);
  });

  async function* iterate(ch: Channel<number>) {
    await ch.put(2);
    await ch.put(3);
    const reader = ch.readable().getReader();
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        yield value;
      }
    } finally {
      await reader.cancel();
    }
  }

  test("a value that arrives after its reader was released goes to the next reader, or back to the channel", async (fixture) => {
    const ch = fixture.channel<number>();
    const stream = ch.readable();
    const first = stream.getReader();
    const read = first.read().catch(() => "released");
    await fixture.untilWaiting(ch);
    first.releaseLock();
    assert.equal(await within(read), "released");
    await ch.put(1);
    await until(async () => await ch.depth() === 0); // the stream has it
    const second = stream.getReader();
    assert.equal((await within(second.read())).value, 1);
    const third = second.read().catch(() => "released");
    await fixture.untilWaiting(ch);
    second.releaseLock();
    await third;
    await ch.put(2);
    await until(async () => await ch.depth() === 0);
    await stream.cancel();
    assert.equal(await within(ch.get()), 2);
  });

  test("closeAll ends a readable normally, and a signal ends it with its reason", async (fixture) => {
    const ch = fixture.channel<number>();
    const stop = new AbortController();
    const aborted = ch.readable({ signal: stop.signal }).getReader();
    const read = rejection(aborted.read(), RangeError);
    stop.abort(new RangeError("enough"));
    await read;
    const reader = ch.readable().getReader();
    await ch.put(1);
    assert.equal((await within(reader.read())).value, 1);
    const last = reader.read();
    await fixture.untilWaiting(ch);
    await ch.closeAll();
    assert.deepEqual(await within(last), { value: undefined, done: true });
  });

  test("a write resolves when its put does, and closing the stream leaves the channel open", async (fixture) => {
    const ch = fixture.channel<number>();
    const writer = ch.writable().getWriter();
    await within(writer.write(1));
    assert.equal(await ch.depth(), 1);
    void writer.write(2);
    void writer.write(3);
    await within(writer.close());
    assert.equal(await ch.depth(), 3);
    assert.equal(ch.closed, false);
    assert.deepEqual(await getAll(ch, 3), [1, 2, 3]);
  });

  test("a writable has at most highWaterMark puts in progress, in order, then applies back pressure", async (fixture) => {
    const ch = fixture.channel<number>();
    const gates: (() => void)[] = [];
    const put = ch.put.bind(ch);
    ch.put = async (value, options) => {
      await new Promise<void>((resolve) => gates.push(resolve));
      await put(value, options);
    };
    const writer = ch.writable({ highWaterMark: 3 }).getWriter();
    const writes = numbers(5).map((n) => writer.write(n));
    await until(() => gates.length === 3);
    await pause(10); // no fourth put is called
    assert.equal(gates.length, 3);
    assert.ok(writer.desiredSize! <= 0);
    gates[0]!();
    await within(writes[0]!);
    await until(() => gates.length === 4);
    for (let i = 1; i < 5; i++) {
      await until(() => gates.length > i);
      gates[i]!();
    }
    await within(writer.close());
    assert.deepEqual(await getAll(ch, 5), numbers(5));
  });

  test("a rejected put rejects its write and errors the stream", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const writer = ch.writable().getWriter();
    writer.closed.catch(() => {});
    await within(writer.write(1));
    const failed = writer.write(() => {});
    await rejection(failed, DOMException);
    await rejection(writer.write(2), DOMException);
    const closing = fixture.channel<number>();
    const other = closing.writable().getWriter();
    other.closed.catch(() => {});
    await within(other.write(1));
    await closing.closeAll();
    other.write(2).catch(() => {});
    await rejection(other.close(), ChannelClosedError);
    assert.throws(() => ch.writable({ highWaterMark: 0 }), { name: "ChannelConfigError" });
  });

  test("aborting a writable waits for writes in progress and leaves the channel open", async (fixture) => {
    const ch = fixture.channel<number>();
    const writer = ch.writable().getWriter();
    writer.closed.catch(() => {});
    const writes = Promise.allSettled(numbers(5).map((n) => writer.write(n)));
    await within(writer.abort(new Error("no more")));
    const depth = await ch.depth();
    const done = (await within(writes)).filter(({ status }) => status === "fulfilled").length;
    assert.ok(done <= depth, `${done} of ${depth}`);
    assert.equal(ch.closed, false);
  });

  test("pipeTo between channels moves all values and ends when the source is closed", async (fixture) => {
    for (const memory of [false, true]) {
      const from = fixture.channel<number>();
      const to = memory
        ? fixture.own(new Channel<number>({ connection: "memory:" }))
        : fixture.channel<number>();
      const piping = from.readable().pipeTo(to.writable());
      for (const n of numbers(200)) void from.put(n);
      assert.deepEqual(await getAll(to, 200), numbers(200));
      await from.closeAll();
      await within(piping);
      assert.equal(to.closed, false);
      const back = fixture.channel<number>();
      const into = new AbortController();
      const other = to.readable().pipeTo(back.writable(), { signal: into.signal });
      for (const n of numbers(50)) await to.put(n);
      assert.deepEqual(await getAll(back, 50), numbers(50));
      into.abort(new RangeError("enough"));
      await rejection(other, RangeError);
    }
  });

  test("a pipe that is aborted midway loses nothing", async (fixture) => {
    for (const _ of numbers(5)) {
      const [from, to] = [fixture.channel<number>(), fixture.channel<number>()];
      await Promise.all(numbers(200).map((n) => from.put(n)));
      const stop = new AbortController();
      const piping = from.readable().pipeTo(to.writable(), { signal: stop.signal });
      const some = await getAll(to, 20);
      stop.abort(new RangeError("enough"));
      await rejection(piping, RangeError);
      const [there, back] = await drained(180, to, from);
      assert.deepEqual([...some, ...there, ...back].sort((a, b) => a - b), numbers(200));
    }
  });

  test("a pipe whose destination fails returns the values that were not written", async (fixture) => {
    const [from, to] = [fixture.channel<unknown>(), fixture.channel<unknown>()];
    const put = to.put.bind(to);
    to.put = (value, options) =>
      value === 7 ? Promise.reject(new RangeError("not 7")) : put(value, options);
    for (const n of numbers(20)) await from.put(n);
    const source = from.readable();
    const sink = to.writable({ highWaterMark: 4 });
    await rejection(source.pipeTo(sink, { preventCancel: true }), RangeError);
    assert.equal(source.locked || sink.locked, false);
    const [there, back] = await drained(20, to, from);
    assert.ok(back.includes(7));
    assert.deepEqual([...there, ...back].sort((a, b) => Number(a) - Number(b)), numbers(20));
    await rejection(from.readable().pipeTo(sink), RangeError);
  });

  test("a channel is piped through other streams", async (fixture) => {
    const [from, to] = [fixture.channel<number>(), fixture.channel<number>()];
    const doubled = new TransformStream<number, number>({
      transform: (n, controller) => controller.enqueue(n * 2),
    });
    const piping = from.readable().pipeThrough(doubled).pipeTo(to.writable());
    for (const n of numbers(20)) await from.put(n);
    assert.deepEqual(await getAll(to, 20), numbers(20).map((n) => n * 2));
    await from.closeAll();
    await within(piping);
  });
}

/** Returns `count` values of two channels, once values that were read ahead have returned. */
async function drained<T>(
  count: number,
  ...channels: [Channel<T>, Channel<T>]
): Promise<[T[], T[]]> {
  const values: [T[], T[]] = [[], []];
  while (values[0].length + values[1].length < count) {
    const { key, value } = await select(channels, { timeout: 20_000 });
    values[key as 0 | 1].push(value as T);
  }
  assert.equal(await trySelect(channels), undefined);
  return values;
}
