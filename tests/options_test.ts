import assert from "node:assert/strict";
import {
  after,
  Channel,
  ChannelConfigError,
  ChannelTimeoutError,
  Connection,
  every,
  pipe,
  ReceiveChannel,
  select,
  SendChannel,
  serve,
  trySelect,
} from "../mod.ts";
import { rejection } from "./conformance/fixture.ts";

type Call = (...args: unknown[]) => unknown;

/** A function of the library, as plain JavaScript calls it. */
interface Entry {
  /** The arguments before the options. */
  readonly before: readonly unknown[];
  /** One of its options, misspelt; absent if it has no options. */
  readonly misspelt?: readonly [wrong: string, right: string];
  readonly call: Call;
}

const here = "memory:options";
const waiting = ["timout", "timeout"] as const;

/** The arguments of each method of a channel. A method that is missing here fails the first test. */
const methods: Record<string, Omit<Entry, "call">> = {
  put: { before: [1], misspelt: ["dealy", "delay"] },
  tryPut: { before: [1], misspelt: waiting },
  broadcast: { before: [1], misspelt: waiting },
  request: { before: [1], misspelt: waiting },
  get: { before: [], misspelt: waiting },
  tryGet: { before: [], misspelt: ["singal", "signal"] },
  receive: { before: [], misspelt: waiting },
  depth: { before: [], misspelt: waiting },
  stats: { before: [], misspelt: waiting },
  delete: { before: [], misspelt: waiting },
  closeAll: { before: [], misspelt: ["drian", "drain"] },
  broadcasts: { before: [], misspelt: ["bufer", "buffer"] },
  deliveries: { before: [], misspelt: ["singal", "signal"] },
  whenEmpty: { before: [], misspelt: waiting },
  readable: { before: [], misspelt: ["Signal", "signal"] },
  writable: { before: [], misspelt: ["highWatermarks", "highWaterMark"] },
  clone: { before: [], misspelt: ["capcity", "capacity"] },
  getCase: { before: [] },
  putCase: { before: [1] },
  dup: { before: [] },
};

/** These methods take no options: they are called as listeners or by the runtime. */
const ends = ["close", Symbol.asyncDispose, "constructor", "toString"];

function call(target: object, name: string): Call {
  return (...args) => (target as Record<string, Call>)[name]!(...args);
}

/** Returns every public function, each with a channel of its own. */
function entries(): [title: string, entry: Entry][] {
  const found: [string, Entry][] = [];
  for (const view of ["channel", "sender", "receiver"] as const) {
    const ch = new Channel({ connection: here });
    const target = view === "channel" ? ch : ch[view];
    for (const [name, about] of Object.entries(methods)) {
      if (!(name in target)) continue;
      found.push([`${view}.${name}`, { ...about, call: call(target, name) }]);
    }
  }
  const ch = new Channel({ connection: here });
  const answer = () => {};
  return [
    ...found,
    ["new Channel", {
      before: [],
      misspelt: ["conection", "connection"],
      call: (...args) => Reflect.construct(Channel, args),
    }],
    ["new Connection", {
      before: ["amqp://localhost:1"],
      misspelt: ["usrname", "username"],
      call: (...args) => Reflect.construct(Connection, args),
    }],
    ["serve", {
      before: [ch, answer],
      misspelt: ["concurency", "concurrency"],
      call: serve as unknown as Call,
    }],
    ["pipe", {
      before: [ch, ch],
      misspelt: ["concurency", "concurrency"],
      call: pipe as unknown as Call,
    }],
    ["select", { before: [{ ch }], misspelt: waiting, call: select as unknown as Call }],
    ["trySelect", { before: [{ ch }], misspelt: waiting, call: trySelect as unknown as Call }],
    ["after", { before: [1], call: after as Call }],
    ["every", { before: [1], call: every as Call }],
  ];
}

/** Returns the message with which a call throws or rejects. */
async function refusal(title: string, entry: Entry, args: readonly unknown[]): Promise<string> {
  const outcome = await Promise.resolve().then(() => entry.call(...args)).then(
    () => undefined,
    (error) => error,
  );
  assert.ok(outcome instanceof ChannelConfigError, `${title}(${args.map(String)}): ${outcome}`);
  const [action] = outcome.message.split(": ");
  assert.equal(action, title.replace(/^\w+\./, ""), outcome.message);
  assert.doesNotMatch(outcome.message, /\.$|\n/);
  return outcome.message;
}

Deno.test("options: this file covers every method of a channel", () => {
  for (const view of [Channel, SendChannel, ReceiveChannel]) {
    const known = [...Object.keys(methods), ...ends, Symbol.asyncIterator];
    for (const name of Reflect.ownKeys(view.prototype)) {
      const { value } = Object.getOwnPropertyDescriptor(view.prototype, name)!;
      const isPublic = typeof name === "string" || name === Symbol.asyncIterator;
      if (typeof value !== "function" || !isPublic) continue;
      assert.ok(known.includes(name), `the options of ${view.name}.${String(name)} are not tested`);
    }
  }
});

Deno.test("options: an unknown option is rejected everywhere, and the nearest one is proposed", async () => {
  for (const [title, entry] of entries()) {
    if (entry.misspelt === undefined) continue;
    const [wrong, right] = entry.misspelt;
    assert.match(
      await refusal(title, entry, [...entry.before, { [wrong]: 1 }]),
      new RegExp(`: there is no option "${wrong}"; did you mean ${right}\\?$`),
    );
    assert.match(
      await refusal(title, entry, [...entry.before, { somethingElse: undefined }]),
      new RegExp(`: there is no option "somethingElse"; the options are .*\\b${right}\\b`),
    );
  }
});

Deno.test("options: a value that is not an options object is rejected everywhere", async () => {
  const ch = new Channel({ connection: here });
  const controller = new AbortController();
  const wrong = [
    [10, "10"],
    [true, "true"],
    [[], "an array"],
    [() => {}, "a function"],
    [null, "null"],
    [1n, "1n"],
    [Symbol("x"), "a symbol"],
    [new Map(), "an object of class Map"],
    [new Date(), "an object of class Date"],
    [Promise.resolve(), "an object of class Promise"],
    [controller.signal, "an object of class AbortSignal"],
    [new URL("amqp://localhost"), "an object of class URL"],
  ] as const;
  for (const [title, entry] of entries()) {
    if (entry.misspelt === undefined) continue;
    for (const [options, name] of wrong) {
      const message = await refusal(title, entry, [...entry.before, options]);
      assert.ok(message.includes(`the options must be an object, not ${name}; write `), message);
    }
    if (title !== "new Channel" && !title.endsWith("clone")) {
      const message = await refusal(title, entry, [...entry.before, "text"]);
      assert.ok(message.includes(`not "text"; write `), message);
    }
  }
  const advice = (args: readonly unknown[]) =>
    refusal("get", { before: [], call: call(ch, "get") }, args);
  assert.match(await advice([10]), /; write get\(\{ timeout: 10 \}\)$/);
  assert.match(await advice([controller.signal]), /; write get\(\{ signal \}\)$/);
});

Deno.test("options: surplus arguments are rejected everywhere", async () => {
  for (const [title, entry] of entries()) {
    const options = entry.misspelt === undefined ? [] : [{}];
    const message = await refusal(title, entry, [...entry.before, ...options, {}]);
    assert.match(message, /: takes (?:one argument|no arguments|\d arguments), not \d; write /);
  }
  const two = await refusal(
    "new Channel",
    { before: [], call: (...args) => Reflect.construct(Channel, args) },
    ["jobs", { connection: here }],
  );
  assert.match(two, /write new Channel\(\{ name: "jobs", connection: "amqp:\/\/localhost" \}\)$/);
});

Deno.test("options: a value of the wrong type is rejected with a reason", async () => {
  const bad: [options: Record<string, unknown>, says: RegExp][] = [
    [{ name: 5 }, /the option "name" takes a string, not 5$/],
    [{ name: undefined }, /the option "name" is undefined; leave it out for an anonymous channel$/],
    [
      { connection: undefined },
      /the option "connection" is undefined; leave it out for .* "memory:"$/,
    ],
    [{ connection: "" }, /the option "connection" takes a URI such as /],
    [{ connection: null }, /the option "connection" takes a URI such as /],
    [{ encoding: "xml" }, /the option "encoding" takes "cbor" or "json", not "xml"$/],
    [{ stacks: 1 }, /the option "stacks" takes true or false, not 1$/],
    [{ retryTimeout: "5" }, /the option "retryTimeout" takes milliseconds, 0 or more, not "5"$/],
    [{ maxAttempts: 0 }, /the option "maxAttempts" takes an integer, 1 or more, not 0$/],
    [{ capacity: 1.5 }, /the option "capacity" takes an integer from 0 to 2147483647, not 1.5$/],
    [{ durability: {} }, /the option "durability" takes "classic" or "quorum", not an object$/],
    [{ expires: 1 }, /the option "expires" takes milliseconds, 100 to 2147483647, not 1$/],
  ];
  for (const [options, says] of bad) {
    for (
      const make of [
        () => new Channel(options),
        () => new Channel({ connection: here }).clone(options),
      ]
    ) {
      assert.throws(make, (error) => {
        assert.ok(error instanceof ChannelConfigError, String(error));
        assert.match(error.message, says);
        return true;
      });
    }
  }
  const ch = new Channel<unknown>({ connection: here });
  const error = await rejection(ch.put("kept", { timeout: "1" } as never), ChannelConfigError);
  assert.match(
    error.message,
    /^put: the option "timeout" takes milliseconds, 0 or more, not "1"$/,
  );
  assert.equal(error.value, "kept");
});

Deno.test("options: an undefined name or connection is rejected, other undefined options are not", async () => {
  for (const args of [[undefined], [{ name: undefined }], [{ connection: undefined }]]) {
    assert.throws(
      () => Reflect.construct(Channel, args),
      /^ChannelConfigError: new Channel: .* undefined; leave/,
    );
    const ch = new Channel({ connection: here });
    assert.throws(
      () => (ch.clone as Call)(...args),
      /^ChannelConfigError: clone: .* undefined; leave/,
    );
  }
  const about = { connection: here, capacity: undefined, expires: undefined, stacks: undefined };
  const ch = new Channel<number>(about as never);
  await ch.put(1, { timeout: undefined, signal: undefined } as never);
  assert.equal(await ch.get(undefined), 1);
  await ch.delete();
});

Deno.test("options: properties of a class instance and inherited properties are used", async () => {
  class Defaults {
    timeout = 5;
  }
  class Accessor {
    signal = undefined;
    get timeout() {
      return "soon";
    }
  }
  const ch = new Channel<number>({ connection: here });
  for (
    const options of [new Defaults(), Object.create({ timeout: 5 }), {
      __proto__: null,
      timeout: 5,
    }]
  ) {
    await rejection(ch.get(options), ChannelTimeoutError);
  }
  await rejection(ch.get(new Accessor() as never), ChannelConfigError);
});

Deno.test("options: a URI in place of a name is rejected, without its password", () => {
  const servers = ["amqp", "AMQPS", "redis", "rediss", "zmq", "ws", "wss"];
  const uris = ["memory:", "sqlite:", "sqlite:./x.db", ...servers.map((s) => `${s}://u:hunter2@h`)];
  for (const uri of uris) {
    for (const options of [uri, { name: uri }]) {
      assert.throws(() => new Channel(options), (error) => {
        assert.ok(error instanceof ChannelConfigError);
        assert.match(error.message, /must not be a URI, .*; write \{ connection: uri \}$/);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      });
    }
  }
  assert.equal(new Channel({ name: "memory:usage", connection: here }).name, "memory:usage");
});

Deno.test("options: a channel in place of options is rejected", () => {
  const ch = new Channel({ connection: here });
  assert.throws(() => new Channel(ch as never), /got a channel; write ch\.dup\(\)/);
  assert.throws(() => Reflect.construct(Connection, [ch]), ChannelConfigError);
  assert.throws(() => Reflect.construct(Connection, []), ChannelConfigError);
});

Deno.test("select: a select that could never end, or without valid cases, is rejected", async () => {
  const ch = new Channel({ connection: here });
  for (const wrong of [ch, ch.receiver, ch.getCase(), ch.putCase(1), after(1)]) {
    for (const choose of [select, trySelect]) {
      const error = await rejection(choose(wrong as never), ChannelConfigError);
      assert.match(
        error.message,
        /^(?:select|trySelect): the cases must be .*; write \w+\(\[ch\]\), or /,
      );
    }
  }
  for (const wrong of [undefined, null, 5, "text", new Map(), new Set([ch])]) {
    await rejection(select(wrong as never), ChannelConfigError);
  }
  for (const cases of [{}, [], { ch: undefined }]) {
    const error = await rejection(select(cases), ChannelConfigError);
    assert.match(error.message, /would never end; add one of them$/);
    await rejection(select(cases, { timeout: Infinity }), ChannelConfigError);
    await rejection(select(cases, { timeout: 1 }), ChannelTimeoutError);
    assert.equal(await trySelect(cases), undefined);
  }
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(select({}, { signal }), /enough/);
});

Deno.test("serve: an invalid channel or handler is rejected at once", async () => {
  const ch = new Channel({ connection: here });
  const serveAny = serve as unknown as (...args: unknown[]) => Promise<void>;
  for (const args of [[ch], [ch, { concurrency: 1 }], [() => {}, ch], [ch.sender, () => {}], []]) {
    await rejection(serveAny(...args), ChannelConfigError);
  }
});

Deno.test("close: the argument of a listener call is ignored, and options are rejected", async () => {
  const ch = new Channel({ connection: here });
  const close = ch.close.bind(ch) as (...args: unknown[]) => Promise<void>;
  const error = await rejection(close({ drain: true }), ChannelConfigError);
  assert.match(error.message, /^close: takes no arguments, .* closeAll\(\{ drain: true \}\)/);
  assert.ok(!ch.closed);
  await close("SIGTERM", 15);
  assert.ok(ch.closed);
});
