/** Operations for which the broker ends the whole connection. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import process from "node:process";
import { Channel, ChannelClosedError, ChannelConnectionError, Connection } from "../mod.ts";
import {
  connectionsRest,
  getAll,
  numbers,
  rejection,
  until,
  within,
} from "./conformance/fixture.ts";
import { Client } from "../src/transports/amqp/connection/client.ts";
import { parseAmqpUri } from "../src/transports/amqp/uri.ts";
import { noControl } from "./support/conditions.ts";
import { controlFromEnv } from "./support/control.ts";
import { evalErlang, evalJson } from "./support/erlang.ts";
import { startGateway } from "./support/gateway.ts";
import { withRaw } from "./support/raw.ts";
import { test } from "./support/test.ts";
import { addUser, addVhost, leastFor } from "./support/users.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");
const control = controlFromEnv()!;

/** The resources of a test, which are released after it. */
class Context {
  readonly #channels: Channel[] = [];

  channel<T>(name: string, connection: Connection | string, retryTimeout = 10_000): Channel<T> {
    const ch = new Channel<T>({ name, connection, retryTimeout });
    this.#channels.push(ch as Channel);
    return ch;
  }

  async close(): Promise<void> {
    await Promise.all(this.#channels.map((ch) => ch.close()));
    await connectionsRest();
  }
}

/** Whether the broker keeps its queues in Mnesia tables, as RabbitMQ before 4.3 does by default. */
const hasTables = control !== undefined &&
  await evalJson<boolean>(
    control,
    "mnesia:system_info(is_running) =:= yes andalso lists:member(rabbit_queue, mnesia:system_info(tables))",
  );

/** Leaves a queue at the broker whose type has no code, so that every operation on it crashes. */
async function breakQueue(name: string): Promise<void> {
  const model = `test ${randomUUID()}`;
  await withRaw(broker, async (channel) => {
    await channel.queueDeclare(model, { durable: true });
    await evalErlang(
      control,
      `[Q] = mnesia:dirty_read(rabbit_queue, ${resource(model)}), ` +
        `mnesia:dirty_write(rabbit_queue, setelement(2, setelement(20, Q, no_such_type), ${
          resource(name)
        }))`,
    );
    await channel.queueDelete(model);
  });
}

function resource(queue: string): string {
  return `{resource, <<"/">>, queue, <<"${queue}">>}`;
}

/** Declares a test of a broker that the tests control. */
function brokerTest(
  title: string,
  body: (context: Context) => Promise<void>,
  skip: string | false = noControl,
): void {
  test(`ended connections: ${title}`, { skip }, async () => {
    const context = new Context();
    try {
      await body(context);
    } finally {
      await context.close();
    }
  });
}

/** A connection, the reasons of its losses, and how often it was restored. */
interface Watched {
  readonly connection: Connection;
  readonly losses: string[];
  returns: number;
}

function watched(uri: string): Watched {
  const losses: string[] = [];
  const connection = new Connection(uri, {
    ondisconnect: (error) => losses.push(error.message),
    onreconnect: () => watch.returns++,
  });
  const watch: Watched = { connection, losses, returns: 0 };
  return watch;
}

/**
 * Puts and gets values one after the other until it is stopped; the returned function resolves with how many arrived.
 */
function traffic(context: Context, connection: Connection, name: string): () => Promise<number> {
  const ch = context.channel<number>(name, connection);
  let isOver = false;
  const working = (async () => {
    let n = 0;
    for (; !isOver; n++) {
      await ch.put(n);
      assert.equal(await ch.get({ timeout: 20_000 }), n);
    }
    return n;
  })();
  working.catch(() => {}); // awaited below
  return async () => {
    isOver = true;
    const count = await within(working);
    await ch.delete();
    return count;
  };
}

/** Creates a channel's closed marker as a quorum queue, of which RabbitMQ rejects a delete with if-empty. */
async function markQuorum(uri: string, name: string): Promise<void> {
  await withRaw(uri, async (channel) => {
    const marker = `${name}.closed.channelts`;
    await channel.queueDeclare(marker, { durable: true }, { "x-queue-type": "quorum" });
  });
}

brokerTest(
  "an operation on a channel that cannot be attached rejects with the reason, and others on the connection continue",
  async (context) => {
    const name = `test ${randomUUID()}`;
    await markQuorum(broker, name);
    const { connection, losses } = watched(broker);
    const stop = traffic(context, connection, `beside ${name}`);
    const waiting = context.channel<string>(`waiting ${name}`, connection);
    const got = waiting.get();
    await waiting.depth();
    const ch = context.channel(name, connection);
    const errors = [
      rejection(ch.get(), ChannelConnectionError),
      rejection(ch.put(1), ChannelConnectionError),
      rejection(ch.depth(), ChannelConnectionError),
    ];
    for (const error of await within(Promise.all(errors))) {
      assert.match(error.message, /lost [23] times .*NOT_IMPLEMENTED.* \(540\)/);
      assert.match(String(error.cause), /\(540\)/);
    }
    assert.ok(losses.length <= 3, `${losses.length} losses: ${losses.join("\n")}`);
    for (const loss of losses) assert.match(loss, /\(540\)$/);
    const before = losses.length;
    await rejection(ch.put(2), ChannelConnectionError); // the failure is found again, after one attempt
    assert.ok(losses.length === before + 1, `${losses.length} losses, ${before} before`);
    await waiting.put("later");
    assert.equal(await within(got), "later");
    assert.ok(await stop() > 0);
    await waiting.delete();
    await withRaw(broker, async (channel) => {
      await channel.queueDelete(`${name}.closed.channelts`);
      await channel.queueDelete(name);
      await channel.exchangeDelete(name);
    });
  },
);

brokerTest(
  "an operation that crashes the broker's channel is rejected after retries with pauses for retryTimeout",
  async (context) => {
    const [name, other] = [`test ${randomUUID()}`, `test ${randomUUID()}`];
    await breakQueue(name);
    const { connection, losses } = watched(broker);
    const stop = traffic(context, connection, other);
    const ch = context.channel(name, connection, 1000);
    const begun = performance.now();
    const error = await within(rejection(ch.depth(), ChannelConnectionError));
    assert.match(error.message, /INTERNAL_ERROR \(541\)/);
    const took = performance.now() - begun;
    assert.ok(took < 8000, `it took ${took} ms`);
    // A machine that is busy for a second leaves no time for retries.
    assert.ok(took > 2000 || losses.length >= 2, `${losses.length} losses`);
    assert.ok(losses.length < 12, `${losses.length} losses`);
    for (const loss of losses) assert.match(loss, /\(541\)$/);
    assert.ok(await stop() > 0);
    await evalErlang(control, `mnesia:dirty_delete(rabbit_queue, ${resource(name)})`);
  },
  noControl || !hasTables && "the broker does not keep its queues in Mnesia tables",
);

brokerTest("a user's limit on AMQP channels is respected: they are shared", async (context) => {
  await using user = await addUser(control, broker, { configure: ".*", write: ".*", read: ".*" });
  await user.limit({ "max-channels": 6 });
  const { connection, losses } = watched(user.uri);
  const names = numbers(9).map((n) => `test ${n} ${randomUUID()}`);
  const channels = names.map((name) => context.channel<number>(name, connection));
  const gets = channels.map((ch) => ch.get());
  const direct = names.map((name) => context.channel<number>(name, broker));
  await Promise.all(direct.map((ch, n) => ch.put(n)));
  assert.deepEqual(await within(Promise.all(gets)), numbers(9));
  assert.ok(losses.length <= 3, losses.join("\n"));
  for (const loss of losses) assert.match(loss, /number of channels.* \(530\)$/);
  await Promise.all(direct.map((ch) => ch.delete()));
});

brokerTest(
  "operations reject with the limit if it leaves too few AMQP channels",
  async (context) => {
    await using user = await addUser(control, broker, { configure: ".*", write: ".*", read: ".*" });
    const limited = `rabbit_auth_backend_internal:is_over_channel_limit(<<"${user.name}">>)`;
    for (const most of [2, 5]) {
      await user.limit({ "max-channels": most });
      const { connection, losses } = watched(user.uri);
      const ch = context.channel<number>(`test ${randomUUID()}`, connection, 500);
      await withRaw(user.uri, async (_, client) => {
        for (let n = 1; n < most; n++) await client.channel();
        // RabbitMQ counts a moment later.
        await until(async () => await evalJson<boolean>(control, `${limited} =/= false`));
        const error = await within(rejection(ch.put(1), ChannelConnectionError));
        assert.match(error.message, new RegExp(`limit of ${most} AMQP channels, and .* needs 4; `));
        assert.equal(error.reason, "limit");
        assert.equal(error.transient, most > 4);
      });
      assert.deepEqual(losses, []);
    }
  },
);

brokerTest(
  "a connection that is repeatedly lost soon after connecting is restored with growing pauses",
  async (context) => {
    await using gateway = await startGateway(broker);
    const watch = watched(gateway.uri);
    const { connection, losses } = watch;
    const ch = context.channel(`test ${randomUUID()}`, connection);
    await ch.depth();
    const waiting = rejection(ch.get(), ChannelClosedError);
    const start = performance.now();
    while (losses.length < 8) {
      const { returns } = watch;
      gateway.cut();
      gateway.open();
      await until(() => watch.returns > returns);
    }
    const took = performance.now() - start;
    assert.ok(took > 1500, `8 losses in ${took} ms`); // the pauses alone take 1.7 s to 3.6 s
    await within(ch.delete());
    await waiting;
  },
);

/** Starts a proxy before the broker that ends each connection over which more than `most` bytes arrive at once. */
async function startStrictProxy(most: number): Promise<AsyncDisposable & { readonly uri: string }> {
  const { hostname, port } = new URL(broker);
  const server = createServer((client) => {
    const upstream = connect(Number(port || 5672), hostname);
    let bytes = 0;
    const timers = new Set<ReturnType<typeof setTimeout>>();
    client.on("close", () => timers.forEach(clearTimeout));
    client.on("data", (chunk) => {
      const timer = setTimeout(() => {
        timers.delete(timer);
        bytes -= chunk.length;
      }, 20);
      timers.add(timer);
      if ((bytes += chunk.length) > most) client.destroy();
      else upstream.write(chunk);
    });
    upstream.on("data", (chunk) => client.write(chunk));
    for (const [one, other] of [[client, upstream], [upstream, client]] as const) {
      one.on("error", () => {}); // followed by "close"
      one.on("close", () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    uri: `amqp://guest:guest@127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

brokerTest(
  "a put for which a proxy ends the connection is rejected, and other puts continue",
  async (context) => {
    await using proxy = await startStrictProxy(200_000);
    const { connection, losses } = watched(proxy.uri);
    const ch = context.channel<unknown>(`test ${randomUUID()}`, connection, 6000);
    await ch.depth();
    const first = ch.put(0);
    const large = rejection(ch.put(new Uint8Array(400_000)), ChannelConnectionError);
    const others = numbers(5, 1).map((n) => ch.put(n));
    const error = await within(large);
    assert.match(error.message, /the connection was lost \d+ times meanwhile, .*unknown outcome/);
    assert.equal((error.value as Uint8Array).length, 400_000);
    await within(Promise.all([first, ...others]));
    assert.ok(losses.length >= 8 && losses.length < 20, `${losses.length} losses`);
    assert.deepEqual(await getAll(ch, 6), numbers(6));
    await ch.delete();
  },
);

brokerTest(
  "a drained channel on a vhost of quorum queues is closed for later handles",
  async (context) => {
    await using vhost = await addVhost(control, broker, "quorum");
    const name = `test ${randomUUID()}`;
    const { connection, losses } = watched(vhost.uri);
    const ch = context.channel<number>(name, connection);
    await Promise.all(numbers(3).map((n) => ch.put(n)));
    await ch.closeAll({ drain: true });
    const late = watched(vhost.uri);
    const other = context.channel<number>(name, late.connection);
    assert.deepEqual(await getAll(other, 3), numbers(3));
    await within(rejection(other.get(), ChannelClosedError, { reason: "drain" }));
    await rejection(other.put(1), ChannelClosedError, { reason: "drain" });
    await other.delete();
    assert.deepEqual([...losses, ...late.losses], []);
  },
);

brokerTest(
  "a user with permissions on one channel only can put, get, and notices its end",
  async (context) => {
    const name = `test ${randomUUID()}`;
    await using user = await addUser(control, broker, leastFor(name));
    const [a, b] = [watched(user.uri), watched(user.uri)];
    const one = context.channel<number>(name, a.connection);
    const two = context.channel<number>(name, b.connection);
    const got = two.get();
    await one.put(1);
    assert.equal(await within(got), 1);
    const over = rejection(two.get(), ChannelClosedError);
    await one.closeAll();
    await within(over);
    await context.channel(name, b.connection).delete();
    assert.deepEqual([...a.losses, ...b.losses], []);
  },
);

Deno.test("a publication on a connection that has just ended rejects, and leaves no other rejection", async () => {
  const uri = parseAmqpUri(broker);
  const client = new Client(uri, uri.endpoints[0]!);
  await client.connect();
  const channel = await client.channel();
  await channel.confirmSelect();
  const closed = once(client.socket!, "close");
  client.destroy();
  await assert.rejects(
    channel.basicPublish("", "nowhere", new Uint8Array()),
    /the connection is closed/,
  );
  await closed; // a rejection that nobody handles fails the test
});
