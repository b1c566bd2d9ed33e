// Operations that do not wait for a value, but for the broker's answer: the answer may be late, because the process has
// computed, or may not come at all. Neither means that a channel is empty.
import assert, { deepEqual, equal, match } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setImmediate as turn } from "node:timers/promises";
import { Channel, ChannelConnectionError, ChannelTimeoutError, trySelect } from "../mod.ts";
import { connectionsRest, rejection, within } from "./conformance/fixture.ts";
import { HomeServer } from "./faults/home_server.ts";
import { RedisFaultServer } from "./faults/redis_server.ts";
import { startHome } from "./homes/home_process.ts";
import type { Framing } from "./support/framing.ts";
import { startProxy } from "./support/proxy.ts";
import { startRedis } from "./support/redis.ts";

/** Milliseconds for which an operation waits for an answer: `reachTimeout` of `src/shared/timeouts.ts`. */
const reachTimeout = 3000;

/** Stops the event loop, as a computation does. */
function compute(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

Deno.test("a process that computes while a broker answers gets the answer", async () => {
  await using redis = await startRedis();
  await using home = await startHome({
    addresses: ["zmq://127.0.0.1:PORT", "ws://127.0.0.1:PORT"],
  });
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-unanswered-"));
  const uris = [
    process.env.BROKER!,
    redis.uri,
    ...home.addresses,
    `sqlite:${join(folder, "file.db")}`,
  ];
  const name = `late answers ${randomUUID()}`; // of one channel for each URI: both of the home have the same channels
  const channels = uris.map((connection, i) =>
    new Channel<number>({ name: `${name} ${i}`, connection })
  );
  try {
    for (const ch of channels) {
      await Promise.all([1, 2, 3, 4, 5].map((value) => ch.put(value)));
      equal(await ch.get(), 1);
    }
    const asked = channels.map((ch) => [
      ch.tryGet(),
      ch.get({ timeout: 0 }),
      trySelect([ch]).then((chosen) => chosen?.value),
      rejection(ch.whenEmpty({ timeout: 0 }), ChannelTimeoutError).then(({ message }) => message),
    ]);
    compute(reachTimeout + 500);
    for (const [i, answers] of asked.entries()) {
      const [first, ...rest] = await Promise.all(answers);
      deepEqual([first, ...rest.slice(0, -1)], [{ status: "ok", value: 2 }, 3, 4], uris[i]);
      match(rest.at(-1) as string, /was not empty within 0 ms/);
    }
  } finally {
    for (const ch of channels) {
      await ch.delete();
      await ch.close();
    }
    await connectionsRest();
    rmSync(folder, { recursive: true, force: true });
  }
});

Deno.test("a process that computes while it connects connects afterwards", async () => {
  await using redis = await startRedis();
  await using home = await startHome();
  const uris = [process.env.BROKER!, redis.uri, ...home.addresses];
  const name = `connected late ${randomUUID()}`;
  const channels = uris.map((connection) =>
    new Channel<number>({ name, connection, retryTimeout: 1000 })
  );
  const putting = channels.map((ch) => ch.put(1));
  const getting = channels.map((ch) => ch.get());
  await turn();
  compute(1500);
  await Promise.all(putting);
  deepEqual(await Promise.all(getting), channels.map(() => 1));
  for (const ch of channels) {
    await ch.delete();
    await ch.close();
  }
  await connectionsRest();
});

async function withoutAnswers(
  uriAt: (port: number) => string,
  port: number,
  framing: Framing,
): Promise<void> {
  await using proxy = await startProxy(port, framing);
  const ch = new Channel<number>({
    name: `no answers ${randomUUID()}`,
    connection: uriAt(proxy.port),
  });
  try {
    await ch.put(1);
    proxy.dropAll();
    const operations = {
      get: ch.get({ timeout: 0 }),
      receive: ch.receive({ timeout: 0 }),
      tryGet: ch.tryGet(),
      trySelect: trySelect([ch]),
      whenEmpty: ch.whenEmpty({ timeout: 0 }),
    };
    await Promise.all(
      Object.entries(operations).map(async ([title, operation]) => {
        const error = await rejection<ChannelConnectionError>(
          operation.then((result) => assert.fail(`${title} resolved with ${result}`)),
          ChannelConnectionError,
        );
        match(error.message, /could not be reached within 3000 ms/, title);
      }),
    );
    proxy.recover();
    equal(await within(ch.get()), 1); // none of them has taken it
  } finally {
    proxy.recover();
    await ch.delete();
    await ch.close();
  }
}

Deno.test("an operation without an answer does not say that the channel is empty", async () => {
  const broker = new URL(process.env.BROKER!);
  const throughProxy = (port: number) => {
    const through = new URL(broker);
    through.host = `127.0.0.1:${port}`;
    return through.href;
  };
  await using redis = await startRedis();
  await using home = await startHome();
  const [redisServer, homeServer] = [new RedisFaultServer(redis), new HomeServer(home)];
  await Promise.all([
    withoutAnswers(throughProxy, Number(broker.port || 5672), "amqp"),
    withoutAnswers(
      (port) => redisServer.uriAt(port, "unanswered"),
      redisServer.port,
      redisServer.framing,
    ),
    withoutAnswers((port) => homeServer.uriAt(port), homeServer.port, homeServer.framing),
  ]);
  await connectionsRest();
});
