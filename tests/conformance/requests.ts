import assert from "node:assert/strict";
import {
  Channel,
  ChannelClosedError,
  ChannelError,
  ChannelReferenceError,
  ChannelTimeoutError,
  serve,
  type ServeOptions,
} from "../../mod.ts";
import { type Fixture, numbers, pause, rejection, type Suite, until, within } from "./fixture.ts";

type Handler<T, R> = Parameters<typeof serve<T, R>>[1];

/** Serves a channel until the end of the scope. */
export function served<T, R>(
  channel: Channel<T>,
  handler: Handler<T, R>,
  options: number | ServeOptions<T> = 1,
): { done: Promise<void>; [Symbol.asyncDispose](): Promise<void> } {
  const stop = new AbortController();
  const all = typeof options === "number" ? { concurrency: options } : options;
  const done = serve(channel, handler, { ...all, signal: stop.signal });
  return {
    done,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await within(done);
    },
  };
}

/** Returns two handles on one channel, on different connections if the transport has several. */
export function pair<T>(
  fixture: Fixture,
  options: ConstructorParameters<typeof Channel>[0] = {},
): readonly [Channel<T>, Channel<T>] {
  const there = fixture.setup.features.shared ? 1 : 0;
  const ch = fixture.channel<T>(undefined, 0, options as object);
  return [ch, fixture.channel<T>(ch.name, there, options as object)];
}

/** Returns a handler that waits until its signal aborts. */
function waitingHandler(): {
  began: Promise<void>;
  ended: Promise<unknown>;
  handler: Handler<unknown, string>;
} {
  const began = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<unknown>();
  return {
    began: began.promise,
    ended: ended.promise,
    handler: async (_, { signal }) => {
      began.resolve();
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve());
      });
      ended.resolve(signal.reason);
      return "late";
    },
  };
}

/** Requests and replies. */
export function requestTests({ test, shared }: Suite): void {
  for (const encoding of ["cbor", "json"] as const) {
    const title = (text: string) => `${text} (${encoding})`;

    test(title("requests are answered, each with its own reply"), async (fixture) => {
      const [ch, far] = pair<number>(fixture, { encoding });
      await using _server = served(far, async (n) => {
        await pause(Math.random() * 5);
        return { square: n * n };
      }, 5);
      assert.deepEqual(await within(ch.request(3)), { square: 9 });
      const answers = await within(Promise.all(numbers(30).map((n) => ch.request(n))));
      assert.deepEqual(answers, numbers(30).map((n) => ({ square: n * n })));
      assert.equal(await ch.depth(), 0);
    });

    test(title("an error thrown by a handler rejects the request"), async (fixture) => {
      const [ch, far] = pair<string>(fixture, { encoding });
      class OutOfPaper extends Error {
        override readonly name = "OutOfPaper";
        tray = 2;
      }
      await using _server = served(far, (kind): never => {
        if (kind === "own") throw new OutOfPaper("no more A4");
        if (kind === "cause") throw new RangeError("too far", { cause: new TypeError("why") });
        if (kind === "ours") throw new ChannelTimeoutError("of another channel");
        if (kind === "text") throw "only text";
        if (kind === "function") throw Object.assign(new Error("odd"), { cause: () => {} });
        throw { toString: () => assert.fail("toString was called") };
      });
      const own = await rejectionOf(ch.request("own", { timeout: 5000 }));
      assert.equal(own.name, "OutOfPaper");
      assert.equal(own.message, "no more A4");
      assert.equal((own as OutOfPaper).tray, 2);
      const cause = await rejectionOf(ch.request("cause", { timeout: 5000 }));
      assert.ok(cause instanceof RangeError && cause.name === "RangeError");
      assert.equal(cause.message, "too far");
      assert.ok(cause.cause instanceof TypeError && cause.cause.message === "why");
      const ours = await rejectionOf(ch.request("ours", { timeout: 5000 }));
      assert.equal(ours.name, "Error");
      assert.equal(ours.message, "of another channel");
      const text = await rejectionOf(ch.request("text", { timeout: 5000 }));
      assert.equal(text.message, "only text");
      assert.equal(text.cause, "only text");
      const odd = await rejectionOf(ch.request("function", { timeout: 5000 }));
      assert.equal(odd.message, "odd");
      const object = await rejectionOf(ch.request("object", { timeout: 5000 }));
      assert.ok(!(object instanceof assert.AssertionError), object.message);
    });

    test(title("a reply that cannot be encoded rejects the request"), async (fixture) => {
      const [ch, far] = pair<string>(fixture, { encoding });
      await using _server = served(far, () => () => {});
      const error = await rejectionOf(ch.request("function", { timeout: 5000 }));
      assert.equal(error.name, "TypeError");
    });

    for (const how of ["timeout", "signal", "close", "dispose"] as const) {
      test(title(`the handler of a cancelled request is notified: ${how}`), async (fixture) => {
        const [ch, far] = pair<string>(fixture, { encoding });
        const { began, ended, handler } = waitingHandler();
        let hasBegun = false;
        began.then(() => hasBegun = true);
        await using _server = served(far, handler);
        await Promise.all([ch.depth(), far.depth()]); // attaches both handles
        const stop = new AbortController();
        const ask = (options = {}) =>
          rejectionOf(ch.request("work", { signal: stop.signal, ...options }), true);
        let outcome = ask(how === "timeout" ? { timeout: 200 } : {});
        // On a busy machine, a request may time out before it reaches its handler.
        for (let timeout = 400; how === "timeout"; timeout *= 2) {
          await outcome;
          if (hasBegun) break;
          outcome = ask({ timeout });
        }
        await within(began);
        if (how === "signal") stop.abort(new Error("changed my mind"));
        if (how === "close") await ch.close();
        if (how === "dispose") await ch[Symbol.asyncDispose]();
        const error = await outcome;
        if (how === "signal") assert.equal(error.message, "changed my mind");
        else {assert.ok(
            error instanceof (how === "timeout" ? ChannelTimeoutError : ChannelClosedError),
          );}
        assert.equal((await within(ended) as Error).name, "AbortError");
      });
    }

    test(
      title("the handler of a request that was cancelled in the queue is notified"),
      async (fixture) => {
        const [ch, far] = pair<string>(fixture, { encoding });
        await ch.depth(); // attaches the handle
        await rejection(ch.request("work", { timeout: 500 }), ChannelTimeoutError);
        const { ended, handler } = waitingHandler();
        await using _server = served(far, handler);
        assert.equal((await within(ended) as Error).name, "AbortError");
      },
    );

    test(title("a late reply is dropped and does not reach a later request"), async (fixture) => {
      const [ch, far] = pair<number>(fixture, { encoding });
      await using _server = served(far, async (n) => {
        if (n === 1) await pause(200);
        return n;
      }, 2);
      assert.equal(await within(ch.request(0)), 0); // both are attached
      await rejection(ch.request(1, { timeout: 100 }), ChannelTimeoutError);
      assert.equal(await within(ch.request(2)), 2);
      await pause(200);
      assert.equal(await within(ch.request(3)), 3);
      assert.equal(await ch.depth(), 0);
    });

    test(
      title("a request goes to another server if its server leaves during the request"),
      async (fixture) => {
        const [ch, far] = pair<string>(fixture, { encoding });
        const dying = fixture.channel<string>(ch.name, 0, { encoding });
        const { began, handler } = waitingHandler();
        const stop = new AbortController();
        const ending = serve(dying, handler, { signal: stop.signal });
        const request = ch.request("work");
        await within(began);
        await dying.close(); // releases the requests that it has received
        await using _server = served(far, (what) => `${what} done`);
        assert.equal(await within(request), "work done");
        // The first handler is not aborted, because its requester waits until the end. It ends with the requester.
        await ch[Symbol.asyncDispose]();
        await within(ending);
      },
    );

    test(title("serve ends when the channel is closed for everyone"), async (fixture) => {
      const [ch, far] = pair<number>(fixture, { encoding });
      const server = served(far, (n) => n);
      assert.equal(await within(ch.request(1)), 1);
      await ch.closeAll();
      await within(server.done);
      await rejection(ch.request(2), ChannelClosedError);
    });
  }

  test("undefined, channels and other values are requested and replied", async (fixture) => {
    const [ch, far] = pair<unknown>(fixture);
    await using _server = served(far, (value) => value);
    assert.equal(await within(ch.request(undefined)), undefined);
    assert.deepEqual(
      await within(ch.request(new Map([[1n, new Date(5)]]))),
      new Map([[1n, new Date(5)]]),
    );
    const inner = fixture.anonymous<string>();
    const back = fixture.own(await within(ch.request<Channel<string>>(inner)));
    await back.put("found");
    assert.equal(await within(inner.get()), "found");
  });

  test("at most `concurrency` requests are handled at a time, and none is read ahead", async (fixture) => {
    const [ch, far] = pair<number>(fixture);
    let [now, most] = [0, 0];
    const gate = Promise.withResolvers<void>();
    const server = served(far, async (n) => {
      most = Math.max(most, ++now);
      await gate.promise;
      now--;
      return n;
    }, 3);
    const requests = numbers(8).map((n) => ch.request(n));
    await until(() => now === 3);
    await until(async () => await ch.depth() === 5);
    gate.resolve();
    assert.deepEqual(await within(Promise.all(requests)), numbers(8));
    assert.equal(most, 3);
    await server[Symbol.asyncDispose]();
  });

  test("a signal ends serve after the running handlers", async (fixture) => {
    const [ch, far] = pair<string>(fixture);
    const stop = new AbortController();
    const began = Promise.withResolvers<void>();
    const serving = serve(far, async (what) => {
      began.resolve();
      await pause(50);
      return what;
    }, { signal: stop.signal });
    const first = ch.request("first");
    await within(began.promise);
    const second = ch.request("second");
    stop.abort();
    assert.equal(await within(first), "first");
    await within(serving);
    await until(async () => await ch.depth() === 1);
    await using _server = served(far, (what) => `${what} later`);
    assert.equal(await within(second), "second later");
    await within(serve(far, () => {}, { signal: AbortSignal.abort() }));
  });

  test("waiting requests reject when the channel is closed or deleted", async (fixture) => {
    for (const how of ["close", "closeAll", "delete"] as const) {
      const ch = fixture.channel<string>();
      const requests = numbers(3).map((n) => rejection(ch.request(String(n)), ChannelClosedError));
      await ch.depth();
      await ch[how]();
      await Promise.all(requests);
    }
  });

  test("a request that cannot be put rejects at once with the value", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const value = { f: () => {} };
    const error = await rejection(ch.request(value), DOMException);
    assert.equal((error as { value?: unknown }).value, value);
    await rejection(ch.request(1, { signal: AbortSignal.abort(new RangeError("no")) }), RangeError);
    assert.equal(await ch.depth(), 0);
  });

  test("hostile replies are dropped without harm", async (fixture) => {
    const [ch, far] = pair<string>(fixture);
    const request = ch.request("help", { timeout: 20_000 });
    const { id, reply_to } = await within(far.get()) as unknown as {
      id: number;
      reply_to: Channel;
    };
    fixture.own(reply_to);
    const hostile = [
      undefined,
      null,
      "text",
      { id: id + 1, value: "of another" },
      { id: String(id), value: "text for a number" },
      { id },
      { id, error: "text" },
      { id, error: { name: 1, message: {} } },
      { id: NaN, value: 1 },
      [id, "value"],
      new Map<string, unknown>([["id", id], ["value", 1]]),
      new Proxy({}, {}),
      ch,
    ];
    for (const message of hostile) await reply_to.put(message);
    await using raw = await fixture.setup.raw(reply_to.name);
    await raw.put({ body: new Uint8Array([0xff, 0xff]), contentType: "application/cbor" });
    await raw.put({ body: new Uint8Array([1]), contentType: "text/plain" });
    await reply_to.put({ id, value: "the reply" });
    await reply_to.put({ id, value: "the same again" });
    assert.equal(await within(request), "the reply");
  });

  test("messages that are not requests are dropped, and the next request is served", async (fixture) => {
    const [ch, far] = pair<unknown>(fixture);
    await using _server = served(far, (value) => value);
    const receiver = fixture.anonymous().receiver;
    const hostile = [
      undefined,
      7,
      { value: 1 },
      { value: 1, reply_to: "text" },
      { value: 1, reply_to: {} },
      { value: 1, reply_to: receiver },
      { id: "x", value: 1, reply_to: ch },
      { id: {}, value: 1, reply_to: ch },
      { reply_to: ch },
      { id: 1, value: 1, reply_to: ch }, // its reply is not a request
    ];
    for (const message of hostile) await ch.put(message);
    await using raw = await fixture.setup.raw(ch.name);
    await raw.put({ body: new Uint8Array([0xff, 0xff]), contentType: "application/cbor" });
    assert.equal(await within(ch.request("served")), "served");
    assert.equal(await ch.depth(), 0);
  });

  test("a message that is not a request becomes a dead letter if maxAttempts is set", async (fixture) => {
    const [ch, far] = pair<unknown>(fixture, { maxAttempts: 2 });
    const dead = fixture.channel<unknown>(`${ch.name}.dead-letters`);
    await using _server = served(far, (value) => value);
    await ch.put("no request");
    assert.equal(await within(ch.request("served")), "served");
    assert.equal(await within(dead.get()), "no request");
    await dead.delete();
  });

  test("a request is tried maxAttempts times and then becomes a dead letter", async (fixture) => {
    const [ch] = pair<string>(fixture, { maxAttempts: 2 });
    const dead = fixture.channel<{ value: string }>(`${ch.name}.dead-letters`);
    const request = rejectionOf(ch.request("fatal"), true);
    for (const _ of [1, 2]) {
      const server = fixture.channel<string>(ch.name, 0, { maxAttempts: 2 });
      const { began, handler } = waitingHandler();
      const serving = serve(server, handler);
      await within(began);
      await server.close();
      void serving;
    }
    await using _server = served(fixture.channel<string>(ch.name, 0, { maxAttempts: 2 }), (v) => v);
    assert.equal((await within(dead.get())).value, "fatal");
    await ch.close();
    assert.ok(await request instanceof ChannelClosedError);
    await dead.delete();
  });

  test("the reply channel is created once and deleted with the handle", async (fixture) => {
    const ch = fixture.channel<unknown>();
    const far = fixture.channel<unknown>(ch.name);
    const names = new Set<string>();
    const requests = numbers(3).map((n) => rejection(ch.request(n), ChannelClosedError));
    for (const _ of numbers(3)) {
      const { reply_to } = await within(far.get()) as { reply_to: Channel };
      names.add(reply_to.name);
    }
    const [name] = [...names];
    assert.equal(names.size, 1);
    assert.ok(await fixture.setup.exists(name!));
    await ch.close();
    await Promise.all(requests);
    await until(async () => !await fixture.setup.exists(name!));
  });

  test("invalid options are rejected", async (fixture) => {
    const ch = fixture.channel<number>();
    for (const concurrency of [0, -1, 1.5, NaN, "2" as unknown as number]) {
      await assert.rejects(serve(ch, () => {}, { concurrency }), { name: "ChannelConfigError" });
    }
    await assert.rejects(ch.request(1, { timeout: -1 }), { name: "ChannelConfigError" });
  });

  shared(
    "a channel of shorter reach cannot be sent in a request or reply",
    async (fixture) => {
      const [ch, far] = pair<unknown>(fixture);
      const here = fixture.own(new Channel({ connection: "memory:" }));
      await rejection(ch.request(here), ChannelReferenceError);
      await using _server = served(far, () => here);
      const error = await rejectionOf(ch.request("a channel", { timeout: 5000 }));
      assert.equal(error.name, "TypeError");
    },
  );
}

/**
 * Returns the error that `promise` rejects with.
 *
 * @param mayBeOurs whether the error may be a `ChannelError`
 */
export async function rejectionOf(promise: Promise<unknown>, mayBeOurs = false): Promise<Error> {
  const error = await within(
    promise.then(() => assert.fail("the promise resolved"), (error) => error),
  );
  assert.ok(error instanceof Error);
  assert.ok(mayBeOurs || !(error instanceof ChannelError), `${error}`);
  return error;
}
