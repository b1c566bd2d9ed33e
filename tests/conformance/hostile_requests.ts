import assert from "node:assert/strict";
import {
  Channel,
  ChannelClosedError,
  ChannelError,
  ChannelReferenceError,
  ChannelTimeoutError,
  type ServeOptions,
} from "../../mod.ts";
import { encode } from "../../src/encoding/cbor/mod.ts";
import { isGone } from "./receiving.ts";
import { pair, rejectionOf, served } from "./requests.ts";
import { type Fixture, numbers, type Suite, until, within } from "./fixture.ts";

/** Records the calls of `onerror`. */
class ErrorLog {
  readonly errors: unknown[] = [];
  readonly requests: unknown[] = [];

  readonly onerror = (error: unknown, request: unknown) => {
    this.errors.push(error);
    this.requests.push(request);
  };
}

/** Values that cannot be encoded. */
const traps: Record<string, () => unknown> = {
  "a getter that throws": () => ({
    get value() {
      throw new RangeError("a trap");
    },
  }),
  "a getter that throws one of our errors": () => ({
    get value() {
      throw new ChannelClosedError("not this channel");
    },
  }),
  "a revoked proxy": () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    const holder = { proxy };
    revoke();
    return holder;
  },
  "a function": () => () => {},
  "a channel that cannot be created": () => ({
    channel: new Channel({ connection: "amqp://localhost:1", retryTimeout: 0 }),
  }),
};

/** Hostile requests, and replies that cannot be encoded or sent. */
export function hostileRequestTests({ test, shared, features }: Suite): void {
  for (const encoding of ["cbor", "json"] as const) {
    const title = (text: string) => `${text} (${encoding})`;

    /** Starts a server that records its errors, and returns means to send requests by hand. */
    const startServer = (fixture: Fixture, options: ServeOptions<unknown> = {}) => {
      const [ch, far] = pair<unknown>(fixture, { encoding });
      const reported = new ErrorLog();
      const handled: unknown[] = [];
      const server = served(far, (value) => {
        handled.push(value);
        return value;
      }, { onerror: reported.onerror, ...options });
      const ask = (value: unknown, reply_to: unknown) =>
        ch.put(encoding === "cbor" ? { id: 1, value, reply_to } : { value, reply_to });
      const asked = async () => {
        assert.equal(await within(ch.request("well", { timeout: 10_000 })), "well");
        assert.equal(handled.pop(), "well");
      };
      return { ch, far, reported, handled, ask, asked, server };
    };

    test(
      title(
        "a reply that waits for room does not delay other requests, and is sent once there is room",
      ),
      async (fixture) => {
        const { ask, asked, handled, reported, server } = startServer(fixture, {
          replyTimeout: 60_000,
        });
        await using _server = server;
        const full = fixture.channel<unknown>(fixture.name(), 0, { capacity: 1, encoding });
        await full.put("first");
        await ask("for a full channel", full);
        await ask("for another place in it", full);
        await asked();
        assert.equal(handled.length, 2);
        assert.equal(await full.get(), "first");
        await within(full.get());
        await within(full.get());
        assert.deepEqual(reported.errors, []);
      },
    );

    test(title("a reply without room is reported, and its request settled"), async (fixture) => {
      const { ch, ask, asked, handled, reported, server } = startServer(fixture, {
        replyTimeout: 100,
      });
      await using _server = server;
      const full = fixture.channel<unknown>(fixture.name(), 0, { capacity: 1, encoding });
      await full.put("first");
      for (const n of numbers(3)) await ask(n, full);
      await until(() => reported.errors.length === 3);
      assert.deepEqual(reported.requests.toSorted(), numbers(3)); // none waits for another
      for (const error of reported.errors) {
        assert.ok(error instanceof ChannelTimeoutError, `${error}`);
      }
      await asked();
      assert.deepEqual(handled, numbers(3));
      await isGone(ch);
      assert.equal(await full.get(), "first");
      assert.equal(await full.depth(), 0);
    });

    if (features.rendezvous) {
      test(
        title("a reply to a channel of capacity 0 does not delay other requests"),
        async (fixture) => {
          const { ask, asked, reported, server } = startServer(fixture, { replyTimeout: 100 });
          await using _server = server;
          const unbuffered = fixture.channel<unknown>(fixture.name(), 0, { capacity: 0, encoding });
          await unbuffered.depth();
          await ask("nobody gets it", unbuffered);
          await asked();
          await until(() => reported.errors.length === 1);
          assert.ok(reported.errors[0] instanceof ChannelTimeoutError, `${reported.errors[0]}`);
        },
      );
    }

    test(
      title("a reply goes to an existing channel even if nobody reads it"),
      async (fixture) => {
        const { ch, ask, asked, reported, server } = startServer(fixture);
        await using _server = server;
        const unread = fixture.channel<unknown>(fixture.name(), 0, { encoding });
        await unread.depth();
        for (const n of numbers(20)) await ask(n, unread);
        await asked();
        await isGone(ch);
        assert.equal(await unread.depth(), 20);
        assert.deepEqual(reported.errors, []);
      },
    );

    test(
      title("a missing reply channel is reported and not created"),
      async (fixture) => {
        const { ch, ask, asked, reported, server } = startServer(fixture);
        await using _server = server;
        const missing = fixture.channel<unknown>(fixture.name(), 0, { encoding });
        await ask(1, missing);
        await asked();
        await until(() => reported.errors.length === 1);
        const [error] = reported.errors;
        assert.ok(error instanceof ChannelClosedError && error.reason === "missing", `${error}`);
        assert.deepEqual(reported.requests, [1]);
        assert.equal(await fixture.setup.exists(missing.name), false);
        await isGone(ch);
      },
    );

    test(title("with replyTo: any, a missing reply channel is created"), async (fixture) => {
      const { ask, reported, server } = startServer(fixture, { replyTo: "any" });
      await using _server = server;
      const missing = fixture.channel<{ value: unknown }>(fixture.name(), 0, { encoding });
      await ask({ value: 1 }, missing);
      const reply = await within(missing.get({ timeout: 10_000 }));
      assert.deepEqual(reply, encoding === "cbor" ? { id: 1, value: { value: 1 } } : { value: 1 });
      assert.deepEqual(reported.errors, []);
    });

    test(
      title("a drained reply channel is reported, and a deleted one is not"),
      async (fixture) => {
        const { ch, ask, asked, reported, server } = startServer(fixture);
        await using _server = server;
        const drained = fixture.channel<unknown>(fixture.name(), 0, { encoding });
        await drained.put("first"); // so that it stays open for gets
        await drained.closeAll({ drain: true });
        const deleted = fixture.anonymous<unknown>(0, { encoding });
        await deleted.depth();
        await deleted.delete();
        await ask("deleted", deleted);
        await ask("drained", drained);
        await asked();
        await until(() => reported.errors.length === 1);
        const [error] = reported.errors;
        assert.ok(error instanceof ChannelClosedError && error.reason === "drain", `${error}`);
        assert.deepEqual(reported.requests, ["drained"]);
        await isGone(ch);
      },
    );

    test(
      title(
        "a request that names its own channel for the reply is rejected without being handled",
      ),
      async (fixture) => {
        const { ch, ask, asked, handled, reported, server } = startServer(fixture);
        await using _server = server;
        await ask("the channel", ch);
        await ask("its dead letters", fixture.channel(`${ch.name}.dead-letters`, 0, { encoding }));
        // Its reply would again be a request, endlessly.
        const loop: Record<string, unknown> = { reply_to: ch };
        loop.value = loop;
        if (encoding === "cbor") await ch.put(loop);
        await asked();
        const count = encoding === "cbor" ? 3 : 2;
        assert.equal(reported.errors.length, count);
        for (const error of reported.errors) assert.ok(error instanceof ChannelReferenceError);
        assert.deepEqual(handled, []);
        await isGone(ch);
        assert.equal(await fixture.setup.exists(`${ch.name}.dead-letters`), false);
      },
    );

    test(
      title("a reply channel on another broker is rejected unless it is allowed"),
      async (fixture) => {
        const elsewhere = fixture.own(
          new Channel<unknown>({
            name: fixture.name(),
            connection: fixture.setup.elsewhere(),
            encoding,
          }),
        );
        await elsewhere.depth();
        {
          const { ch, ask, asked, handled, reported, server } = startServer(fixture);
          await using _server = server;
          await ask("elsewhere", elsewhere);
          await asked();
          assert.equal(reported.errors.length, 1);
          assert.ok(reported.errors[0] instanceof ChannelReferenceError, `${reported.errors[0]}`);
          assert.deepEqual(handled, []);
          assert.equal(await elsewhere.depth(), 0);
          await isGone(ch);
        }
        const { ask, reported, server } = startServer(fixture, { replyTo: "any" });
        await using _server = server;
        await ask("elsewhere", elsewhere);
        await within(elsewhere.get());
        assert.deepEqual(reported.errors, []);
        await elsewhere.delete();
      },
    );

    shared(
      title("a reply channel in the server's own memory or file is rejected"),
      async (fixture) => {
        const { ch, asked, handled, reported, server } = startServer(fixture);
        await using _server = server;
        const here = fixture.own(new Channel({ name: "here", connection: "memory:here" }));
        await here.depth();
        await using raw = await fixture.setup.raw(ch.name);
        if (encoding === "cbor") {
          const reference = class {};
          const body = encode({ id: 1, value: 1, reply_to: new reference() }, {
            extension: (object) =>
              object instanceof reference ? ["Channel", "here", "memory:here"] : undefined,
          });
          await raw.put({ body, contentType: "application/cbor" });
        } else {
          const reply_to = {
            __channel__: true,
            name: "here",
            connection_type: "RabbitConnection",
            retry_timeout: null,
            connection_args: { uri: "memory:here" },
          };
          const body = new TextEncoder().encode(JSON.stringify({ value: 1, reply_to }));
          await raw.put({ body, contentType: "application/json" });
        }
        await asked();
        assert.equal(reported.errors.length, 1);
        assert.ok(reported.errors[0] instanceof ChannelReferenceError, `${reported.errors[0]}`);
        assert.deepEqual(handled, []);
        assert.equal(await here.depth(), 0);
        await here.delete();
      },
    );

    test(
      title(
        "messages that are not requests are reported once each, and the next request is served",
      ),
      async (fixture) => {
        const { ch, asked, handled, reported, server } = startServer(fixture);
        await using _server = server;
        const messages = [null, 7, "text", { value: 1 }, { value: 1, reply_to: "text" }, {
          id: {},
          value: 1,
          reply_to: ch,
        }];
        for (const message of messages) await ch.put(message);
        await using raw = await fixture.setup.raw(ch.name);
        await raw.put({ body: new Uint8Array([0xff, 0xff]), contentType: "application/cbor" });
        await asked();
        assert.equal(reported.errors.length, messages.length + 1);
        for (const error of reported.errors) assert.ok(error instanceof ChannelError, `${error}`);
        assert.deepEqual(handled, []);
        await isGone(ch);
      },
    );

    for (const [what, trap] of Object.entries(traps)) {
      test(
        title(`a handler that returns ${what} runs once, and its requester gets an error`),
        async (fixture) => {
          const [ch, far] = pair<string>(fixture, { encoding });
          const reported = new ErrorLog();
          let runs = 0;
          await using _server = served(far, (value) => {
            if (value === "well") return value;
            runs++;
            return trap();
          }, { onerror: reported.onerror });
          const error = await rejectionOf(ch.request("trap", { timeout: 10_000 }));
          assert.ok(error instanceof TypeError, `${error}`);
          assert.equal(await within(ch.request("well")), "well");
          assert.equal(runs, 1);
          assert.deepEqual(reported.errors, []);
        },
      );
    }

    test(
      title("a handler that throws any value runs once, and its requester gets an error"),
      async (fixture) => {
        const { proxy, revoke } = Proxy.revocable(new Error("revoked"), {});
        revoke();
        const cyclic = new Error("cyclic");
        cyclic.cause = cyclic;
        const throwing = (key: string) =>
          Object.defineProperty(new Error(`no ${key}`), key, {
            get: () => assert.fail("the getter was called"),
            enumerable: true,
          });
        const thrown = [
          undefined,
          null,
          7n,
          Symbol("a symbol"),
          () => {},
          proxy,
          cyclic,
          ...["name", "message", "cause", "stack", "code"].map(throwing),
          Object.assign(new Error("an own function"), { call() {}, code: 7 }),
          new Error("a deep cause", { cause: { proxy } }),
          new AggregateError([proxy, cyclic, 7], "several"),
          new DOMException("aborted", "AbortError"),
        ];
        const [ch, far] = pair<number>(fixture, { encoding });
        const reported = new ErrorLog();
        const runs: number[] = [];
        await using _server = served(far, (n): never => {
          runs.push(n);
          throw thrown[n];
        }, { onerror: reported.onerror });
        for (const n of thrown.keys()) {
          const error = await rejectionOf(ch.request(n, { timeout: 10_000 }));
          assert.ok(!(error instanceof assert.AssertionError), `${n}: ${error}`);
        }
        assert.deepEqual(runs, numbers(thrown.length));
        assert.deepEqual(reported.errors, []);
      },
    );

    test(
      title("an error arrives with its properties, class and causes, and without its stack"),
      async (fixture) => {
        const [ch, far] = pair<string>(fixture, { encoding });
        class OutOfStock extends RangeError {
          override readonly name = "OutOfStock";
          readonly code = "E_STOCK";
          readonly sku = { id: 7, colours: ["red"] };
        }
        const secret = "/srv/secret/server.ts";
        const make: Record<string, () => unknown> = {
          stock: () => new OutOfStock("none left"),
          cause: () =>
            new Error("outer", { cause: Object.assign(new URIError("inner"), { at: 3 }) }),
          many: () => new AggregateError([new OutOfStock("a"), "text"], "several"),
          abort: () => new DOMException("late", "TimeoutError"),
          odd: () =>
            Object.defineProperties(new Error("odd"), {
              ["__proto__"]: { value: { polluted: true }, enumerable: true },
              toString: { value: 5, enumerable: true },
              constructor: { value: 5, enumerable: true },
              hidden: { value: 5, enumerable: false },
              huge: { value: "x".repeat(1_000_000), enumerable: true },
              code: { value: 7, enumerable: true },
            }),
          ours: () =>
            Object.assign(new Error("x"), { name: "ChannelClosedError", reason: "delete" }),
        };
        const run = async (stacks: boolean, kind: string) => {
          await using _server = served(far, (kind): never => {
            const error = make[kind]!();
            for (const one of [error, (error as Error).cause]) {
              if (one instanceof Error && !(one instanceof DOMException)) one.stack = secret;
            }
            throw error;
          }, { stacks });
          return await rejectionOf(ch.request(kind, { timeout: 10_000 }));
        };
        const stock = await run(false, "stock") as OutOfStock;
        assert.ok(stock instanceof RangeError && stock.name === "OutOfStock");
        assert.deepEqual({ ...stock }, { code: "E_STOCK", sku: { id: 7, colours: ["red"] } });
        assert.ok(!stock.stack?.includes(secret), stock.stack);
        const { cause } = await run(false, "cause");
        assert.ok(cause instanceof URIError && cause.message === "inner");
        assert.deepEqual({ ...cause }, { at: 3 });
        assert.ok(!cause.stack?.includes(secret), cause.stack);
        const many = await run(false, "many") as AggregateError;
        assert.ok(many instanceof AggregateError && many.errors[0] instanceof RangeError);
        assert.equal(many.errors[0].name, "OutOfStock");
        assert.equal(many.errors[1], "text");
        const abort = await run(false, "abort");
        assert.ok(abort instanceof DOMException && abort.name === "TimeoutError");
        const odd = await run(false, "odd");
        assert.deepEqual(Object.entries(odd), [["code", 7]]);
        assert.equal((odd as { polluted?: boolean }).polluted, undefined);
        assert.match(String(odd), /^Error: odd$/);
        const ours = await run(false, "ours");
        assert.equal(ours.name, "Error");
        const both = await run(true, "cause");
        assert.equal(both.stack, secret);
        assert.equal((both.cause as Error).stack, secret);
      },
    );

    test(
      title("a stopped server releases requests whose handlers do not end, and resolves"),
      async (fixture) => {
        const [ch, far] = pair<string>(fixture, { encoding });
        const began = Promise.withResolvers<AbortSignal>();
        const never = new Promise<string>(() => {});
        const server = served(far, (_, { signal }) => {
          began.resolve(signal);
          return never;
        }, { grace: 20 });
        const request = ch.request("work", { timeout: 15_000 });
        const signal = await within(began.promise);
        await within(server[Symbol.asyncDispose]());
        assert.ok(signal.aborted);
        await using _server = served(far, (what) => `${what} done`);
        assert.equal(await within(request), "work done");
      },
    );

    test(
      title("serve ends when its channel is closed, even if all its handlers hang"),
      async (fixture) => {
        const [ch, far] = pair<string>(fixture, { encoding });
        const began = Promise.withResolvers<AbortSignal>();
        const server = served(far, (_, { signal }) => {
          began.resolve(signal);
          return new Promise<string>(() => {});
        }, { grace: 20 });
        const request = rejectionOf(ch.request("work"), true);
        const signal = await within(began.promise);
        await ch.closeAll();
        await within(server.done);
        assert.ok(signal.aborted);
        assert.ok(await request instanceof ChannelClosedError);
      },
    );

    test(
      title("a stopped server releases a request whose reply waits for room"),
      async (fixture) => {
        const { ch, ask, asked, reported, server } = startServer(fixture, {
          grace: 20,
          replyTimeout: 60_000,
        });
        const full = fixture.channel<unknown>(fixture.name(), 0, { capacity: 1, encoding });
        await full.put("first");
        await ask("work", full);
        await asked();
        await within(server[Symbol.asyncDispose]());
        assert.deepEqual(reported.errors, []);
        // If the confirmation of its reply came later than the grace, "well" is there again, too.
        const again: unknown[] = [];
        while (again.at(-1) !== "work") {
          const request = await within(ch.receive({ timeout: 20_000 }));
          again.push((request.value as { value: unknown }).value);
          request.accept();
        }
        assert.deepEqual(again.filter((value) => value !== "well"), ["work"]);
        const late = await ch.get({ timeout: 60 }).catch(() => undefined);
        assert.equal((late as { value: unknown } | undefined)?.value ?? "well", "well");
        await isGone(ch);
      },
    );
  }
}
