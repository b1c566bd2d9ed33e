// The cost of requests for others on RabbitMQ, the effect of hostile requests there, and who gets their errors.
import { AMQPClient } from "@cloudamqp/amqp-client";
import assert from "node:assert/strict";
import process from "node:process";
import { Channel, ChannelConnectionError, ChannelError, Connection, serve } from "../mod.ts";
import { connectionsRest, numbers, rejection, until, within } from "./conformance/fixture.ts";
import { noControl } from "./support/conditions.ts";
import { controlFromEnv } from "./support/control.ts";
import { test } from "./support/test.ts";
import { addUser, leastFor } from "./support/users.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");

/** Connects to the broker without the library. */
async function rawClient(): Promise<AMQPClient> {
  const url = new URL(broker);
  url.username ||= "guest";
  url.password ||= "guest";
  const client = new AMQPClient(url.href);
  await client.connect();
  return client;
}

/** Records the announcements about anonymous channels that all connections of the broker get. */
async function recordAnnouncements(
  client: AMQPClient,
): Promise<{ announcements(): Promise<string[]> }> {
  const channel = await client.channel();
  const { name } = await channel.queueDeclare("", { exclusive: true });
  await channel.queueBind(name, "amq.direct", "channelts.anonymous");
  return {
    async announcements() {
      const all: string[] = [];
      for (let message; (message = await channel.basicGet(name, { noAck: true })) !== null;) {
        all.push(message.bodyString()!);
      }
      return all;
    },
  };
}

Deno.test("requests: a late reply is announced to nobody, and a cancellation once", async () => {
  const client = await rawClient();
  const { announcements } = await recordAnnouncements(client);
  const name = `test ${crypto.randomUUID()}`;
  const [requester, server] = [new Connection(broker), new Connection(broker)];
  const asking = new Channel<string>({ name, connection: requester });
  const answering = new Channel<string>({ name, connection: server });
  const replies: Channel[] = [];
  const begun: string[] = [];
  const aborted: string[] = [];
  const answers = new Map<string, () => void>();
  const stop = new AbortController();
  const serving = serve(answering, async (what, { signal }) => {
    begun.push(what);
    await new Promise<void>((resolve) => {
      answers.set(what, resolve);
      signal.addEventListener("abort", () => {
        aborted.push(what);
        resolve();
      });
    });
    return what;
  }, { concurrency: 4, signal: stop.signal });
  const slow = asking.request("slow");
  await until(() => begun.includes("slow"));
  const other = asking.request("other");
  await until(() => begun.includes("other"));
  await until(() => requester.stats.gets === 2); // it has been notified of the start of both
  answers.get("slow")!();
  answers.get("other")!();
  assert.deepEqual(await within(Promise.all([slow, other])), ["slow", "other"]);
  assert.deepEqual(await announcements(), []);

  // Cancels one while another waits, and then the last one.
  const [first, last] = [new AbortController(), new AbortController()];
  const given = asking.request("first", { signal: first.signal }).catch(() => {});
  const lasting = asking.request("last", { signal: last.signal }).catch(() => {});
  await until(() => requester.stats.gets === 6); // two replies, and the start of these two
  first.abort();
  await given;
  await until(() => aborted.includes("first"));
  last.abort();
  await lasting;
  await until(() => aborted.includes("last"));
  const reported: string[] = [];
  await until(async () => reported.push(...await announcements()) >= 3);
  assert.match(reported.join(" "), /^{"cancel":\d+} {"gone":true} delete$/);
  stop.abort();
  await within(serving);

  // Flooding a reply channel with such messages causes no announcements.
  const pending = asking.request("flooded", { timeout: 10_000 });
  const flooded = await within(answering.get()) as unknown as { id: number; reply_to: Channel };
  replies.push(flooded.reply_to);
  for (const n of numbers(300)) await flooded.reply_to.put({ id: flooded.id - n, begun: true });
  await flooded.reply_to.put({ id: flooded.id, value: "answered" });
  assert.equal(await within(pending), "answered");
  assert.deepEqual(await announcements(), []);

  await Promise.all(replies.map((reply) => reply.close()));
  await asking.delete();
  await Promise.all([asking.close(), answering.close()]);
  await client.close();
  await connectionsRest();
});

Deno.test("requests: a reply to a queue creates no exchange, and one to another's exclusive queue is rejected once", async () => {
  const client = await rawClient();
  const channel = await client.channel();
  const name = `test ${crypto.randomUUID()}`;
  const [queue, exclusive] = [`${name} queue`, `${name} exclusive`];
  await channel.queueDeclare(queue, { durable: true });
  await channel.queueDeclare(exclusive, { exclusive: true });
  const ch = new Channel<unknown>({ name, connection: broker });
  const reported: unknown[][] = [];
  let runs = 0;
  const start = (replyTimeout?: number) => {
    const stop = new AbortController();
    const serving = serve(ch, () => ++runs, {
      signal: stop.signal,
      onerror: (...all) => void reported.push(all),
      ...replyTimeout === undefined ? {} : { replyTimeout },
    });
    return async () => {
      stop.abort();
      await within(serving);
    };
  };
  const [plain, locked] = [queue, exclusive].map((name) =>
    new Channel({ name, connection: broker })
  );
  const stopShort = start(500); // a reply to a locked queue is retried
  await ch.put({ id: 1, value: "locked", reply_to: locked });
  await until(() => reported.length === 1);
  await stopShort();
  const [error, request] = reported[0]!;
  assert.equal((error as ChannelConnectionError).name, "ChannelConnectionError");
  assert.equal(request, "locked");
  const stop = start();
  await ch.put({ id: 1, value: "plain", reply_to: plain });
  let message: Awaited<ReturnType<typeof channel.basicGet>> = null;
  await until(async () => (message = await channel.basicGet(queue, { noAck: true })) !== null);
  assert.equal(message!.properties.contentType, "application/cbor");
  assert.equal(runs, 2);
  await stop();
  assert.equal(await ch.depth(), 0);
  const probe = await client.channel();
  probe.onerror = () => {};
  await assert.rejects(probe.exchangeDeclare(queue, "fanout", { passive: true }), /404/);
  await channel.queueDelete(queue);
  await ch.delete();
  await Promise.all([ch.close(), plain!.close(), locked!.close()]);
  await client.close();
  await connectionsRest();
});

const control = controlFromEnv();

test(
  "requests: for a user without permission for dead letters, receive rejects, and other values are received",
  { skip: noControl },
  async () => {
    const name = `test ${crypto.randomUUID()}`;
    const user = await addUser(control!, broker, leastFor(name));
    const connection = new Connection(user.uri);
    const ch = new Channel<unknown>({ name, connection, maxAttempts: 1, retryTimeout: 500 });
    await ch.put("poison");
    (await ch.receive()).release();
    const { cause } = await rejection(ch.receive(), ChannelError);
    assert.ok(cause instanceof ChannelConnectionError, String(cause));
    assert.match(cause.message, /ACCESS_REFUSED - .*dead-letters' .* \(403\)/);
    const { redeliveries } = connection.stats;
    const waiting = rejection(ch.receive(), ChannelError);
    await waiting;
    // The same message was redelivered with pauses: once for each try.
    assert.ok(
      connection.stats.redeliveries - redeliveries <= 2,
      "the message was redelivered without a pause",
    );
    await ch.put("good");
    const good = await within(ch.receive());
    assert.equal(good.value, "good");
    good.accept();
    await ch.close();
    const all = new Channel({ name, connection: broker });
    assert.equal(await all.depth(), 1);
    await all.delete();
    await all.close();
    await user[Symbol.asyncDispose]();
    await connectionsRest();
  },
);

for (const how of ["throws", "rejects"] as const) {
  Deno.test(`requests: a serve whose onerror ${how} continues, and the logger is called`, async () => {
    const logged: string[] = [];
    const logger = { error: (message: string) => void logged.push(message) };
    const connection = new Connection("memory:onerror", { logger });
    const ch = new Channel<unknown>({ name: "asked", connection });
    const serving = serve(ch, (value) => value, {
      onerror: () => {
        if (how === "throws") throw new RangeError("of its own");
        return Promise.reject(new RangeError("of its own"));
      },
    });
    await ch.put("no request");
    assert.equal(await within(ch.request("served")), "served");
    assert.equal(logged.length, 1);
    assert.match(logged[0]!, /^ChannelTS: serve: channel asked on memory:onerror: .*of its own$/);
    await ch.closeAll();
    await within(serving);
    await ch.close();
  });
}

Deno.test("requests: without onerror the logger is called, but not for a cancelled request", async () => {
  const logged: string[] = [];
  const logger = { error: (message: string) => void logged.push(message) };
  const connection = new Connection("memory:unanswered", { logger });
  const ch = new Channel<unknown>({ name: "asked", connection });
  const gone = await ch.request("nobody answers", { timeout: 10 }).catch((error) => error) as Error;
  assert.equal(gone.name, "ChannelTimeoutError");
  await ch.put({ id: 1, value: 1, reply_to: new Channel({ name: "missing", connection }) });
  const serving = serve(ch, (value) => value);
  assert.equal(await within(ch.request("served")), "served");
  await until(() => logged.length === 1);
  assert.match(logged[0]!, /asked on memory:unanswered.*ChannelClosedError.*missing/);
  await ch.closeAll();
  await within(serving);
  await ch.close();
});

Deno.test("requests: serve continues while dead letters cannot be put, and reports each failure once", async () => {
  const connection = new Connection("memory:serving-dead-letters");
  const about = { name: "asked", connection, maxAttempts: 1, retryTimeout: 0 };
  const ch = new Channel<unknown>(about);
  const dead = new Channel<unknown>({ name: "asked.dead-letters", connection });
  await dead.put(0);
  await dead.closeAll({ drain: true });
  const reported: unknown[] = [];
  const serving = serve(ch, (value) => value, { onerror: (error) => void reported.push(error) });
  await ch.put("no request");
  await until(() => reported.length >= 3);
  assert.equal(await within(ch.request("served")), "served");
  const [refused, notDeadLettered] = reported as Error[];
  assert.match(refused!.message, /is no request/);
  assert.match(notDeadLettered!.message, /asked\.dead-letters/);
  await ch.closeAll();
  await within(serving);
  await ch.close();
  await dead.delete();
  await dead.close();
});
