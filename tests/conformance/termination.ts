import assert from "node:assert/strict";
import { type Channel, ChannelClosedError, ChannelTimeoutError } from "../../mod.ts";
import { getAll, numbers, rejection, type Suite, until, within } from "./fixture.ts";

/** closeAll: it ends the channel for all attached handles and keeps the values. */
export function terminationTests({ test, shared }: Suite): void {
  for (const connections of [1, 2]) {
    const declare = connections === 1 ? test : shared;
    const where = connections === 1 ? "" : ", on every connection";

    declare(
      `closeAll rejects pending and later operations on every handle${where}`,
      async (fixture) => {
        const name = fixture.name();
        const handles = numbers(3).map((i) => fixture.channel<number>(name, i % connections));
        const idle = fixture.channel<number>(name, connections - 1);
        await Promise.all([...handles, idle].map((handle) => handle.depth()));
        const closed = { reason: "closeAll" } as const;
        const gets = handles.flatMap((handle) => [handle.get(), handle.get({ timeout: 10_000 })]);
        const refused = gets.map((get) => rejection(get, ChannelClosedError, closed));
        await within(handles[0]!.closeAll());
        await within(Promise.all(refused));
        await until(() => idle.closed);
        for (const handle of [...handles, idle]) {
          assert.ok(handle.closed);
          await rejection(handle.get(), ChannelClosedError, closed);
          await rejection(handle.get({ timeout: 0 }), ChannelClosedError, closed);
          const error = await rejection(handle.put(7), ChannelClosedError, closed);
          assert.equal(error.value, 7);
          await rejection(handle.depth(), ChannelClosedError, closed);
          await rejection(handle.delete(), ChannelClosedError, closed);
          await within(handle.closeAll());
          await within(handle.close());
        }
      },
    );

    declare(
      `a handle made right after closeAll works and keeps working${where}`,
      async (fixture) => {
        const name = fixture.name();
        let listener = fixture.channel<number>(name, connections - 1);
        let closer = fixture.channel<number>(name);
        await Promise.all([listener.put(0), closer.depth()]);
        for (const n of numbers(30)) {
          await closer.closeAll();
          const next = fixture.channel<number>(name, connections - 1);
          assert.equal(await next.get({ timeout: 20_000 }), n);
          await next.put(n + 1);
          await rejection(
            next.get({ timeout: 0 }).then(() => next.get({ timeout: 1 })),
            ChannelTimeoutError,
          );
          await next.put(n + 1);
          await until(() => listener.closed);
          assert.equal(next.closed, false);
          listener = next;
          closer = fixture.channel<number>(name);
          await closer.depth();
        }
      },
    );

    declare(`two concurrent calls of closeAll both succeed${where}`, async (fixture) => {
      const name = fixture.name();
      for (let round = 0; round < 20; round++) {
        const a = fixture.channel<number>(name);
        const b = fixture.channel<number>(name, connections - 1);
        if (round % 3 > 0) await Promise.all([a.depth(), b.depth()]);
        const waiting = round % 3 > 1 ? [a.get(), b.get()] : [];
        const refused = waiting.map((get) => rejection(get, ChannelClosedError));
        await within(Promise.all([a.closeAll(), b.closeAll(), a.closeAll()]));
        await within(Promise.all(refused));
        assert.ok(a.closed && b.closed);
      }
      const ch = fixture.channel<number>(name);
      await ch.put(1);
      assert.equal(await ch.get({ timeout: 0 }), 1);
    });
  }

  test("values stay after closeAll for handles made later", async (fixture) => {
    const a = fixture.channel<number>();
    for (const n of numbers(5)) await a.put(n);
    await a.closeAll();
    const b = fixture.channel<number>(a.name);
    assert.equal(await b.depth(), 5);
    assert.deepEqual(await getAll(b, 5), numbers(5));
    await b.put(5);
    assert.equal(await b.get(), 5);
  });

  test("closeAll keeps each value put before it on the same handle, or rejects its put", async (fixture) => {
    const name = fixture.name();
    for (let round = 0; round < 10; round++) {
      const ch = fixture.channel<number>(name);
      if (round % 2 === 0) await ch.depth();
      const kept: number[] = [];
      const puts = numbers(50).map((n) =>
        ch.put(n).then(() => void kept.push(n), (error) => {
          assert.ok(error instanceof ChannelClosedError);
          assert.equal(error.value, n);
        })
      );
      await within(ch.closeAll());
      await within(Promise.all(puts));
      const next = fixture.channel<number>(name);
      const got: number[] = [];
      while (!kept.every((n) => got.includes(n))) got.push(await next.get({ timeout: 20_000 }));
      await next.delete();
    }
  });

  test("closeAll on a handle that was never used reaches the others", async (fixture) => {
    const a = fixture.channel();
    const refused = rejection(a.get(), ChannelClosedError, { reason: "closeAll" });
    await a.depth();
    await within(fixture.channel(a.name).closeAll());
    await within(refused);
  });

  test("closeAll does not affect a channel of another name", async (fixture) => {
    const [a, b] = [fixture.channel<string>(), fixture.channel<string>()];
    await Promise.all([a.depth(), b.depth()]);
    const got = b.get();
    await a.closeAll();
    await b.put("on");
    assert.equal(await within(got), "on");
  });

  test("closeAll while others attach leaves every operation settled", async (fixture) => {
    const name = fixture.name();
    for (let round = 0; round < 20; round++) {
      const closer = fixture.channel<number>(name);
      if (round % 2 === 0) await closer.depth();
      const joining: Channel<number>[] = numbers(3).map(() => fixture.channel<number>(name));
      const work = joining.map((ch) => ch.get({ timeout: 20 }).catch((error) => error));
      await within(closer.closeAll());
      for (const outcome of await within(Promise.all(work))) {
        assert.ok(
          outcome instanceof ChannelClosedError || outcome instanceof ChannelTimeoutError,
          String(outcome),
        );
      }
      await Promise.all(joining.map((ch) => ch.close()));
    }
  });

  test("a rejection handler can use the name again at once", async (fixture) => {
    const a = fixture.channel<number>();
    await a.put(1);
    await a.get();
    const again = a.get().catch(() => fixture.channel<number>(a.name).get({ timeout: 20_000 }));
    await a.closeAll();
    await fixture.channel<number>(a.name).put(2);
    assert.equal(await within(again), 2);
  });
}
