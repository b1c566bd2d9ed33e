import assert from "node:assert/strict";
import {
  Channel,
  ChannelClosedError,
  ChannelConfigError,
  pipe,
  select,
  trySelect,
} from "../../mod.ts";
import { getAll, numbers, pause, rejection, type Suite, until, within } from "./fixture.ts";

/** Channels as Web Streams, and pipes between channels. */
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

  test("a value that arrives after its reader was released goes to the next reader", async (fixture) => {
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
    await second.cancel();
  });

  test("the streams are ordinary streams, whose methods belong to their classes", (fixture) => {
    const ch = fixture.channel<number>();
    const [readable, writable] = [ch.readable(), ch.writable()];
    assert.deepEqual(
      [...Reflect.ownKeys(readable), ...Reflect.ownKeys(writable)].filter(isName),
      [],
    );
    assert.equal(readable.pipeTo, ReadableStream.prototype.pipeTo);
    assert.ok(writable instanceof WritableStream);
    const writer = writable.getWriter();
    assert.ok(writer instanceof WritableStreamDefaultWriter && writable.locked);
    writer.releaseLock();
    return Promise.resolve();
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

  test("a pipe moves all values and ends when the source is closed", async (fixture) => {
    for (const memory of [false, true]) {
      const from = fixture.channel<number>();
      const to = memory
        ? fixture.own(new Channel<number>({ connection: "memory:" }))
        : fixture.channel<number>();
      const piping = pipe(from, to);
      for (const n of numbers(200)) void from.put(n);
      assert.deepEqual(await getAll(to, 200), numbers(200));
      await from.closeAll();
      await within(piping);
      assert.equal(to.closed, false);
      const back = fixture.channel<number>();
      const into = new AbortController();
      const other = pipe(to.receiver, back.sender, { signal: into.signal });
      for (const n of numbers(50)) await to.put(n);
      assert.deepEqual(await getAll(back, 50), numbers(50));
      into.abort(new RangeError("enough"));
      await rejection(other, RangeError);
    }
  });

  test("a pipe from a channel into itself is refused", async (fixture) => {
    const channel = fixture.channel<number>();
    await channel.put(1);
    const error = await rejection(
      pipe(channel, fixture.own(channel.dup()).sender),
      ChannelConfigError,
    );
    assert.match(error.message, /^pipe: from and to are the same channel: /);
    assert.equal(await channel.get(), 1);
  });

  test("a pipe moves what a drained channel holds, then ends", async (fixture) => {
    const [from, to] = [fixture.channel<number>(), fixture.channel<number>()];
    for (const n of numbers(30)) await from.put(n);
    await from.closeAll({ drain: true });
    await within(pipe(from, to, { concurrency: 4 }));
    assert.deepEqual(await getAll(to, 30), numbers(30));
  });

  test("a pipe that is aborted midway loses nothing", async (fixture) => {
    for (const _ of numbers(5)) {
      const [from, to] = [fixture.channel<number>(), fixture.channel<number>()];
      await Promise.all(numbers(200).map((n) => from.put(n)));
      const stop = new AbortController();
      const piping = pipe(from, to, { signal: stop.signal });
      const some = await getAll(to, 20);
      stop.abort(new RangeError("enough"));
      await rejection(piping, RangeError);
      const [there, back] = await drained(180, to, from);
      assert.deepEqual([...some, ...there, ...back].sort((a, b) => a - b), numbers(200));
    }
  });

  test("a pipe whose put fails releases the value", async (fixture) => {
    const [from, to] = [fixture.channel<unknown>(), fixture.channel<unknown>()];
    const put = to.put.bind(to);
    to.put = (value, options) =>
      value === 7 ? Promise.reject(new RangeError("not 7")) : put(value, options);
    for (const n of numbers(20)) await from.put(n);
    await rejection(pipe(from, to, { concurrency: 4 }), RangeError);
    const [there, back] = await drained(20, to, from);
    assert.ok(back.includes(7));
    assert.deepEqual([...there, ...back].sort((a, b) => Number(a) - Number(b)), numbers(20));
  });

  test("a pipe has at most `concurrency` puts in progress, and an abort gives them up after a second", async (fixture) => {
    const [from, to] = [fixture.channel<number>(), fixture.channel<number>()];
    const given: AbortSignal[] = [];
    to.put = (_, options) =>
      new Promise((_, reject) => {
        const { signal } = options!;
        given.push(signal!);
        signal!.addEventListener("abort", () => reject(signal!.reason));
      });
    for (const n of numbers(5)) await from.put(n);
    const stop = new AbortController();
    const piping = pipe(from, to, { concurrency: 2, signal: stop.signal });
    await until(() => given.length === 2);
    await pause(10); // no third put is called
    assert.equal(given.length, 2);
    const ended = rejection(piping, RangeError);
    stop.abort(new RangeError("enough"));
    await pause(10);
    assert.equal(given[0]!.aborted, false);
    await ended;
    assert.deepEqual((await getAll(from, 5)).sort(), numbers(5));
  });

  test("a pipe into a closed channel rejects and takes nothing, also while it waits", async (fixture) => {
    const [from, to] = [fixture.channel<number>(), fixture.channel<number>()];
    await to.depth();
    const piping = pipe(from, to);
    await fixture.untilWaiting(from);
    await to.closeAll();
    await rejection(piping, ChannelClosedError);
    await from.put(1);
    await rejection(pipe(from, to), ChannelClosedError);
    assert.equal(await within(from.get()), 1);
  });

  test("a pipe checks its arguments", async (fixture) => {
    const [{ sender }, { receiver }] = [fixture.channel<number>(), fixture.channel<number>()];
    const stop = AbortSignal.abort(new RangeError("enough"));
    await rejection(pipe(receiver, sender, { signal: stop }), RangeError);
    await rejection(pipe(receiver, sender, { concurrency: 0 }), ChannelConfigError);
    // @ts-expect-error the types reject it, too
    await rejection(pipe(sender, sender), ChannelConfigError);
    // @ts-expect-error the types reject it, too
    await rejection(pipe(receiver, receiver), ChannelConfigError);
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

function isName(key: string | symbol): boolean {
  return typeof key === "string";
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
