import assert from "node:assert/strict";
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
  type Claim,
  type Link,
  type LinkOptions,
  type Message,
  type Offer,
  type Transport,
} from "../mod.ts";
import { numbers, pause, rejection, until, within } from "./conformance/fixture.ts";
import { collector } from "./support/garbage.ts";
import { test } from "./support/test.ts";
import { noCollector } from "./support/conditions.ts";

/** A transport that does nothing by itself: the test settles its operations. */
class FakeTransport implements Transport {
  readonly address = "fake:";
  readonly reach = "network";
  readonly features = { shared: false };
  trouble: Error | undefined;
  readonly opened: { name: string; options: LinkOptions; link: FakeLink }[] = [];
  rests = 0;
  /** The promise that `open` waits for. */
  opening: Promise<void> = Promise.resolve();

  async open(name: string, options: LinkOptions): Promise<Link> {
    const link = new FakeLink();
    this.opened.push({ name, options, link });
    await this.opening;
    return link;
  }

  rest(): Promise<void> {
    this.rests++;
    return Promise.resolve();
  }

  channel<T>(name = "x"): Channel<T> {
    return new Channel<T>({ name, connection: this });
  }

  get link(): FakeLink {
    return this.opened.at(-1)!.link;
  }
}

class FakeLink implements Link {
  readonly puts: { message: Message; confirm: () => void; refuse: (e: Error) => void }[] = [];
  readonly claims = new Set<Claim>();
  closes = 0;
  closing: Promise<void> = Promise.resolve();

  put(offer: Offer): void {
    this.puts.push({
      message: offer.message,
      confirm: () => offer.taken(),
      refuse: (error) => offer.reject(error),
    });
  }
  take(claim: Claim): void {
    this.claims.add(claim);
  }
  withdraw(one: Offer | Claim): boolean {
    return this.claims.delete(one as Claim); // an offer is sent at once
  }
  tryTake(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
  announce(): Promise<void> {
    return Promise.resolve();
  }
  catchUp(): Promise<void> {
    return Promise.resolve();
  }
  drain(): Promise<void> {
    return Promise.resolve();
  }

  depth(): Promise<number> {
    return Promise.resolve(7);
  }
  delete(): Promise<void> {
    return Promise.resolve();
  }
  close(): Promise<void> {
    this.closes++;
    return this.closing;
  }
}

/** Returns a message on loan that records how it was settled. */
function loan(message: Message) {
  const delivery = {
    message,
    redelivered: false,
    attempts: 1,
    settled: [] as string[],
    accept: () => void delivery.settled.push("accept"),
    release: () => void delivery.settled.push("release"),
  };
  return delivery;
}

const never = new Promise<never>(() => {});

Deno.test("a name that some transport could not carry is rejected at once", () => {
  const bad = ["", "amq.x", "a\0", "a\nb", "\x7f", "\ud800", "x".repeat(256), "é".repeat(128)];
  for (const name of [...bad, 5, null, {}] as string[]) {
    assert.throws(() => new Channel({ name }), ChannelConfigError);
    if (typeof name === "string") assert.throws(() => new Channel(name), ChannelConfigError);
  }
  for (const name of ["x", "amqp", "a b/c?#%", "é".repeat(127), "\u{1f600}", "__proto__"]) {
    assert.equal(new Channel(name).name, name);
    assert.equal(new Channel({ name }).name, name);
  }
});

Deno.test("an invalid option is rejected at once, without a password", () => {
  const bad: Record<string, unknown>[] = [
    ...[-1, NaN, "1", null].map((retryTimeout) => ({ retryTimeout })),
    ...[0, -1, NaN, Infinity, 2 ** 31, "1", null].map((expires) => ({ expires })),
    ...["", "nonsense", "ftp://u:hunter2@h", "amqp://u:hunter2@h:x", 5, null, {}].map(
      (connection) => ({ connection }),
    ),
    { connection: "memory:a/b" },
    { connection: "amqp://u:hunter2@h/a/b" },
    { connection: new URL("http://u:hunter2@h") },
  ];
  for (const options of bad) {
    try {
      new Channel(options);
    } catch (error) {
      assert.ok(error instanceof ChannelConfigError, `${JSON.stringify(options)}: ${error}`);
      assert.doesNotMatch(error.message, /hunter2|\.$/);
      continue;
    }
    assert.fail(`accepted: ${JSON.stringify(options)}`);
  }
});

Deno.test("every error class extends ChannelError and Error, and has its name and cause", () => {
  const cause = new Error("why");
  const bytes = new Uint8Array([1]);
  const errors = [
    new ChannelTimeoutError("m", { cause }),
    new ChannelClosedError("m", { cause }),
    new ChannelConfigError("m", { cause }),
    new ChannelConnectionError("m", { cause, address: "a" }),
    new ChannelDecodeError("m", { cause, bytes, contentType: "t" }),
    new ChannelReferenceError("m", { cause, bytes }),
  ];
  for (const error of errors) {
    assert.ok(error instanceof ChannelError && error instanceof Error);
    assert.equal(error.name, error.constructor.name);
    assert.equal(error.cause, cause);
    assert.match(String(error.stack), new RegExp(`^${error.name}: m`));
  }
});

Deno.test("making a handle opens nothing, and many handles share one link", async () => {
  const fake = new FakeTransport();
  const handles = numbers(3).map(() => fake.channel());
  await pause(5);
  assert.equal(fake.opened.length, 0);
  assert.deepEqual(await Promise.all(handles.map((ch) => ch.depth())), [7, 7, 7]);
  assert.equal(fake.opened.length, 1);
  assert.equal(fake.opened[0]!.name, "x");
  for (const [i, ch] of handles.entries()) {
    assert.equal(fake.link.closes, 0);
    await ch.close();
    assert.equal(fake.link.closes, i === 2 ? 1 : 0);
  }
  await until(() => fake.rests > 0);
});

Deno.test("options reach the transport, and an anonymous channel is leased", async () => {
  const fake = new FakeTransport();
  const handles = [
    new Channel({ name: "a", connection: fake, retryTimeout: 5, expires: 177 }),
    new Channel({ name: "b", connection: fake }),
    new Channel({ connection: fake }),
  ];
  for (const ch of handles) await ch.depth();
  const seen = fake.opened.map(({ options: { create, lease, retryTimeout } }) => ({
    create,
    lease,
    retryTimeout,
  }));
  assert.deepEqual(seen, [
    { create: true, lease: 177, retryTimeout: 5 },
    { create: true, lease: undefined, retryTimeout: 10_000 },
    { create: true, lease: 1_800_000, retryTimeout: 10_000 },
  ]);
  await Promise.all(handles.map((ch) => ch.close()));
  await until(() => fake.rests > 0);
});

Deno.test("a value is accepted when it is handed over, and released if its get was cancelled", async () => {
  const fake = new FakeTransport();
  const ch = fake.channel<number>();
  const source = fake.channel<number>();
  const put = source.put(5);
  const got = ch.get();
  await until(() => fake.opened.length > 0 && fake.link.claims.size === 1);
  const { message, confirm } = fake.link.puts[0]!;
  confirm();
  await put;
  const [claim] = fake.link.claims as unknown as [Claim];
  const delivery = loan(message);
  claim.deliver(delivery);
  assert.deepEqual(delivery.settled, ["accept"]);
  assert.equal(await got, 5);

  const late = rejection(ch.get({ timeout: 5 }), ChannelTimeoutError);
  const [, second] = [...fake.link.claims] as [Claim, Claim];
  await late;
  assert.ok(!fake.link.claims.has(second), "the claim was not withdrawn");
  const crossing = loan(message);
  second.deliver(crossing); // the delivery had already started
  assert.deepEqual(crossing.settled, ["release"]);
  await Promise.all([ch.close(), source.close()]);
  await until(() => fake.rests > 0);
});

Deno.test("close waits for its puts for at most one second, and then rejects them", async () => {
  const fake = new FakeTransport();
  const ch = fake.channel<string>();
  await ch.depth();
  const refused = rejection(ch.put("unsent"), ChannelClosedError);
  const start = performance.now();
  await ch.close();
  const took = performance.now() - start;
  assert.ok(took > 900 && took < 8000, `it took ${took} ms`);
  assert.equal((await refused).value, "unsent");
  await until(() => fake.link.closes === 1);
  await until(() => fake.rests > 0);
});

Deno.test("close is bounded even if opening or closing the link hangs", async () => {
  for (const part of ["opening", "closing"] as const) {
    const fake = new FakeTransport();
    const ch = fake.channel<string>();
    if (part === "closing") {
      await ch.depth();
      fake.link.closing = never;
    } else {
      fake.opening = never;
    }
    const pending = part === "closing"
      ? [ch.get()]
      : [ch.get(), ch.put("x"), ch.depth(), ch.closeAll()];
    const work = pending.map((each) => each.then(() => "resolved", (error) => error.name));
    const start = performance.now();
    await ch.close();
    assert.ok(performance.now() - start < 8000, `${part}: ${performance.now() - start} ms`);
    for (const name of await within(Promise.all(work))) {
      assert.equal(name, "ChannelClosedError", part);
    }
    await pause(1100); // longer than close waits for anything
  }
});

Deno.test("if the link cannot be opened, each operation has its own error, and the next one tries again", async () => {
  const fake = new FakeTransport();
  const failure = new ChannelConnectionError("no", { address: fake.address });
  fake.opening = Promise.reject(failure);
  fake.opening.catch(() => {});
  const ch = fake.channel<string>();
  const work = [ch.get(), ch.put("a"), ch.put("b"), ch.depth(), ch.get({ timeout: 0 })];
  const errors = await Promise.all(work.map((each) => rejection(each, ChannelConnectionError)));
  assert.equal(new Set(errors).size, 5);
  assert.deepEqual(errors.map(({ value }) => value), [undefined, "a", "b", undefined, undefined]);
  for (const error of errors) assert.equal(error.address, fake.address);
  fake.opening = Promise.resolve();
  assert.equal(await ch.depth(), 7);
  await ch.close();
  await until(() => fake.rests > 0);
});

Deno.test("puts reach the link in the order of the calls, however long each waits", async () => {
  const fake = new FakeTransport();
  let open = () => {};
  fake.opening = new Promise((resolve) => open = resolve);
  const ch = fake.channel<unknown>("carrier");
  const inner = new Channel({ connection: fake });
  const puts = [ch.put(0), ch.put(inner), ch.put(2)];
  await pause(2);
  puts.push(ch.put(3), ch.put(inner));
  open();
  const link = () => fake.opened.find(({ name }) => name === "carrier")!.link;
  await until(() => link().puts.length === 5);
  puts.push(ch.put(5));
  const sizes = link().puts.map(({ message }) => message.body.length);
  assert.deepEqual(sizes.map((size) => size > 10), [false, true, false, false, true, false]);
  assert.deepEqual([0, 2, 3, 5].map((i) => link().puts[i]!.message.body.at(-1)), [0, 2, 3, 5]);
  for (const { confirm } of link().puts) confirm();
  await within(Promise.all(puts));
  await Promise.all([ch.close(), inner.close()]);
  await until(() => fake.rests > 0);
});

for (const encoding of ["cbor", "json"] as const) {
  Deno.test(`a request is put when the channel for its reply exists (${encoding})`, async () => {
    const fake = new FakeTransport();
    const ch = new Channel<string>({ name: "asked", connection: fake, encoding });
    await ch.depth();
    const { puts } = fake.link;
    let open = () => {};
    fake.opening = new Promise((resolve) => open = resolve);
    const refused = rejection(ch.request("work"), ChannelClosedError);
    await pause(20);
    assert.deepEqual([fake.opened.length, puts.length], [2, 0]);
    open();
    await until(() => puts.length === 1);
    puts[0]!.confirm();
    await ch.close();
    await refused;
    await until(() => fake.rests > 0);
  });
}

Deno.test("a channel that vanishes ends its handles, and a new handle opens a new link", async () => {
  const fake = new FakeTransport();
  const ch = fake.channel();
  await ch.depth();
  const refused = rejection(ch.get(), ChannelClosedError, { reason: "delete" });
  fake.opened[0]!.options.observer.gone();
  await refused;
  assert.ok(ch.closed);
  const again = fake.channel();
  await again.depth();
  assert.equal(fake.opened.length, 2);
  assert.equal(again.closed, false);
  await again.close();
  await until(() => fake.rests > 0);
});

test("an unreferenced channel is collected and its link closed, but not while a get waits", {
  skip: noCollector,
}, async () => {
  const gc = (await collector())!;
  const fake = new FakeTransport();
  await (() => fake.channel("unreferenced").depth())();
  const got = (() => fake.channel<number>("waiting").get())();
  await until(() => fake.opened.length === 2 && fake.link.claims.size === 1);
  const [forgotten, waiting] = fake.opened.map(({ link }) => link) as [FakeLink, FakeLink];
  await until(async () => {
    await gc();
    return forgotten.closes === 1;
  });
  for (let i = 0; i < 5; i++) await gc();
  assert.equal(waiting.closes, 0);
  const other = fake.channel<number>("waiting");
  const put = other.put(1);
  await until(() => waiting.puts.length === 1);
  waiting.puts[0]!.confirm();
  await put;
  waiting.claims.forEach((claim) => claim.deliver(loan(waiting.puts[0]!.message)));
  waiting.claims.clear();
  assert.equal(await within(got), 1);
  await other.close();
  await until(async () => {
    await gc();
    return waiting.closes === 1;
  });
  await until(() => fake.rests > 0);
});

test("an unreferenced channel is not closed while one of its deliveries is held", {
  skip: noCollector,
}, async () => {
  const gc = (await collector())!;
  const connection = "memory:forgotten";
  const other = new Channel<number>({ name: "jobs", connection });
  await other.put(1);
  const delivery = await (() => new Channel<number>({ name: "jobs", connection }).receive())();
  for (let i = 0; i < 10; i++) await gc();
  await rejection(other.get({ timeout: 0 }), ChannelTimeoutError);
  delivery.release();
  assert.equal(await other.get({ timeout: 0 }), 1);
  await other.delete();
});

Deno.test("a printed channel shows its name and address, without credentials", () => {
  const ch = new Channel({ name: "jobs", connection: "amqp://user:hunter2@localhost:1" });
  assert.equal(inspect(ch), "Channel(jobs on amqp://localhost:1/%2F)");
  assert.equal(inspect({ ch }).includes("hunter2"), false);
});
