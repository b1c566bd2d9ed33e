import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { encode } from "../../src/codec/mod.ts";
import {
  ChannelDecodeError,
  ChannelReferenceError,
  ChannelTimeoutError,
  type Message,
} from "../../mod.ts";
import { rejection, soon, type Suite } from "./scene.ts";

/** Messages that this library did not write, or should not have. */
export function unreadableTests({ test }: Suite): void {
  const cbor = "application/cbor";
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
    ["an unknown content type", { body: encode(1), contentType: "application/x-unknown" }],
    ["no content type", { body: text.encode("{nonsense"), contentType: "" }],
  ];
  for (const [title, message] of unreadable) {
    test(`a message of ${title} rejects one get with its bytes, and the channel goes on`, async (scene) => {
      const ch = scene.channel<string>();
      await using raw = await scene.setup.raw(ch.name);
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
      assert.equal(await soon(behind), "again");
      await raw.put(message);
      await rejection(ch.get({ timeout: 0 }), ChannelDecodeError);
      await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
      assert.equal(ch.closed, false);
    });
  }

  test("an iteration throws the error of an unreadable message, and another goes on", async (scene) => {
    const ch = scene.channel<string>();
    await using raw = await scene.setup.raw(ch.name);
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
    await soon(iteration());
    assert.deepEqual(got, ["before", "after"]);
  });

  test("a hostile reference rejects one get, and leads nowhere", async (scene) => {
    const ch = scene.channel<string>();
    await using raw = await scene.setup.raw(ch.name);
    await using trap = await Trap.open();
    const { port } = trap;
    const hostile: unknown[][] = [
      ["x", `amqp://127.0.0.1:${port}/%2F`],
      ["x", `amqp://user:hunter2@127.0.0.1:${port}/%2F`],
      ["x", `amqp://127.0.0.1:${port}`],
      ["x", `ws://127.0.0.1:${port}/`],
      ["x", "memory:never-configured"],
      ["x", "sqlite:/tmp/never-configured.db"],
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
    ];
    for (const args of hostile) {
      const body = reference(...args);
      await raw.put({ body, contentType: cbor });
      await ch.put("next");
      const error = await rejection(ch.get(), ChannelReferenceError);
      assert.deepEqual(error.bytes, body, JSON.stringify(args));
      assert.equal(await ch.get({ timeout: 1000 }), "next");
    }
    assert.equal(trap.connections, 0);
  });

  test("a reference to a memory channel is refused where it comes from farther", async (scene) => {
    if (!scene.setup.features.shared) return;
    const own = scene.channel("secret", 0);
    await own.close();
    const ch = scene.channel<string>();
    await using raw = await scene.setup.raw(ch.name);
    for (const address of ["memory:", "memory:apart", "memory:conformance"]) {
      await raw.put({ body: reference("secret", address), contentType: cbor });
      await rejection(ch.get(), ChannelReferenceError);
    }
  });
}

/** A value with a reference of these parts inside. */
function reference(...parts: unknown[]): Uint8Array {
  class Anything {}
  return encode({ deep: [new Anything()] }, {
    extension: (object) => object instanceof Anything ? ["Channel", ...parts] : undefined,
  });
}

/** Listens where nobody may connect. */
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
