import assert from "node:assert/strict";
import { ChannelClosedError, ChannelTimeoutError, select } from "../../mod.ts";
import { getAll, numbers, rejection, type Suite, within } from "./fixture.ts";

/** put: encoding, order, rejection. */
export function puttingTests({ test, shared }: Suite): void {
  test("a value is encoded at the call, so later changes do not travel", async (fixture) => {
    const ch = fixture.channel<{ n: number; list: number[]; bytes: Uint8Array }>();
    for (let i = 0; i < 2; i++) { // the first put attaches the handle
      const value = { n: 1, list: [1, 2], bytes: new Uint8Array([1, 2]) };
      const put = ch.put(value);
      value.n = 2;
      value.list.push(3);
      value.bytes.fill(9);
      await put;
      assert.deepEqual(await ch.get(), { n: 1, list: [1, 2], bytes: new Uint8Array([1, 2]) });
    }
  });

  test("when a put has resolved, the value is available", async (fixture) => {
    const a = fixture.channel<number>();
    const b = fixture.channel<number>(a.name);
    for (const n of numbers(20)) {
      await a.put(n);
      assert.equal(await b.depth(), 1);
      assert.equal(await b.get({ timeout: 0 }), n);
    }
  });

  shared(
    "when a put has resolved, the value is available to other connections",
    async (fixture) => {
      const a = fixture.channel<number>();
      const b = fixture.channel<number>(a.name, 1);
      for (const n of numbers(20)) {
        await a.put(n);
        assert.equal(await b.get({ timeout: 0 }), n);
      }
    },
  );

  test("values arrive as structuredClone copies them", async (fixture) => {
    const ch = fixture.channel();
    const value = {
      things: [undefined, null, -0, NaN, 2n ** 70n, "\u{1f600}", new Date(5)],
      map: new Map<unknown, unknown>([[{ k: 1 }, new Set([1, "1"])]]),
      bytes: [new Uint8Array([1, 2, 3]), new Uint8Array()],
      deep: [[[{ a: { b: {} } }]]],
    };
    await ch.put(value);
    assert.deepEqual(await ch.get(), structuredClone(value));
  });

  test("empty values arrive", async (fixture) => {
    const ch = fixture.channel();
    const values = [undefined, null, "", 0, false, [], {}, new Map(), new Uint8Array(), [
      undefined,
    ]];
    for (const value of values) await ch.put(value);
    assert.deepEqual(await getAll(ch, values.length), values);
  });

  test("a value that cannot be cloned is rejected with a DataCloneError, and the channel stays usable", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const bad = [
      () => {},
      Symbol("s"),
      Promise.resolve(),
      new WeakMap(),
      { deep: [new Map([["f", function f() {}]])] },
    ];
    for (const value of bad) {
      const error = await rejection(ch.put(value), DOMException as never) as DOMException;
      assert.equal(error.name, "DataCloneError");
      assert.equal((error as { value?: unknown }).value, value);
    }
    const thrown = new Error("mine");
    const getter = {
      get x() {
        throw thrown;
      },
    };
    await assert.rejects(ch.put(getter), (error) => error === thrown);
    await ch.put("good");
    assert.equal(await ch.get({ timeout: 0 }), "good");
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
  });

  test("a put whose signal is already aborted puts nothing", async (fixture) => {
    const ch = fixture.channel<string>();
    await assert.rejects(ch.put("no", { signal: AbortSignal.abort("r") }), (e) => e === "r");
    const control = new AbortController();
    const fresh = ch.put("no", { signal: control.signal }); // waits until the handle is attached
    control.abort("s");
    await assert.rejects(fresh, (e) => e === "s");
    await ch.put("yes", { signal: new AbortController().signal, timeout: 20_000 });
    assert.equal(await ch.get({ timeout: 0 }), "yes");
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
  });

  test("a rejected put carries the value, which logs do not show", async (fixture) => {
    const ch = fixture.channel<object>();
    await ch.close();
    const value = { secret: 1 };
    const error = await rejection(ch.put(value), ChannelClosedError);
    assert.equal(error.value, value);
    assert.ok(!Object.keys(error).includes("value"));
  });

  test("puts of a new handle keep their order", async (fixture) => {
    for (let round = 0; round < 5; round++) {
      const ch = fixture.channel<number>();
      const puts = numbers(100).map((n) => ch.put(n));
      await puts[0];
      puts.push(...numbers(100, 100).map((n) => ch.put(n)));
      await within(Promise.all(puts));
      assert.deepEqual(await getAll(ch, 200), numbers(200));
    }
  });

  test("puts keep their order if one of them carries a channel that must be created first", async (fixture) => {
    const ch = fixture.channel<unknown>();
    await ch.depth();
    for (let round = 0; round < 5; round++) {
      const puts: Promise<void>[] = [];
      for (const n of numbers(10)) {
        puts.push(ch.put({ n, ch: fixture.anonymous() }), ch.put({ n }), ch.put({ n }));
        if (n % 3 === 0) await Promise.resolve();
      }
      await within(Promise.all(puts));
      const got = await getAll(ch, 30) as { n: number; ch?: never }[];
      assert.deepEqual(got.map(({ n }) => n), numbers(10).flatMap((n) => [n, n, n]));
      got.forEach(({ ch }, i) => assert.equal(ch !== undefined, i % 3 === 0));
      for (const { ch } of got) if (ch) fixture.own(ch);
    }
  });

  test("a signal's reason is rejected unchanged, frozen or not", async (fixture) => {
    const full = fixture.channel<number>(undefined, 0, { capacity: 1 });
    await full.put(0);
    const operations: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
      put: (signal) => full.put(1, { signal }),
      "first put": (signal) => fixture.anonymous().put(1, { signal }),
      get: (signal) => fixture.anonymous().get({ signal }),
      receive: (signal) => fixture.anonymous().receive({ signal }),
      request: (signal) => fixture.anonymous().request(1, { signal }),
      "request in JSON": (signal) =>
        fixture.anonymous(0, { encoding: "json" }).request(1, { signal }),
      broadcast: (signal) => fixture.anonymous().broadcast(1, { signal }),
      closeAll: (signal) => fixture.anonymous().closeAll({ signal }),
      select: (signal) => select([full.putCase(2), fixture.anonymous()], { signal }),
      broadcasts: (signal) => fixture.anonymous().broadcasts({ signal }).next(),
    };
    for (const when of ["before", "meanwhile"]) {
      for (const [name, operate] of Object.entries(operations)) {
        const reasons = [
          new ChannelTimeoutError("of the caller's own"),
          new DOMException("of the caller's own", "DataCloneError"),
        ];
        for (const reason of [...reasons, Object.freeze(new ChannelTimeoutError("frozen"))]) {
          const control = new AbortController();
          if (when === "before") control.abort(reason);
          const outcome = within(reasonOf(operate(control.signal)));
          control.abort(reason);
          assert.equal(await outcome, reason, `${name}, aborted ${when}`);
          assert.ok(!Object.hasOwn(reason, "value"), name);
          assert.ok(!Object.hasOwn(reason, "messageId"), name);
        }
      }
    }
    assert.equal(await full.get(), 0);
  });

  test("the stack of a DataCloneError has the caller's line, however deep the value is", async (fixture) => {
    const ch = fixture.channel<unknown>();
    let value: unknown = () => {};
    for (let i = 0; i < 50; i++) value = { value };
    for (
      const operate of [
        () => ch.put(value),
        () => ch.sender.put(value),
        () => ch.tryPut(value),
        () => ch.request(value),
        () => ch.broadcast(value),
        () => select([ch.putCase(value)]),
      ]
    ) {
      const { name, stack } = await within(reasonOf(operate())) as DOMException & { stack: string };
      assert.equal(name, "DataCloneError");
      assert.match(stack, /^DataCloneError: a function .* cannot be cloned\n/);
      assert.match(stack, /putting\.ts/);
    }
  });

  test("an error thrown by a getter of the value is rejected unchanged, frozen or not", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const reason = Object.freeze(new ChannelTimeoutError("frozen"));
    const value = {
      get trap(): never {
        throw reason;
      },
    };
    for (
      const operate of [
        () => ch.put(value),
        () => ch.tryPut(value),
        () => ch.request(value),
        () => ch.broadcast(value),
        () => select([ch.putCase(value)]),
      ]
    ) assert.equal(await within(reasonOf(operate())), reason);
  });

  test("a rejected or aborted put does not delay the puts after it", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const control = new AbortController();
    const puts = [
      ch.put(0),
      ch.put(() => {}).catch(() => {}),
      ch.put("aborted", { signal: control.signal }).catch(() => {}),
      ch.put(1),
      ch.put(fixture.anonymous(), { signal: control.signal }).catch(() => {}),
      ch.put(2),
    ];
    control.abort();
    await within(Promise.all(puts));
    assert.deepEqual(await getAll(ch, 3), numbers(3));
    await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
  });

  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    declare(
      `each of two producers on ${connections} connection(s) keeps its order`,
      async (fixture) => {
        const ch = fixture.channel<[number, number]>();
        const producers = [0, 1].map((i) =>
          fixture.channel<[number, number]>(ch.name, i * (connections - 1))
        );
        const puts = numbers(200).flatMap((n) => producers.map((p, i) => p.put([i, n])));
        const got = getAll(ch, 400);
        await within(Promise.all(puts));
        const values = await got;
        for (const i of [0, 1]) {
          assert.deepEqual(values.filter(([who]) => who === i).map(([, n]) => n), numbers(200));
        }
      },
    );
  }
}

/** Returns what `promise` rejects with, of any type; undefined if it resolves. */
function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => undefined, (error) => error);
}
