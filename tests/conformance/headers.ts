import assert from "node:assert/strict";
import {
  current,
  type Instrumentation,
  setInstrumentation,
} from "../../src/shared/instrumentation.ts";
import type { Claim, Message } from "../../src/transports/transport.ts";
import { maker } from "./receiving.ts";
import { type Suite, within } from "./fixture.ts";

/** The watches in use. In a page several tests run at a time, and there is one instrumentation for all. */
const watches = new Set<Watch>();

/** What is added to the messages of some channels, and what is found there. */
class Watch implements Disposable {
  /** The headers of each message that was got or received, in order. */
  readonly found: Message["headers"][] = [];
  /** The headers of the messages that are put from now on. */
  headers: Message["headers"];
  readonly channels: readonly object[];

  constructor(...channels: readonly object[]) {
    this.channels = channels;
    if (watches.size === 0) {
      assert.equal(current, undefined);
      setInstrumentation(instrumentation);
    }
    watches.add(this);
  }

  [Symbol.dispose](): void {
    watches.delete(this);
    if (watches.size === 0) setInstrumentation(undefined);
  }
}

function watchOf(owner: object): Watch | undefined {
  return [...watches].find(({ channels }) => channels.includes(owner));
}

const instrumentation: Instrumentation = {
  begin() {},
  send({ owner }, message) {
    const headers = watchOf(owner)?.headers;
    return headers === undefined ? message : { ...message, headers };
  },
  take<C extends object>({ owner }: { readonly owner: object }, claim: C): C {
    const watch = watchOf(owner);
    if (watch === undefined) return claim;
    const told = Object.create(claim) as Claim;
    const { counted } = claim as unknown as Claim;
    return Object.defineProperties(told, {
      counted: { value: counted },
      deliver: {
        value: (loan: Parameters<Claim["deliver"]>[0]) => {
          watch.found.push(loan.message.headers);
          (claim as unknown as Claim).deliver(loan);
        },
      },
      waits: { value: () => (claim as unknown as Claim).waits?.() },
      reject: { value: (error: Error) => (claim as unknown as Claim).reject(error) },
    }) as C;
  },
  selected(owner, _, loan) {
    watchOf(owner)?.found.push((loan as { readonly message: Message }).message.headers);
  },
  serve: (_, handle) => handle(),
  pass: (_, put) => put(),
};

/** The headers of messages, which only an instrumentation sees. */
export function headersTests({ test, shared, features }: Suite): void {
  const trace = {
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate: `rojo=${"a".repeat(200)},congo="t61,rc;=~"`,
  };

  test("a message without headers arrives without headers", async (fixture) => {
    const ch = fixture.channel<string>();
    using watch = new Watch(ch);
    await ch.put("plain");
    assert.equal(await within(ch.get()), "plain");
    assert.deepEqual(watch.found, [undefined]);
  });

  test("headers arrive with their message, waited for or not", async (fixture) => {
    const ch = fixture.channel<string>();
    using watch = new Watch(ch);
    watch.headers = trace;
    await ch.put("first");
    watch.headers = { b3: "1" };
    await ch.put("second");
    assert.deepEqual([await within(ch.get()), await within(ch.get())], ["first", "second"]);
    const getting = ch.get();
    await fixture.untilWaiting(ch);
    watch.headers = trace;
    await ch.put("third");
    assert.equal(await within(getting), "third");
    assert.deepEqual(watch.found, [trace, { b3: "1" }, trace]);
  });

  test("headers of the greatest size arrive", async (fixture) => {
    const ch = fixture.channel<string>();
    using watch = new Watch(ch);
    const names = Array.from({ length: 16 }, (_, i) => `header-${i}`.padEnd(64, "x"));
    watch.headers = Object.fromEntries(names.map((name) => [name, '\\"~'.padEnd(64, " ")]));
    await ch.put("large");
    assert.equal(await within(ch.get()), "large");
    assert.deepEqual(watch.found, [watch.headers]);
  });

  shared(
    "headers reach other connections, and stay with a message that is released",
    async (fixture) => {
      const ch = fixture.channel<string>();
      const far = maker(fixture, { maxAttempts: 2 })<string>(ch.name, 1);
      const dead = fixture.own(far.deadLetters);
      using watch = new Watch(ch, far, dead);
      watch.headers = trace;
      await ch.put("poison");
      for (const _ of [1, 2]) (await far.receive({ timeout: 20_000 })).release();
      const letter = await dead.receive({ timeout: 20_000 });
      assert.match(letter.reason!, /^maxAttempts/);
      letter.accept();
      assert.deepEqual(watch.found, [trace, trace, trace]);
    },
  );

  test("headers stay with a delayed message", async (fixture) => {
    const ch = fixture.channel<string>();
    using watch = new Watch(ch);
    watch.headers = trace;
    await ch.put("later", { delay: 10 });
    assert.equal(await within(ch.get()), "later");
    assert.deepEqual(watch.found, [trace]);
  }, features.terms?.includes("delay") ? {} : { skip: "the transport has no delay" });
}
