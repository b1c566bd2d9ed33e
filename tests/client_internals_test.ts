import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";
import { type AMQPChannel, AMQPClient, type AMQPError } from "@cloudamqp/amqp-client";
import {
  type ClientInternal,
  internalsOf,
} from "../src/transports/amqp/connection/client_internals.ts";
import { until, within } from "./conformance/fixture.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

/** A client of the npm package that records what it reads and writes. */
class RecordingClient extends AMQPClient {
  sent = 0;
  readonly frames: { readonly size: number; readonly ends: boolean }[] = [];

  override send(bytes: Uint8Array): Promise<void> {
    this.sent += bytes.length;
    return super.send(bytes);
  }

  protected override parseFrames(view: Parameters<AMQPClient["parseFrames"]>[0]): void {
    const size = 8 + view.getUint32(3);
    this.frames.push({ size: view.byteLength, ends: size === view.byteLength });
    super.parseFrames(view);
  }
}

/** Runs `use` with a client that is not connected yet, and closes it. */
async function withClient(
  use: (client: RecordingClient) => unknown,
  uri: string = broker,
): Promise<void> {
  const client = new RecordingClient(uri);
  client.onerror = () => {};
  try {
    await use(client);
  } finally {
    client.socket?.destroy();
  }
}

/** Runs `use` with an AMQP channel of a new connection. */
function withChannel(
  use: (channel: AMQPChannel, client: RecordingClient) => unknown,
): Promise<void> {
  return withClient(async (client) => {
    await client.connect();
    await use(await client.channel(), client);
  });
}

/** Publishes `size` bytes, which no queue takes, and resolves when the broker has confirmed them. */
function publish(channel: AMQPChannel, size: number): Promise<number> {
  return channel.basicPublish("", `nowhere ${randomUUID()}`, new Uint8Array(size));
}

const checks: Record<ClientInternal, () => Promise<void>> = {
  "AMQPClient.socket": () =>
    withClient(async (client) => {
      const connected = client.connect();
      const { socket } = client;
      assert.ok(socket, "connect() has set no socket when it returns");
      const listeners = socket.listeners("data") as ((chunk: Buffer) => void)[];
      assert.equal(listeners.length, 1, "the number of listeners to data");
      await connected;
      const heartbeat = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce]);
      const before = client.frames.length;
      listeners[0]!(Buffer.concat([heartbeat, heartbeat]));
      assert.equal(client.frames.length, before + 2, "the number of frames read from two");
    }),

  "AMQPClient.send": () =>
    withChannel(async (channel, client) => {
      await channel.confirmSelect();
      await publish(channel, 100_000);
      assert.equal(client.sent, client.socket!.bytesWritten, "bytes that passed through send");
    }),

  "AMQPClient.parseFrames": () =>
    withChannel(async (channel, client) => {
      await Promise.all([channel.prefetch(1), channel.prefetch(2), channel.prefetch(3)]);
      assert.ok(client.frames.length > 6, "parseFrames was not called for each frame");
      assert.ok(
        client.frames.every(({ ends }) => ends),
        "parseFrames was called with more than one frame",
      );
    }),

  "AMQPClient.host": () => {
    const { hostname } = new URL(broker);
    const elsewhere = new URL(broker);
    elsewhere.hostname = "host.invalid";
    return withClient(async (client) => {
      Object.assign(client, { host: hostname.replace(/^\[|\]$/g, "") });
      await client.connect();
    }, elsewhere.href);
  },

  "AMQPClient.tlsOptions": () =>
    withClient(() => {
      const options = { key: "secret" };
      const client = new AMQPClient("amqps://localhost", options);
      const holders = Object.entries(client).filter(([, value]) => value === options);
      assert.deepEqual(holders.map(([name]) => name), ["tlsOptions"]);
    }),

  "AMQPClient.password": () => {
    const { password } = new URL(broker);
    const url = new URL(broker);
    url.username ||= "guest";
    url.password = "wrong";
    return withClient(async (client) => {
      const value = decodeURIComponent(password) || "guest";
      Object.defineProperty(client, "password", { value, enumerable: false });
      await client.connect();
    }, url.href);
  },

  "AMQPClient.frameMax": () =>
    withChannel(async (channel, client) => {
      client.frameMax = 5000;
      await channel.confirmSelect();
      await publish(channel, 1);
      assert.deepEqual(internalsOf(client).bufferPool.map(({ byteLength }) => byteLength), [5000]);
    }),

  "AMQPClient.bufferPool": () =>
    withChannel(async (channel, client) => {
      const { bufferPool } = internalsOf(client);
      assert.deepEqual(bufferPool, []);
      const pushed: number[] = [];
      bufferPool.push = ({ byteLength }) => pushed.push(byteLength);
      await channel.confirmSelect();
      await publish(channel, 1);
      await publish(channel, 300_000);
      assert.equal(pushed.length, 2);
      assert.equal(pushed[0], client.frameMax);
      assert.ok(pushed[1]! > 300_000, "the buffer that has grown is not returned to the pool");
    }),

  "AMQPChannel.publishConfirmed": () =>
    withChannel(async (channel) => {
      const confirmed: unknown[] = [];
      channel.publishConfirmed = (...confirmation: unknown[]) => confirmed.push(confirmation);
      await channel.confirmSelect();
      publish(channel, 1).catch(() => {});
      await until(() => confirmed.length > 0);
      assert.deepEqual(confirmed, [[1, false, false]]);
    }),

  "AMQPChannel.onerror": () =>
    withChannel(async (channel) => {
      const reported: string[] = [];
      channel.onerror = (reason) => reported.push(reason);
      await channel.queueDeclare(randomUUID(), { passive: true }).catch(() => {});
      assert.equal(reported.length, 1, "the number of calls");
      assert.match(reported[0]!, closedChannel);
    }),

  "text of a closed channel": () =>
    withChannel(async (channel, client) => {
      channel.onerror = () => {};
      const error = await failure(channel.queueDeclare(randomUUID(), { passive: true }));
      assert.match(error.message, closedChannel);
      assert.equal(error.connection, client);
    }),

  "text of a closed connection": () =>
    withChannel(async (channel, client) => {
      channel.onerror = () => {};
      const ended = new Promise<Error | undefined>((resolve) => client.ondisconnect = resolve);
      // basic.recover-async on an AMQP channel that is not open.
      await client.send(new Uint8Array([1, 0, 99, 0, 0, 0, 5, 0, 60, 0, 100, 0, 0xce]));
      const text = /^connection closed: .* \(5\d\d\)$/;
      assert.match((await ended)!.message, text);
    }),

  "text of a rejected message": () =>
    withChannel(async (channel) => {
      await channel.confirmSelect();
      const { publishConfirmed } = channel;
      channel.publishConfirmed = (tag, multiple) =>
        publishConfirmed.call(channel, tag, multiple, true);
      assert.equal((await failure(publish(channel, 1))).message, "Message rejected");
    }),
};

const closedChannel = /^channel 1 closed: NOT_FOUND - .* \(404\)$/;

/** Returns the error that the promise rejects with. */
async function failure(promise: Promise<unknown>): Promise<AMQPError> {
  try {
    await promise;
  } catch (error) {
    return error as AMQPError;
  }
  throw new Error("the promise resolved");
}

Deno.test("client internals: the private parts of @cloudamqp/amqp-client are what this library expects", async () => {
  const moved: string[] = [];
  for (const [part, check] of Object.entries(checks)) {
    await within(check()).catch((error: Error) => moved.push(`${part}: ${error.message}`));
  }
  const advice = "client_internals.ts says what each part must do, and client.ts uses it";
  const message = `@cloudamqp/amqp-client has changed (${advice}):\n${moved.join("\n")}`;
  assert.ok(moved.length === 0, message);
});

Deno.test("client internals: deno.json names one exact version of the client", () => {
  const { imports } = JSON.parse(readFileSync(new URL("../deno.json", import.meta.url), "utf8"));
  assert.match(imports["@cloudamqp/amqp-client"], /@\d+\.\d+\.\d+$/);
});
