import {
  Channel,
  ChannelClosedError,
  ChannelConfigError,
  ChannelConnectionError,
  ChannelTimeoutError,
} from "../mod.ts";
import { connectionsRest } from "./conformance/fixture.ts";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { inspect } from "node:util";
import { startPrivateBroker } from "./support/broker.ts";
import { startChild } from "./support/child.ts";
import { freePorts, waitUntil } from "./support/net.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

const secret = "hunter2";

/** Opens a listener on 127.0.0.1 that is not a broker. */
async function listen(onConnection: (socket: Socket) => void): Promise<Listener> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    socket.resume(); // otherwise its end would not be noticed
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return sockets.size;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Listener extends AsyncDisposable {
  readonly port: number;
  readonly connections: number;
}

/** Returns the error that an operation rejects with, and asserts that no password is in it. */
async function failure(operation: Promise<unknown>): Promise<ChannelConnectionError> {
  const error = await operation.then(() => assert.fail("the operation resolved"), (error) => error);
  assert.ok(error instanceof ChannelConnectionError, inspect(error));
  assert.doesNotMatch(inspect(error, { showHidden: true, depth: 20 }), new RegExp(secret));
  assert.doesNotMatch(`${error.stack} ${JSON.stringify(error)}`, new RegExp(secret));
  assert.doesNotMatch(error.message, /\.$/);
  return error;
}

/**
 * Returns the error of every operation on a connection, and asserts that each rejects shortly after its retry timeout. An
 * operation is repeated while the server should have answered and has not, because the machine is busy.
 */
async function failures(connection: string, answers = true): Promise<ChannelConnectionError> {
  const retryTimeout = 500;
  const name = `test ${randomUUID()}`;
  const open = () => new Channel({ name, connection, retryTimeout });
  const operations: Record<string, () => Promise<unknown>> = {
    put: () => open().put("a value"),
    get: () => open().get(),
    depth: () => open().depth(),
    closeAll: () => open().closeAll(),
    delete: () => open().delete(),
  };
  let first: ChannelConnectionError | undefined;
  for (const [operation, start] of Object.entries(operations)) {
    let error: ChannelConnectionError;
    let took: number;
    let left = 20;
    do {
      const begin = performance.now();
      error = await failure(start());
      took = performance.now() - begin;
    } while (answers && /there has been no answer yet/.test(error.message) && --left > 0);
    assert.ok(took < 8000, `${operation} took ${took} ms`); // an attempt to connect takes 10 s
    if (operation === "put") assert.equal((error as { value?: unknown }).value, "a value");
    first ??= error;
    assert.ok(error.message.startsWith(operation), error.message);
    assert.equal(error.message.slice(operation.length), first.message.slice("put".length));
  }
  await connectionsRest();
  return first!;
}

Deno.test("a port without a listener is reported with advice", async () => {
  const [port] = await freePorts(1);
  const error = await failures(`amqp://user:${secret}@127.0.0.1:${port}/v`);
  assert.match(
    error.message,
    new RegExp(`nothing listens on 127.0.0.1:${port}; check that the broker`),
  );
  assert.equal(error.address, `amqp://127.0.0.1:${port}/v`);
  assert.equal(error.transient, true);
});

Deno.test("a wrong password is reported at once", async () => {
  const url = new URL(broker);
  url.username = "guest";
  url.password = secret;
  const begin = performance.now();
  const channel = new Channel({ connection: url.href });
  const error = await failure(channel.put(1));
  assert.ok(performance.now() - begin < 8000, "it was retried, which takes 10 s");
  assert.match(error.message, /refused user guest; check user name and password/);
  assert.equal(error.transient, false);
  await channel.close();
  await connectionsRest();
});

Deno.test("a vhost that does not exist is reported at once", async () => {
  const url = new URL(broker);
  url.pathname = "/no-such-vhost";
  const error = await failure(new Channel({ connection: url.href }).get());
  assert.match(error.message, /vhost no-such-vhost does not exist; correct the URI/);
  assert.equal(error.transient, false);
  await connectionsRest();
});

Deno.test("an unknown host name is reported", async () => {
  const error = await failures(`amqp://user:${secret}@no-such-host.invalid`);
  assert.match(
    error.message,
    /the host name no-such-host\.invalid is not known; check the name \(/,
  );
});

Deno.test("an invalid URI is rejected when the handle is made, without showing its password", () => {
  for (
    const connection of [
      `amqp://user:${secret}@`,
      `amqp://user:${secret}@host:port`,
      `amqp://user:${secret}@host:70000`,
      `amqp://user:${secret}@host/a/b`,
      `amqp://user:${secret}@host?heartbeat=soon`,
      `amqp://user:${secret}@host/%zz`,
      `amqp://user:${secret} @host`,
      `amqp:user:${secret}@host`,
      `http://user:${secret}@host`,
      `user:${secret}@host`,
      `//user:${secret}@host`,
      "",
    ]
  ) {
    assert.throws(() => new Channel({ connection }), (error) => {
      assert.ok(error instanceof ChannelConfigError, `${connection}: ${inspect(error)}`);
      assert.doesNotMatch(inspect(error, { showHidden: true, depth: 20 }), new RegExp(secret));
      assert.match(error.message, /expected|begins with one of|takes a URI/);
      return true;
    });
  }
});

const notBrokers: Record<string, { speak: (socket: Socket) => void; says: RegExp }> = {
  "an HTTP server": {
    speak: (socket) =>
      socket.once(
        "data",
        () => socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
      ),
    says:
      /127\.0\.0\.1:\d+ is not an AMQP 0-9-1 broker; check the host and the port \(.*"HTTP\/1\.1 400 Bad Request"/,
  },
  "a server that greets first": {
    speak: (socket) => socket.write("220 mail.example ESMTP\r\n"),
    says:
      /127\.0\.0\.1:\d+ is not an AMQP 0-9-1 broker; check the host and the port \(.*"220 mail\.example ESMTP"/,
  },
  "a broker of another version": {
    speak: (socket) => socket.once("data", () => socket.end("AMQP\x00\x01\x00\x00")),
    says:
      /127\.0\.0\.1:\d+ is not an AMQP 0-9-1 broker; check the host and the port \(.*another version of AMQP/,
  },
  "a TLS server": {
    // The alert unexpected_message, fatal: OpenSSL's answer to data that is not TLS.
    speak: (socket) =>
      socket.once("data", () => socket.end(new Uint8Array([0x15, 3, 3, 0, 2, 2, 10]))),
    says: /try amqps:\/\//,
  },
  "a frame with a wrong length": {
    speak: (socket) =>
      socket.once("data", () => socket.end(new Uint8Array([1, 0, 0, 255, 255, 255, 255, 0]))),
    says: /127\.0\.0\.1:\d+/,
  },
  "a server that closes at once": {
    speak: (socket) => socket.end(),
    says: /127\.0\.0\.1:\d+ does not answer as an AMQP broker;/,
  },
  "a server that resets the connection": {
    speak: (socket) => socket.resetAndDestroy(),
    says: /127\.0\.0\.1:\d+/,
  },
  "a server that accepts and stays silent": {
    speak: () => {},
    says: /127\.0\.0\.1:\d+.*no answer/,
  },
};

for (const [who, { speak, says }] of Object.entries(notBrokers)) {
  Deno.test(`a port without a broker is reported: ${who}`, async () => {
    await using listener = await listen(speak);
    const answers = !says.source.includes("no answer");
    const error = await failures(`amqp://user:${secret}@127.0.0.1:${listener.port}`, answers);
    assert.match(error.message, says);
    assert.ok(
      await waitUntil(() => listener.connections === 0, 20_000),
      "a connection stays although no operation waits for it",
    );
  });
}

Deno.test("amqps:// to a broker's plain port is rejected with the advice to try amqp://", async () => {
  const url = new URL(broker);
  const error = await failures(`amqps://user:${secret}@${url.host}`);
  assert.match(error.message, /does not speak TLS; try amqp:\/\//);
});

Deno.test("amqps:// to a silent server is bounded, too", async () => {
  await using listener = await listen(() => {});
  const error = await failures(`amqps://user:${secret}@127.0.0.1:${listener.port}`, false);
  assert.match(error.message, /no answer/);
});

Deno.test("a get with a timeout distinguishes an unreachable broker from an empty channel", async () => {
  const [port] = await freePorts(1);
  await using silent = await listen(() => {});
  for (const connection of [`amqp://127.0.0.1:${port}`, `amqp://127.0.0.1:${silent.port}`]) {
    for (const timeout of [0, 100, 700]) {
      const begin = performance.now();
      const error = await failure(new Channel({ connection }).get({ timeout }));
      const took = performance.now() - begin;
      assert.ok(took < 8000, `${timeout} ms took ${took} ms`); // the connection is tried for 10 s
      assert.ok(error.message.includes(connection), error.message);
    }
  }
  await connectionsRest();
});

Deno.test("many operations on an unreachable broker each get an error of their own", async () => {
  const [port] = await freePorts(1);
  const channel = new Channel<number>({
    connection: `amqp://127.0.0.1:${port}`,
    retryTimeout: 200,
  });
  const puts = [0, 1, 2].map((n) => failure(channel.put(n)) as Promise<Error & { value?: number }>);
  const errors = await Promise.all(puts);
  assert.deepEqual(errors.map(({ value }) => value), [0, 1, 2]);
  await channel.close();
  await connectionsRest();
});

Deno.test("a broker that dies ends pending operations, and serves the same handles when it is back", async () => {
  await using own = await startPrivateBroker();
  const connection = own.uri;
  const name = "test";
  await using waiting = startChild(new URL("programs/pending.ts", import.meta.url), {
    args: [connection, name],
  });
  assert.equal(await waiting.next(), "waiting");
  const channel = new Channel<string>({ name, connection, retryTimeout: 1000 });
  const other = new Channel<string>({ name: "another", connection, retryTimeout: 1000 });
  await other.put("before");

  // a get without other operations
  const get = failure(channel.dup().get());
  await channel.depth();
  own.suspend(); // so that the next puts stay pending
  const puts = [failure(other.put("one")), failure(other.put("two"))];
  await own.crash();
  for (const error of await Promise.all([get, ...puts])) {
    assert.match(error.message, /was lost|cannot connect/);
    assert.equal(error.transient, true);
  }

  assert.deepEqual(await waiting.next(), { error: "ChannelConnectionError" });
  assert.ok(await waitUntil(() => exited(waiting.exited), 8000), "the process does not end");
  assert.equal((await waiting.exited).code, 0, waiting.stderr);

  // Nobody listens now.
  const down = await failure(other.put("in vain"));
  assert.match(down.message, /nothing listens on/);
  const closing = new Channel({ name, connection });
  const lost = failureOfClosed(closing.put("in vain"));
  const begin = performance.now();
  await closing.close();
  assert.ok(performance.now() - begin < 8000, "close is bounded");
  await lost;

  await own.restart();
  assert.equal(await other.get({ timeout: 10_000 }), "before");
  await channel.put("after");
  assert.equal(await channel.get({ timeout: 10_000 }), "after");
  await Promise.all([channel.delete(), other.delete()]);
  await connectionsRest();
});

/** Asserts that a put of a handle that is closed before it is sent is not sent and rejects. */
async function failureOfClosed(put: Promise<void>): Promise<void> {
  const error = await put.then(() => assert.fail("the operation resolved"), (error) => error);
  assert.ok(
    error instanceof ChannelClosedError || error instanceof ChannelConnectionError,
    inspect(error),
  );
}

/** Reports whether a promise has resolved. */
async function exited(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  return await Promise.race([promise, Promise.resolve(pending)]) !== pending;
}

Deno.test("closing is bounded while the broker is suspended, and loses no confirmed value", async () => {
  await using own = await startPrivateBroker();
  const channel = new Channel<string>({ name: "test", connection: own.uri });
  await channel.put("confirmed");
  own.suspend();
  const late = failureOfClosed(channel.put("not confirmed"));
  const get = channel.get().catch((error) => error);
  const timedOut = channel.get({ timeout: 100 }).catch((error) => error);
  assert.ok(
    await timedOut instanceof ChannelTimeoutError,
    "the broker is not known to be unreachable",
  );
  const begin = performance.now();
  await channel.close();
  const took = performance.now() - begin;
  assert.ok(took < 8000, `close took ${took} ms`);
  assert.ok(await get instanceof ChannelClosedError, String(await get));
  await late;
  own.resume();
  const again = new Channel<string>({ name: "test", connection: own.uri });
  assert.equal(await again.get({ timeout: 10_000 }), "confirmed");
  await again.delete();
  await connectionsRest();
});
