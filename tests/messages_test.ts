// The texts of errors: what the user called, what happened, and what to do.
import assert from "node:assert/strict";
import process from "node:process";
import { Channel, type ChannelError, Connection, select, serve, trySelect } from "../mod.ts";
import { connectFailure } from "../src/transports/amqp/failure.ts";
import { parseAmqpUri } from "../src/transports/amqp/uri.ts";
import { startChild } from "./support/child.ts";
import { findRuntime } from "./support/runtimes.ts";
import { test } from "./support/test.ts";

type Operation = (ch: Channel<unknown>) => unknown;

/** Every operation with the name at the start of its errors. */
const operations: [name: string, operation: Operation][] = [
  ["put", (ch) => ch.put(1)],
  ["tryPut", (ch) => ch.tryPut(1)],
  ["get", (ch) => ch.get()],
  ["tryGet", (ch) => ch.tryGet()],
  ["receive", (ch) => ch.receive()],
  ["request", (ch) => ch.request(1)],
  ["broadcast", (ch) => ch.broadcast(1)],
  ["broadcasts", (ch) => ch.broadcasts().next()],
  ["select", (ch) => select([ch])],
  ["select", (ch) => select([ch.putCase(1)])],
  ["trySelect", (ch) => trySelect([ch])],
  ["serve", (ch) => serve(ch, () => {})],
  ["depth", (ch) => ch.depth()],
  ["closeAll", (ch) => ch.closeAll()],
  ["closeAll", (ch) => ch.closeAll({ drain: true })],
  ["delete", (ch) => ch.delete()],
];

async function failure(operation: () => unknown): Promise<ChannelError> {
  const error = await Promise.resolve().then(operation).then(() => undefined, (error) => error);
  assert.ok(error instanceof Error, "the operation did not fail");
  assert.doesNotMatch(error.message, /\.$|\n/);
  return error as ChannelError;
}

for (const connection of ["amqp://127.0.0.1:1", "sqlite:./no-such-folder/x.db"]) {
  Deno.test(`messages: an error names the operation when ${connection} is unreachable`, async () => {
    for (const [name, operation] of operations) {
      const ch = new Channel<unknown>({ name: "x", connection, retryTimeout: 0 });
      const { message } = await failure(() => operation(ch));
      assert.match(message, new RegExp(`^${name}(?: on channel \\w+)?: `));
      assert.doesNotMatch(message, /\battach\b|\bconnect: /);
      await ch.close();
    }
  });
}

Deno.test("messages: an error of a drained channel names the operation", async () => {
  await using ch = new Channel<unknown>({ connection: "memory:messages" });
  await ch.closeAll({ drain: true });
  for (const [name, operation] of operations) {
    if (!["put", "get", "receive", "request"].includes(name)) continue;
    const { message } = await failure(() => operation(ch));
    assert.match(message, new RegExp(`^${name}: .* stays closed until it is deleted$`));
  }
});

Deno.test("messages: the error of a closed handle says how to continue", async () => {
  const ends: [end: (ch: Channel) => Promise<void>, says: RegExp][] = [
    [(ch) => ch.close(), /^put: .* is closed in this process; make a new handle to continue$/],
    [(ch) => ch.closeAll(), /^put: .* was closed for all handles; make a new handle to reopen it$/],
    [(ch) => ch.delete(), /^put: .* was deleted; make a new handle to create it anew$/],
  ];
  for (const [end, says] of ends) {
    await using ch = new Channel({ connection: "memory:messages" });
    await ch.depth();
    await end(ch);
    assert.match((await failure(() => ch.put(1))).message, says);
  }
  await using ch = new Channel({ connection: "memory:messages" });
  await ch.closeAll();
  const { message } = await failure(() => ch.delete());
  assert.match(message, /^delete: .* make a new handle to reopen it$/);
});

Deno.test("messages: an error proposes the URI that was probably meant", () => {
  const meant: Record<string, string> = {
    "memory": "memory:",
    "memori:": "memory:",
    "sqlite": "sqlite:",
    "amqp": "amqp://localhost",
    "ampq://host": "amqp://…",
    "redis": "redis://localhost",
    "reddis://host": "redis://…",
    "localhost:6379": "redis://localhost:6379",
    "localhost": "amqp://localhost",
    "localhost:5672": "amqp://localhost:5672",
    "rabbit.example.org": "amqp://rabbit.example.org",
    "jobs.db": "sqlite:jobs.db",
    "./jobs.db": "sqlite:./jobs.db",
    "/var/jobs.db": "sqlite:/var/jobs.db",
  };
  for (const [connection, uri] of Object.entries(meant)) {
    const says = `${
      JSON.stringify(connection)
    } is not the URI of a connection; did you mean ${uri}?`;
    assert.throws(() => new Channel({ connection }), { message: `new Channel: ${says}` });
    assert.throws(() => new Connection(connection), { message: `new Connection: ${says}` });
  }
  assert.throws(() => new Channel({ connection: "nats://u:hunter2@h" }), {
    message:
      `new Channel: "nats://***@h" is not the URI of a connection; a connection begins with one ` +
      "of memory: sqlite: amqp: amqps: redis: rediss: zmq: ws: wss:",
  });
});

Deno.test("messages: a URI without // is told what its scheme expects", () => {
  const expected: Record<string, string> = {
    "amqp:host": "amqp://user:password@host:port/vhost or amqps://",
    "redis:host": "redis://user:password@host:port/database or rediss://",
    "zmq:host": "zmq://HOST:PORT, zmq://HOST:PORT?key=KEY or zmq://:SECRET@HOST:PORT",
    "ws:host": "ws://HOST:PORT/PATH or wss://HOST/PATH",
  };
  for (const [connection, form] of Object.entries(expected)) {
    const message = `new Channel: cannot use the URI ${connection}: expected ${form}`;
    assert.throws(() => new Channel({ connection }), { name: "ChannelConfigError", message });
  }
});

Deno.test("messages: an error of several lines becomes one line", () => {
  const uri = parseAmqpUri("amqps://localhost");
  const openssl =
    "80D2:error:0A00010B:SSL routines:get_record:\n  wrong version number:record.c:354:\n";
  const error = connectFailure(new Error(openssl), uri, uri.endpoints[0]!);
  assert.match(
    error.message,
    /^cannot connect to .*: localhost:5671 does not speak TLS; .*record\.c:354\)$/,
  );
  assert.doesNotMatch(error.message + error.cause, /\n/);
});

test("messages: Deno without permission for the network names the permission", {
  skip: process.versions.deno === undefined && "only Deno has permissions",
}, async () => {
  const runtimeArgs = ["--no-prompt", "--allow-env", "--allow-read", "--allow-sys"];
  const program = new URL("programs/unpermitted.ts", import.meta.url);
  await using child = startChild(program, { runtimeArgs });
  for (const scheme of ["amqp", "redis", "zmq", "ws"]) {
    for (const host of ["localhost", "127.0.0.1"]) {
      assert.match(
        await child.next() as string,
        new RegExp(
          `^ChannelConnectionError: put(?: on channel x)?: cannot connect to ${scheme}://.*: Deno does not permit the ` +
            `connection; allow it with --allow-net=${host}:5672`,
        ),
      );
    }
  }
});

test("messages: if no module of the runtime can be loaded, a transport says what it needs", {
  skip: process.versions.deno === undefined && "the test starts Node itself",
}, async () => {
  const runtime = await findRuntime("node");
  const program = new URL("programs/without_modules.ts", import.meta.url);
  await using child = startChild(program, { runtime });
  const [amqp, amqps, sqlite, memory] = await child.next() as string[];
  for (const reported of [amqp, amqps]) {
    assert.match(
      reported!,
      /^ChannelConfigError: new Channel: amqps?: connections need Deno, Bun, Node, or .*; in a browser /,
    );
  }
  assert.match(
    sqlite!,
    /^ChannelConfigError: new Channel: sqlite: connections need the files of Deno, Bun or Node; in a browser /,
  );
  assert.equal(memory, "1");
});

Deno.test("messages: objects that structuredClone and JSON cannot carry are rejected and named", () => {
  const ch = new Channel({ name: "x", connection: "memory:messages" });
  const title = "x on memory:messages";
  assert.equal(String(ch), `Channel(${title})`);
  assert.equal(String(ch.sender), `SendChannel(${title})`);
  assert.equal(String(ch.receiver), `ReceiveChannel(${title})`);
  assert.equal(
    String(new Connection("amqp://u:hunter2@localhost")),
    "Connection(amqp://localhost:5672/%2F)",
  );
  const { port1, port2 } = new MessageChannel();
  try {
    for (const one of [ch, ch.sender, ch.receiver]) {
      assert.throws(() => JSON.stringify({ one }), {
        name: "ChannelReferenceError",
        message:
          `JSON.stringify: ${one} cannot be written; put it into a channel, inside any value, or ` +
          "send its name",
      });
      assert.throws(() => structuredClone({ one }), { name: "DataCloneError" });
      assert.throws(() => port1.postMessage([one]), { name: "DataCloneError" });
    }
  } finally {
    port1.close();
    port2.close();
  }
});
