import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { encode } from "../../src/encoding/cbor/mod.ts";
import {
  Channel,
  ChannelDecodeError,
  ChannelReferenceError,
  ChannelTimeoutError,
  type Message,
} from "../../mod.ts";
import { rejection, type Suite, within } from "./fixture.ts";

/** Messages that this library did not write, or should not have written. */
export function unreadableTests({ test, shared }: Suite): void {
  const [cbor, json] = ["application/cbor", "application/json"];
  const text = new TextEncoder();
  const unreadable: [string, Message][] = [
    ["garbage", { body: new Uint8Array([0xff, 0, 1, 2]), contentType: cbor }],
    ["no bytes", { body: new Uint8Array(), contentType: cbor }],
    ["a cut value", { body: encode({ a: [1, 2, 3] }).slice(0, -2), contentType: cbor }],
    ["bytes after the value", { body: new Uint8Array([0, 0]), contentType: cbor }],
    ["a length without bytes", {
      body: new Uint8Array([0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]),
      contentType: cbor,
    }],
    ["JSON that is cut", { body: text.encode('{"a":[1'), contentType: json }],
    ["JSON with a number too large", { body: text.encode("[1e400]"), contentType: json }],
    ["JSON nested 100,000 deep", {
      body: text.encode("[".repeat(1e5) + "]".repeat(1e5)),
      contentType: "",
    }],
    ["JSON that is not UTF-8", { body: new Uint8Array([0x22, 0xff, 0x22]), contentType: "" }],
    ["JSON in another charset", { body: text.encode("1"), contentType: `${json}; charset=latin1` }],
    ["CBOR under the name of JSON", { body: encode([1]), contentType: json }],
    ["JSON under the name of CBOR", { body: text.encode("[1]"), contentType: cbor }],
    ["an unknown content type", { body: encode(1), contentType: "application/x-unknown" }],
    ["no content type", { body: text.encode("{nonsense"), contentType: "" }],
  ];
  for (const [title, message] of unreadable) {
    test(`a message of ${title} rejects one get with its bytes, and the channel stays usable`, async (fixture) => {
      const ch = fixture.channel<string>();
      await using raw = await fixture.setup.raw(ch.name);
      await raw.put(message);
      await ch.put("next");
      const error = await rejection(ch.get(), ChannelDecodeError);
      assert.deepEqual([...error.bytes], [...message.body]);
      assert.equal(error.contentType, message.contentType);
      assert.equal(await ch.get(), "next");

      const waiting = rejection(ch.get(), ChannelDecodeError);
      const behind = ch.get();
      await raw.put(message);
      await ch.put("again");
      await waiting;
      assert.equal(await within(behind), "again");
      await raw.put(message);
      await rejection(ch.get({ timeout: 0 }), ChannelDecodeError);
      await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
      assert.equal(ch.closed, false);
    });
  }

  test("the error of an unknown content type names it and the known ones", async (fixture) => {
    const ch = fixture.channel<string>();
    await using raw = await fixture.setup.raw(ch.name);
    for (const contentType of ["text/plain", "application/jsonx", `${cbor}; charset="UTF-16"`]) {
      await raw.put({ body: text.encode("1"), contentType });
      const { message } = await rejection(ch.get(), ChannelDecodeError, { contentType });
      for (const part of [contentType, cbor, json]) assert.ok(message.includes(part), message);
    }
  });

  test("content types are compared without regard to case and parameters", async (fixture) => {
    const ch = fixture.channel<unknown>();
    await using raw = await fixture.setup.raw(ch.name);
    const readable: [type: string, body: Uint8Array][] = [
      [json, text.encode("[7]")],
      ["", text.encode(" [7]\n")],
      ["Application/JSON", text.encode("[7]")],
      [`${json};charset=utf-8`, text.encode("[7]")],
      [`${json} ; v="1;2" ; Charset = "UTF-8"`, text.encode("[7]")],
      [`${json};`, text.encode("\ufeff[7]")],
      [cbor, encode([7])],
      ["APPLICATION/CBOR; charset=utf8", encode([7])],
      [`${cbor}; version=2`, encode([7])],
    ];
    for (const [contentType, body] of readable) {
      await raw.put({ body, contentType });
      assert.deepEqual(await ch.get(), [7], contentType);
    }
  });

  test("an unreadable message rejects an iteration, and the next iteration continues", async (fixture) => {
    const ch = fixture.channel<string>();
    await using raw = await fixture.setup.raw(ch.name);
    await ch.put("before");
    await raw.put(unreadable[0]![1]);
    await ch.put("after");
    const got: string[] = [];
    const iteration = async () => {
      for await (const value of ch) {
        got.push(value);
        if (value === "after") return;
      }
    };
    await rejection(iteration(), ChannelDecodeError);
    await within(iteration());
    assert.deepEqual(got, ["before", "after"]);
  });

  test("a hostile reference rejects one get and connects nowhere", async (fixture) => {
    const ch = fixture.channel<string>();
    await using raw = await fixture.setup.raw(ch.name);
    await using trap = await Trap.open();
    const { port } = trap;
    const cycle: unknown[] = [];
    cycle.push(cycle);
    const hostile: unknown[][] = [
      ["x", 1n],
      ["x", [1n]],
      ["x", cycle],
      ["x", { toJSON: 1n }],
      ["x", undefined, 1n],
      ["x", undefined, cycle],
      ["x", undefined, "cbor", 1n],
      [1n],
      [cycle],
      ["x", `amqp://127.0.0.1:${port}/%2F`],
      ["x", `amqp://user:hunter2@127.0.0.1:${port}/%2F`],
      ["x", `amqp://127.0.0.1:${port}`],
      ["x", `ws://127.0.0.1:${port}/`],
      ["x", "memory:never-configured"],
      ["x", "sqlite:/nowhere/never-configured.db"],
      ["x", ""],
      ["x", 5],
      ["x", null],
      ["x", ["memory:"]],
      ["x", { toString: "memory:" }],
      [],
      [""],
      [5],
      [null],
      ["amq.direct"],
      ["x".repeat(256)],
      ["a\0b"],
      ["x", undefined, "surplus"],
      ["x", undefined, "__proto__"],
      ["x", undefined, "json", "surplus"],
    ];
    for (const args of hostile) {
      const body = reference(...args);
      await raw.put({ body, contentType: cbor });
      await ch.put("next");
      const error = await rejection(ch.get(), ChannelReferenceError);
      assert.deepEqual(error.bytes, body);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /hunter2/);
      assert.equal(await ch.get({ timeout: 20_000 }), "next");
    }
    assert.equal(trap.connections, 0);
  });

  test("the error of a hostile reference says what is wrong with it", async (fixture) => {
    const ch = fixture.channel<string>();
    await using raw = await fixture.setup.raw(ch.name);
    const wrong: [parts: unknown[], what: RegExp][] = [
      [["x", undefined, "xml"], /to channel x has the encoding "xml", and only "cbor" and "json"/],
      [["x", undefined, 1n], /has the encoding a bigint, /],
      [["x", undefined, "json", "up"], /has the direction "up", and only "send" and "receive"/],
      [["x", undefined, "json", "send", 1], /has 5 items, and at most 4 are read/],
      [["x", 1n], /names a broker that this process has not configured: a bigint; make a channel/],
      [["x", null], /: null; make a channel/],
      [["x", "a\nb"], /: "a\\nb"; make a channel/],
    ];
    for (const [parts, what] of wrong) {
      await raw.put({ body: reference(...parts), contentType: cbor });
      assert.match((await rejection(ch.get(), ChannelReferenceError)).message, what);
    }
  });

  test("a malformed JSON reference rejects one get", async (fixture) => {
    const ch = fixture.channel<string>();
    await using raw = await fixture.setup.raw(ch.name);
    const malformed: Record<string, unknown>[] = [
      {},
      ...["", 5, null, "amq.direct", "x".repeat(256), "a\0b", "\ud800", ["x"], {}].map((name) => ({
        name,
      })),
      { __proto__: { name: "x" } },
      { name: "x", connection_type: "ZmqConnection" },
      { name: "x", connection_type: 5 },
      ...["amqp://localhost", 5, true, [], [{ uri: "amqp://localhost" }]].map((
        connection_args,
      ) => ({
        name: "x",
        connection_args,
      })),
      ...[5, true, [], {}].map((uri) => ({ name: "x", connection_args: { uri } })),
    ];
    for (const members of malformed) {
      const value = { deep: [{ __channel__: true, ...members }] };
      const body = text.encode(JSON.stringify(value));
      await raw.put({ body, contentType: json });
      await ch.put("next");
      const error = await rejection(ch.get(), ChannelReferenceError);
      assert.deepEqual(error.bytes, body, JSON.stringify(members));
      assert.match(error.message, /^get: a (?:channel reference|reference to channel x) .*[^.]$/);
      assert.equal(await ch.get({ timeout: 20_000 }), "next");
    }
  });

  test("a JSON reference to an unknown broker is relative and connects nowhere", async (fixture) => {
    const ch = fixture.channel<Channel<string>>();
    await using raw = await fixture.setup.raw(ch.name);
    await using trap = await Trap.open();
    const inner = fixture.channel<string>();
    const uris: unknown[] = [
      `amqp://127.0.0.1:${trap.port}`,
      `amqp://user:hunter2@127.0.0.1:${trap.port}/%2F`,
      `amqps://127.0.0.1:${trap.port}/?heartbeat=5`,
      `ws://127.0.0.1:${trap.port}/`,
      "memory:never-configured",
      "sqlite:/nowhere/never-configured.db",
      "amqp://[",
      `amqp://${"ü,".repeat(200_000)}b`,
      "nonsense",
      "",
      null,
      undefined,
    ];
    for (const uri of uris) {
      const value = { __channel__: true, name: inner.name, connection_args: { uri } };
      await raw.put({ body: text.encode(JSON.stringify(value)), contentType: "" });
      const got = fixture.own(await ch.get());
      await got.put("relative");
      assert.equal(await inner.get({ timeout: 20_000 }), "relative", String(uri));
    }
    assert.equal(trap.connections, 0);
  });

  shared(
    "a reference to a memory channel is rejected if it comes from a transport of wider reach",
    async (fixture) => {
      const own = fixture.channel("secret", 0);
      await own.close();
      const ch = fixture.channel<string>();
      await using raw = await fixture.setup.raw(ch.name);
      for (const address of ["memory:", "memory:apart", "memory:conformance"]) {
        await raw.put({ body: reference("secret", address), contentType: cbor });
        await rejection(ch.get(), ChannelReferenceError);
      }
      fixture.own(new Channel({ connection: "memory:apart" })); // configured from here on
      for (const uri of ["memory:apart", "MEMORY:apart"]) {
        const value = { __channel__: true, name: "secret", connection_args: { uri } };
        await raw.put({ body: text.encode(JSON.stringify(value)), contentType: json });
        await rejection(ch.get(), ChannelReferenceError);
      }
    },
  );
}

/** Encodes a value that contains a reference of these parts. */
function reference(...parts: unknown[]): Uint8Array {
  class Anything {}
  return encode({ deep: [new Anything()] }, {
    extension: (object) => object instanceof Anything ? ["Channel", ...parts] : undefined,
  });
}

/** A server that counts connections, none of which may happen. */
class Trap implements AsyncDisposable {
  connections = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.connections++;
      socket.destroy();
    });
  }

  static open(): Promise<Trap> {
    return new Promise((resolve) => {
      const server = createServer();
      server.listen(0, "127.0.0.1", () => resolve(new Trap(server)));
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
