import {
  type AMQPChannel,
  AMQPClient,
  type AMQPProperties,
  type Field,
} from "@cloudamqp/amqp-client";
import fc from "fast-check";
import assert from "node:assert/strict";
import process from "node:process";
import { inspect } from "node:util";
import {
  Channel,
  ChannelClosedError,
  ChannelConfigError,
  ChannelConnectionError,
  ChannelDecodeError,
  ChannelError,
  ChannelReferenceError,
  ChannelTimeoutError,
  select,
  serve,
  trySelect,
} from "../mod.ts";
import { isAnonymous } from "../src/shared/names.ts";
import { drainType } from "../src/transports/amqp/topology/closed_marker.ts";
import { header } from "../src/transports/amqp/connection/frames.ts";
import { commonBinding } from "../src/transports/amqp/topology/bindings.ts";
import { testTransport } from "./conformance.ts";
import {
  brokerStats,
  connectionsRest,
  type Fixture,
  getAll,
  numbers,
  pause,
  random,
  rejection,
  type Setup,
  shareOfRuntime,
  suite,
  until,
  within,
} from "./conformance/fixture.ts";
import { brokerState } from "./support/broker_state.ts";
import { freePorts } from "./support/broker.ts";
import { startDelay } from "./support/delay.ts";

import {
  decidedOnDeno,
  decidedOnFirstBroker,
  noControl,
  noLocalBroker,
} from "./support/conditions.ts";
import { consumersOf } from "./support/consumers.ts";

const broker = process.env.BROKER;
if (!broker) throw new Error("set BROKER to a broker's URI, or run `deno task test`");

/** Returns the broker's URI with some parts changed and its default user named. */
function uri(change: (url: URL) => void = () => {}): string {
  const url = new URL(broker!);
  url.username ||= "guest";
  url.password ||= "guest";
  change(url);
  return url.href;
}

/** Calls `use` with a connection to the broker that does not use the library. */
async function client<T>(use: (client: AMQPClient) => Promise<T>): Promise<T> {
  const raw = new AMQPClient(uri());
  const connecting = raw.connect();
  (raw as unknown as { socket: { setNoDelay(on: boolean): void } }).socket.setNoDelay(true);
  await connecting;
  try {
    return await use(raw);
  } finally {
    await raw.close();
  }
}

const setup: Setup = {
  features: { shared: true, terms: ["expires"] },
  tells: brokerStats,
  // Only Deno runs on a further broker.
  share: decidedOnFirstBroker === false ? shareOfRuntime() : undefined,
  connection: (n) => uri((url) => url.searchParams.set("name", `conformance ${n}`)),
  elsewhere: () =>
    uri((url) => url.hostname = url.hostname === "localhost" ? "127.0.0.1" : "localhost"),
  async raw(name) {
    if (!await setup.exists(name)) {
      await client(async (raw) => {
        await (await raw.channel()).queueDeclare(name, { durable: true });
      });
    }
    const raw = new AMQPClient(uri());
    let channel: Promise<AMQPChannel> | undefined;
    const connect = async () => {
      await raw.connect();
      raw.socket!.setNoDelay(true);
      const channel = await raw.channel();
      await channel.confirmSelect();
      return channel;
    };
    const publish = async (
      { exchange, routingKey }: { exchange: string; routingKey: string },
      body: Uint8Array,
      { contentType = "", ...properties }: { contentType?: string; correlationId?: string },
    ) => {
      if (contentType !== "") Object.assign(properties, { contentType });
      await (await (channel ??= connect())).basicPublish(exchange, routingKey, body, properties);
    };
    return {
      put: ({ body, contentType }) =>
        publish({ exchange: "", routingKey: name }, body, { contentType }),
      announce: (event, contentType = "") =>
        isAnonymous(name)
          ? publish(commonBinding, event, { contentType, correlationId: name })
          : publish({ exchange: name, routingKey: "" }, event, { contentType }),
      async get() {
        const message = await (await (channel ??= connect())).basicGet(name, { noAck: true });
        if (message === null) return undefined;
        return { body: message.body!, contentType: message.properties.contentType ?? "" };
      },
      async [Symbol.asyncDispose]() {
        if (channel !== undefined) await raw.close();
      },
    };
  },
  exists: (name) =>
    client(async (raw) => {
      const channel = await raw.channel();
      channel.onerror = () => {};
      return await channel.queueDeclare(name, { passive: true }).then(() => true, (error) => {
        if (/404/.test(String(error))) return false;
        throw error;
      });
    }),
  waiting: (name) => client((raw) => consumersOf(raw, name)),
  ...noControl ? {} : { state: async () => (await brokerState())! },
};

testTransport("amqp", setup);

const { test } = suite("amqp", setup);

/** Values that a header may have. */
const headerValues: fc.Arbitrary<Field> = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, -1, 255, 2 ** 31, 2 ** 53 - 1, 1.5, true, false, null, ""),
  fc.constantFrom("1", "x 1", "amq.gen-x 5", "\ud800", "\0", new Date(0), [1, "2"], {
    deep: [null],
  }),
  fc.string({ unit: "binary", maxLength: 50 }),
);

/** Message properties: those that this library uses, with random values. */
const foreignProperties: fc.Arbitrary<AMQPProperties> = fc.record({
  contentType: fc.constantFrom("application/json", "", drainType.slice(1), "x".repeat(255)),
  messageId: fc.oneof(fc.constantFrom("", "1", "0"), fc.string({ maxLength: 30 })),
  correlationId: fc.oneof(fc.constantFrom("", "1", "0"), fc.string({ maxLength: 30 })),
  replyTo: fc.constantFrom("", "amq.gen-x", "amq.rabbitmq.reply-to.x"),
  expiration: fc.constantFrom("600000", "4294967295"),
  priority: fc.nat({ max: 255 }),
  headers: fc.record(
    Object.fromEntries([...Object.values(header), "x-death", "x"].map((name) => [
      name,
      headerValues,
    ])),
    { requiredKeys: [] },
  ),
}, { requiredKeys: [] });

test("a channel stays usable whatever the properties of messages and announcements are", async (fixture) => {
  const ch = fixture.channel<unknown>(fixture.name(), 0, { maxAttempts: 2 });
  const listener = ch.broadcasts();
  await listener.ready;
  const seed = random(2 ** 31);
  const properties = fc.sample(foreignProperties, { numRuns: 150, seed });
  await client(async (raw) => {
    const channel = await raw.channel();
    await channel.confirmSelect();
    for (const each of properties) {
      await channel.basicPublish("", ch.name, "1", each);
      await channel.basicPublish(ch.name, "", "1", each);
    }
  });
  await ch.put("good");
  await ch.broadcast("good");
  try {
    let value: unknown;
    while (value !== "good") {
      const delivery = await within(ch.receive()).catch(isUnreadable);
      value = delivery?.value;
      if (random(2) === 0) delivery?.accept();
      else delivery?.release({ delay: 0 });
    }
    value = undefined;
    while (value !== "good") ({ value } = await within(listener.next()));
  } catch (cause) {
    throw new Error(`with the properties of seed ${seed}: ${cause}`, { cause });
  }
  await listener.return();
  await ch.deadLetters.delete();
});

function isUnreadable(error: unknown): undefined {
  if (!(error instanceof ChannelDecodeError)) throw error;
}

for (const title of ["that polls", "that waits with a consumer"]) {
  test(`a queue deleted by others rejects a get ${title}`, async (fixture) => {
    const [a, b] = [fixture.channel<string>(), fixture.channel<string>()];
    await Promise.all([a.depth(), b.depth()]);
    if (title.includes("consumer")) {
      const first = a.get();
      await a.put("x");
      assert.equal(await first, "x");
    }
    const refused = rejection(a.get(), ChannelClosedError, { reason: "delete" });
    await client(async (raw) => {
      const channel = await raw.channel();
      await channel.queueDelete(a.name);
      await channel.queueDelete(b.name);
    });
    await within(refused);
    const error = await rejection(b.put("unsent"), ChannelClosedError, { reason: "delete" });
    assert.equal(error.value, "unsent");
    for (const ch of [a, b]) {
      await rejection(ch.put("unsent"), ChannelClosedError);
      await rejection(ch.get(), ChannelClosedError);
      assert.equal(await setup.exists(ch.name), false);
    }
    await client(async (raw) => {
      const channel = await raw.channel();
      await Promise.all([a, b].map(({ name }) => channel.exchangeDelete(name)));
    });
  });
}

for (const action of ["get", "get at once", "depth", "closeAll", "delete"] as const) {
  test(`${action} on a queue deleted by others`, async (fixture) => {
    const ch = fixture.channel<string>();
    await ch.depth();
    await client(async (raw) => {
      const channel = await raw.channel();
      await channel.queueDelete(ch.name);
      await channel.exchangeDelete(ch.name);
    });
    if (action === "delete") return await within(ch.delete());
    const refused = action === "get"
      ? ch.get()
      : action === "get at once"
      ? ch.get({ timeout: 0 })
      : ch[action]();
    await rejection(refused, ChannelClosedError, { reason: "delete" });
    await rejection(ch.put("x"), ChannelClosedError, { reason: "delete" });
    assert.equal(await setup.exists(ch.name), false);
  });
}

test("a queue that others declared with other arguments is used unchanged", async (fixture) => {
  const name = fixture.name();
  await client(async (raw) => {
    const channel = await raw.channel();
    await channel.queueDeclare(name, { durable: true }, { "x-max-length": 100 });
    await channel.exchangeDeclare(name, "fanout", { durable: false });
  });
  const [a, b] = [fixture.channel<number>(name), fixture.channel<number>(name, 1)];
  await a.put(1);
  assert.equal(await b.get(), 1);
  await a.closeAll();
  await until(() => b.closed);
});

test("values stay in the broker without any handle, persistent and durable", async (fixture) => {
  const ch = fixture.channel<string>();
  await ch.put("kept");
  await ch.close();
  const message = await client(async (raw) => {
    return await (await raw.channel()).basicGet(ch.name, { noAck: true });
  });
  assert.equal(message?.properties.deliveryMode, 2);
});

test("a value whose receiver's connection is cut before its get goes to others", async (fixture) => {
  const ch = fixture.channel<number>();
  await ch.put(1);
  await client(async (raw) => {
    const message = await (await raw.channel()).basicGet(ch.name, { noAck: false });
    assert.ok(message);
  });
  assert.equal(await ch.get({ timeout: 20_000 }), 1);
});

test(
  "references are relative and work on any address that their receiver uses",
  async (fixture) => {
    const [here, there] = ["localhost", "127.0.0.1"].map((hostname) =>
      uri((url) => url.hostname = hostname)
    ) as [string, string];
    const name = fixture.name();
    const a = fixture.own(new Channel<Channel<string>>({ name, connection: here }));
    const b = fixture.own(new Channel<Channel<string>>({ name, connection: there }));
    const inner = fixture.own(new Channel<string>({ connection: here }));
    await using raw = await setup.raw(name);
    await a.put(inner);
    const { body, contentType } = (await raw.get())!;
    assert.doesNotMatch(String.fromCharCode(...body), /localhost|127\.0\.0\.1|guest|amqp/);
    await raw.put({ body, contentType });
    const got = fixture.own(await b.get());
    await got.put("through another address");
    assert.equal(await inner.get({ timeout: 20_000 }), "through another address");
    await a.close();
    await inner.put("still");
    assert.equal(await got.get({ timeout: 20_000 }), "still");

    // A channel on another address is referenced with that address, without user and password.
    const named = fixture.own(new Channel<string>({ name: fixture.name(), connection: there }));
    const c = fixture.own(new Channel<Channel<string>>({ name, connection: here }));
    await c.put(named);
    const absolute = (await raw.get())!;
    const text = String.fromCharCode(...absolute.body);
    assert.match(text, /amqp:\/\/127\.0\.0\.1/);
    assert.doesNotMatch(text, /guest|@/);
    await raw.put(absolute);
    const arrived = fixture.own(await c.get());
    await arrived.put("x");
    assert.equal(await named.get({ timeout: 20_000 }), "x");
  },
  { skip: noLocalBroker },
);

test("an amqp channel travels through memory and works on arrival", async (fixture) => {
  const carrier = fixture.own(new Channel<Channel<string>>({ connection: "memory:carrier" }));
  for (const inner of [fixture.channel<string>(), fixture.anonymous<string>()]) {
    await carrier.put(inner);
    const got = fixture.own(await carrier.get());
    assert.equal(got.name, inner.name);
    await got.put("x");
    assert.equal(await inner.get({ timeout: 20_000 }), "x");
  }
});

test("a memory channel is rejected by amqp, also deep inside a value", async (fixture) => {
  const ch = fixture.channel<unknown>();
  const inner = fixture.own(new Channel({ connection: "memory:" }));
  for (const value of [inner, [inner], new Map([[inner, 1]]), { a: new Set([inner]) }]) {
    const error = await rejection(ch.put(value), ChannelReferenceError);
    assert.equal(error.value, value);
    assert.match(error.message, /memory:.*[^.]$/);
  }
  assert.equal(await ch.depth(), 0);
});

test("capacity 0 is rejected, also for a further handle on an existing channel", async (fixture) => {
  const ch = fixture.channel<number>();
  await ch.put(1);
  const words = /^(put|get|depth): channel .*: the option "capacity" cannot be 0 on amqp:.*; use /;
  for (const name of [ch.name, undefined]) {
    const refused = new Channel<number>({
      ...name === undefined ? {} : { name },
      connection: uri(),
      capacity: 0,
    });
    for (const operation of [() => refused.put(2), () => refused.get(), () => refused.depth()]) {
      assert.match((await rejection(operation(), ChannelConfigError)).message, words);
    }
    await refused.close();
  }
  assert.deepEqual([await ch.get(), await ch.depth()], [1, 0]);
});

test("a channel to which an earlier version gave capacity 0 is rejected", async (fixture) => {
  const name = fixture.name();
  await client(async (raw) => {
    const channel = await raw.channel();
    await channel.queueDeclare(name, { durable: true });
    await channel.exchangeDeclare(name, "topic", { durable: true });
  });
  const carrier = fixture.channel<Channel<number>>();
  await carrier.put(new Channel<number>({ name, connection: uri() }));
  const byReference = await carrier.get();
  const digits = crypto.randomUUID().replaceAll("-", "");
  const earlierName = digits.slice(0, 12) + "80008000" + digits.slice(20);
  for (
    const ch of [
      fixture.own(new Channel<number>({ name, connection: uri() })),
      fixture.own(byReference),
      fixture.own(new Channel<number>({ name: earlierName, connection: uri() })),
    ]
  ) {
    const error = await rejection(ch.put(1), ChannelConfigError);
    assert.match(error.message, /has capacity 0, which an earlier version .*; delete /);
  }
  await client(async (raw) => {
    const channel = await raw.channel();
    await Promise.all([channel.queueDelete(name), channel.exchangeDelete(name)]);
  });
});

test("a channel that expires is a queue and nothing else, however it is attached", async (fixture) => {
  const name = fixture.name();
  const make = (n: number, options = {}) =>
    fixture.own(new Channel<number>({ name, connection: setup.connection(n), ...options }));
  const first = make(0, { expires: 60_000 });
  await first.depth();
  const others = [
    make(1),
    make(2, { expires: 30_000 }),
    make(3, { capacity: 5 }),
    make(4, { durability: "quorum" }),
  ];
  for (const other of others) await other.depth();
  const state = await brokerState();
  const exchanges = state?.exchanges.filter((each) => each.includes(name));
  if (state !== undefined) assert.deepEqual(exchanges, []);
  // All handles get each other's broadcasts, although they were made with other options.
  const listeners = [first, ...others].map((each) => each.broadcasts());
  await Promise.all(listeners.map((each) => each.ready));
  await make(5).broadcast(7);
  for (const each of listeners) assert.equal((await within(each.next())).value, 7);
  await others[0]!.closeAll({ drain: true });
  for (const each of [first, ...others]) {
    await within(rejection(each.get(), ChannelClosedError, { reason: "drain" }));
  }
  await first.delete();
});

test("a channel that expires works with a long name, which truncates the broker's messages", async (fixture) => {
  const name = fixture.name().padEnd(250, "x");
  const make = (n: number, options = {}) =>
    fixture.own(new Channel<number>({ name, connection: setup.connection(n), ...options }));
  const first = make(0, { expires: 60_000 });
  await first.depth();
  const others = [make(1), make(2, { expires: 30_000 })];
  const listeners = others.map((each) => each.broadcasts());
  await Promise.all(listeners.map((each) => each.ready));
  await first.broadcast(7);
  for (const each of listeners) assert.equal((await within(each.next())).value, 7);
  assert.equal((await brokerState())?.exchanges.includes(name) ?? false, false);
  await others[0]!.closeAll({ drain: true });
  for (const each of [first, ...others, make(0), make(3, { expires: 30_000 })]) {
    await within(rejection(each.get(), ChannelClosedError, { reason: "drain" }));
  }
  await first.delete();
});

test("a channel that expires exists with its lease before its name travels", async (fixture) => {
  const carrier = fixture.channel<Channel>();
  const leased = fixture.own(
    new Channel({ name: `${carrier.name} leased`, connection: broker!, expires: 60_000 }),
  );
  await carrier.put(leased);
  assert.equal(await setup.exists(leased.name), true);
  const received = await carrier.get();
  await received.depth(); // this would create it without a lease
  await client(async (raw) => {
    const channel = await raw.channel(); // rejected with 406 if it were declared otherwise
    await channel.queueDeclare(leased.name, { durable: true }, {
      "x-expires": 60_000,
      "x-overflow": "reject-publish",
    });
  });
  await received.close();
  await leased.delete();
});

for (const channelMax of [4, 20]) {
  test(`fifty gets wait on a connection of ${channelMax} AMQP channels`, async (fixture) => {
    const connection = uri((url) => url.searchParams.set("channel_max", String(channelMax)));
    const id = crypto.randomUUID();
    const channels = numbers(50).map((n) =>
      fixture.own(new Channel<number>({ name: `${id} ${n}`, connection }))
    );
    const gets = channels.map((ch) => ch.get());
    await Promise.all(channels.map((ch, n) => ch.put(n)));
    assert.deepEqual(await within(Promise.all(gets)), numbers(50));
    await Promise.all(channels.map((ch) => ch.delete()));
  });
}

test("a getter whose gets time out repeatedly gets all values in order", async (fixture) => {
  const ch = fixture.channel<number>();
  const [count, got] = [400, [] as number[]];
  assert.equal(await ch.depth(), 0); // attached: from here on a timeout is a ChannelTimeoutError
  const putting = (async () => {
    for (let n = 0; n < count; n++) await ch.put(n);
  })();
  while (got.length < count) {
    await ch.get({ timeout: 0.1 + Math.random() * 4 }).then((n) => got.push(n), (error) => {
      if (!(error instanceof ChannelTimeoutError)) throw error;
    });
    if (got.length % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 16));
  }
  await putting;
  assert.deepEqual(got, numbers(count));
});

const closedPort = async () => `amqp://user:hunter2@127.0.0.1:${(await freePorts(1))[0]}`;

const attempts: [string, number, (ch: Channel<string>) => Promise<unknown>][] = [
  ["a get", 0, (ch) => ch.get()],
  ["a get that is retried", 200, (ch) => ch.get()],
  ["a get with timeout 0", 10_000, (ch) => ch.get({ timeout: 0 })],
  ["a get with timeout 0 while another waits", 10_000, (ch) => {
    ch.get().catch(() => {});
    return ch.get({ timeout: 0 });
  }],
  ["a get with a timeout", 10_000, (ch) => ch.get({ timeout: 100 })],
  ["depth with a timeout", 10_000, (ch) => ch.depth({ timeout: 100 })],
  ["closeAll with a timeout", 10_000, (ch) => ch.closeAll({ timeout: 100 })],
  ["delete with a timeout", 10_000, (ch) => ch.delete({ timeout: 100 })],
  ["a put", 0, (ch) => ch.put("unsent")],
  ["a put with a timeout", 10_000, (ch) => ch.put("unsent", { timeout: 100 })],
];
for (const [title, retryTimeout, attempt] of attempts) {
  test(`${title} reports quickly that the broker is unreachable, without its password`, async (fixture) => {
    const connection = await closedPort();
    const address = `${connection.replace("user:hunter2@", "")}/%2F`;
    const ch = fixture.own(new Channel<string>({ name: "x", connection, retryTimeout }));
    const start = performance.now();
    const error = await rejection(attempt(ch), ChannelConnectionError, { address });
    assert.ok(performance.now() - start < 8000, `it took ${performance.now() - start} ms`);
    assert.ok(error instanceof ChannelError);
    assert.ok(error.cause instanceof Error, "the error has no cause");
    assert.match(error.message, /[^.]$/);
    assert.match(String(error.cause), /ECONNREFUSED|refused/);
    if (title.includes("with a timeout")) {
      assert.match(error.message, /within 100 ms: .*; check that the broker is running/);
    }
    assert.ok(error.message.includes(address), error.message);
    const shown = inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error);
    assert.doesNotMatch(shown, /hunter2/);
    if (title.includes("put")) assert.equal(error.value, "unsent");
    assert.equal(ch.closed, false); // a broker may come back
  });
}

test("puts without a broker reject with their own values", async (fixture) => {
  const connection = await closedPort();
  const ch = fixture.own(new Channel<string>({ connection, retryTimeout: 0 }));
  const puts = ["a", "b", "c"].map((value) => rejection(ch.put(value), ChannelConnectionError));
  assert.deepEqual((await Promise.all(puts)).map((error) => error.value), ["a", "b", "c"]);
});

test("an abort ends an operation that waits for a broker", async (fixture) => {
  const ch = fixture.own(new Channel({ connection: await closedPort() }));
  const signal = AbortSignal.timeout(50);
  await assert.rejects(within(ch.get({ signal })), { name: "TimeoutError" });
});

test("closing needs no reachable broker and is bounded", async () => {
  const connection = await closedPort();
  const start = performance.now();
  const handles = numbers(4).map(() => new Channel<string>({ connection }));
  const work = [handles[0]!.get(), handles[1]!.put("x"), handles[2]!.depth()].map((work) =>
    work.then(() => assert.fail("the promise resolved"), (error) => error)
  );
  await Promise.all([
    ...handles.map((handle) => handle.close()),
    handles[0]![Symbol.asyncDispose](),
  ]);
  assert.ok(performance.now() - start < 8000, `it took ${performance.now() - start} ms`);
  for (const error of await within(Promise.all(work))) {
    assert.ok(error instanceof ChannelError, String(error));
  }
});

test("a wrong password is reported at once and not shown", async (fixture) => {
  const connection = uri((url) => url.password = "hunter2");
  const ch = fixture.own(new Channel({ connection }));
  const start = performance.now();
  const error = await rejection(ch.get(), ChannelConnectionError, { transient: false });
  assert.ok(performance.now() - start < 8000, "it was retried, which takes 10 s");
  assert.match(error.message, /password/);
  assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /hunter2/);
});

test("a burst of puts and gets over one connection and many channels stays in order", async (fixture) => {
  const channels = numbers(10).map(() => fixture.channel<number>());
  const puts = numbers(100).flatMap((n) => channels.map((ch) => ch.put(n)));
  const got = await within(Promise.all(channels.map((ch) => getAll(ch, 100))));
  await Promise.all(puts);
  for (const values of got) assert.deepEqual(values, numbers(100));
});

const { port } = new URL(broker);

/** Declares a test that measures in round-trips to the broker, behind a proxy with a long delay. */
function remoteTest(
  title: string,
  body: (
    fixture: Fixture,
    connection: string,
    trips: (work: Promise<unknown>) => Promise<number>,
  ) => Promise<void>,
): void {
  const timed = "round-trips are counted by their time";
  test(title, async (fixture) => {
    const way = 50; // long in comparison with the delays of a machine that does nothing else
    await using delay = await startDelay(Number(port || 5672), way);
    const connection = uri((url) => {
      url.hostname = "127.0.0.1";
      url.port = String(delay.port);
    });
    await body(fixture, connection, async (work) => {
      const start = performance.now();
      await work;
      return (performance.now() - start) / (2 * way);
    });
    await fixture.clear(); // while the proxy still runs
    await connectionsRest();
  }, { skip: noLocalBroker || decidedOnDeno, timed });
}

remoteTest(
  "a select of a hundred channels takes no more round-trips than one of two",
  async (fixture, connection, trips) => {
    for (const count of [2, 100]) {
      const channels = numbers(count).map(() => fixture.own(new Channel<number>({ connection })));
      await Promise.all(channels.map((channel) => channel.depth()));
      await channels[1]!.put(1);
      const first = await trips(select(channels));
      assert.ok(first < 4, `the first of ${count}: ${first} round-trips`);
      const [others, none]: [number[], number[]] = [[], []]; // the minimum of each, because the machine may be busy
      for (const n of [2, 3, 4]) {
        await channels[1]!.put(n);
        others.push(await trips(select(channels)));
        none.push(await trips(trySelect(channels, { timeout: 10_000 })));
      }
      assert.ok(Math.min(...others) < 3, `further ones of ${count}: ${others} round-trips`);
      assert.ok(Math.min(...none) < 4, `empty ones of ${count}: ${none} round-trips`);
    }
  },
);

remoteTest(
  "a request and its reply take two round-trips if both ends are far from the broker",
  async (fixture, connection, trips) => {
    const asking = fixture.own(new Channel<number>({ connection }));
    const answering = fixture.own(new Channel<number>({ name: asking.name, connection }));
    const serving = serve(answering, (n) => n + 1);
    await asking.request(0); // attaches everything
    const taken: number[] = [];
    for (const n of numbers(5)) taken.push(await trips(asking.request(n)));
    const least = Math.min(...taken); // the minimum, because the machine may be busy
    assert.ok(least > 1.9 && least < 3, `${taken} round-trips`);
    await asking.delete();
    await serving;
  },
);

remoteTest(
  "over a long distance, a loop takes less than a round-trip per value and leaves the rest to others",
  async (fixture, connection, trips) => {
    const far = fixture.own(new Channel<number>({ connection }));
    await far.depth();
    const near = fixture.own(new Channel<number>({ name: far.name, connection: broker! }));
    await Promise.all(numbers(1000).map((n) => near.put(n)));
    const got: number[] = [];
    const loop = async () => {
      for await (const n of far) if (got.push(n) === 300) break;
    };
    const taken = await trips(loop());
    assert.ok(taken < 60, `300 values took ${taken} round-trips`);
    assert.deepEqual(got, numbers(300));
    await pause(20 + 60); // values that were read ahead are on their way back
    const rest = await getAll(near, 700);
    assert.deepEqual(rest.sort((a, b) => a - b), numbers(700, 300));
  },
);

remoteTest(
  "over a long distance, concurrent receivers do not wait for each other's round-trips",
  async (fixture, connection, trips) => {
    const far = fixture.own(new Channel<number>({ connection }));
    await far.depth();
    const near = fixture.own(new Channel<number>({ name: far.name, connection: broker! }));
    await Promise.all(numbers(120).map((n) => near.put(n)));
    const got: number[] = [];
    const work = async () => {
      for (let n = 0; n < 6; n++) {
        const delivery = await far.receive();
        await pause(100); // as long as a round-trip
        delivery.accept();
        got.push(delivery.value);
      }
    };
    const taken = await trips(Promise.all(numbers(20).map(work)));
    assert.ok(taken < 60, `120 values took 20 workers ${taken} round-trips`); // at best 12
    assert.deepEqual(got.sort((a, b) => a - b), numbers(120));
    await until(async () => await near.depth() === 0);
  },
);
