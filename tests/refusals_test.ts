/** Rejections by the broker are classified, each with advice. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Channel, ChannelClosedError, ChannelConnectionError, Connection } from "../mod.ts";
import { type Method, readRefusal } from "../src/transports/amqp/connection/refusal.ts";
import {
  connectionsRest,
  getAll,
  numbers,
  rejection,
  until,
  within,
} from "./conformance/fixture.ts";
import { noControl } from "./support/conditions.ts";
import { controlFromEnv } from "./support/control.ts";
import { evalErlang, evalJson } from "./support/erlang.ts";
import { startGateway } from "./support/gateway.ts";
import { withRaw } from "./support/raw.ts";
import { test } from "./support/test.ts";
import { addUser, addVhost, leastFor, type Permissions } from "./support/users.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");
const control = controlFromEnv()!;

/** Texts of RabbitMQ 3.10.8, 4.0.5 and 4.3.6 where they differ in substance, with their expected classification. */
const words: [text: string, code: number, expected: string, advice: RegExp, method?: Method][] = [
  [
    "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost 'v' (2) is reached",
    406,
    "limit, later",
    /^vhost v has reached the limit of 2 queues; delete some, or raise max-queues of the vhost$/,
  ],
  [
    "PRECONDITION_FAILED - cannot declare queue 'amq.gen-1': queue limit in vhost 'v' (0) is reached",
    406,
    "limit, never",
    /^vhost v has reached the limit of 0 queues; raise max-queues of the vhost$/,
  ],
  [
    `PRECONDITION_FAILED - cannot declare queue '${"n".repeat(200)}': queue limit in vh...`,
    406,
    "limit, later",
    /has reached the limit on queues; delete some/,
  ],
  [
    "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in cluster (9) is reached",
    406,
    "limit, later",
    /the cluster .* 9 queues; .* cluster_queue_limit$/,
  ],
  [
    "PRECONDITION_FAILED - cannot declare exchange 'x' in vhost '/': exchange limit of 9 is reached",
    406,
    "limit, later",
    /the cluster .* 9 exchanges; .* cluster_exchange_limit$/,
  ],
  [
    "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (1) is reached",
    530,
    "limit, later",
    /^vhost v has reached the limit of 1 connections; close some, or raise max-connections of the vhost$/,
  ],
  [
    "NOT_ALLOWED - connection refused for user 'u': user connection limit (1) is reached",
    530,
    "limit, later",
    /^user u has reached .* raise max-connections of the user$/,
  ],
  [
    "NOT_ALLOWED - connection refused: node connection limit (1) is reached",
    530,
    "limit, later",
    /^the broker's node has reached .* raise its connection_max$/,
  ],
  // 3.10
  [
    "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of (9)",
    530,
    "limit, later",
    /^the user has reached the limit of 9 AMQP channels, and a connection needs 4; close some, or raise max-channels/,
  ],
  // 4.0 names the node.
  [
    "NOT_ALLOWED - number of channels opened for user 'n@localhost' has reached the maximum allowed user limit of (3)",
    530,
    "limit, never",
    /^the user has reached the limit of 3 AMQP channels, and a connection needs 4; raise max-channels/,
  ],
  // 4.3
  [
    "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of 9",
    530,
    "limit, later",
    /^the user has reached the limit of 9 AMQP channels/,
  ],
  [
    "NOT_ALLOWED - number of channels opened on node 'n' has reached the maximum allowed limit of (9)",
    530,
    "limit, later",
    /^the broker's node .* channel_max_per_node$/,
  ],
  ["NOT_ALLOWED - vhost v not found", 530, "missing, never", /^vhost v does not exist; /],
  [
    "NOT_ALLOWED - access to vhost 'v' refused for user 'u'",
    530,
    "permission, never",
    /^user u may not use vhost v; /,
  ],
  [
    "INTERNAL_ERROR - access to vhost 'v' refused for user 'u': vhost 'v' is down",
    541,
    "unavailable, soon",
    /^vhost v is down; /,
  ],
  ["INTERNAL_ERROR", 541, "internal, soon", /see the broker.s log/],
  // Before 4, the text does not name the permission.
  [
    "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'",
    403,
    "permission, never",
    /^user u lacks the permission "read" for queue q; its pattern must match q /,
    "60.70",
  ],
  [
    "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'u'",
    403,
    "permission, never",
    /lacks the permission "write" for exchange amq\.default; /,
  ],
  [
    "ACCESS_REFUSED - configure access to queue 'amq.gen-1' in vhost '/' refused for user 'u'",
    403,
    "permission, never",
    /"configure" for queue amq\.gen-\.\*, which every connection needs; its pattern must match amq\.gen-\.\* /,
  ],
  [
    `ACCESS_REFUSED - write access to exchange '${"n".repeat(200)}' in v...`,
    403,
    "permission, never",
    /lacks the permission "write" for exchange n+; /,
  ],
  [
    "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u', backend rabbit_auth_backend_http " +
    "returned an error: timeout",
    403,
    "unavailable, soon",
    /^$/,
  ],
  [
    "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
    403,
    "conflict, later",
    /another program .* use another name/,
  ],
  [
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally " +
    "declared on another connection or the exclusive property value does not match that of the original decla...",
    405,
    "conflict, later",
    /exclusive to another connection; /,
  ],
  [
    "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
    406,
    "conflict, never",
    /^queue 'q' exists with another durable, 'false'; delete it, or use another name$/,
  ],
  [
    "NOT_IMPLEMENTED - basic.get not supported by stream queues queue 's' in vhost '/'",
    540,
    "conflict, never",
    /of a type that cannot be a channel; use another name/,
  ],
  ["NOT_FOUND - no queue 'q' in vhost '/'", 404, "missing, never", /^$/],
  [
    "NOT_FOUND - home node 'n' of durable queue 'q' in vhost '/' is down or inaccessible",
    404,
    "unavailable, soon",
    /node is down; start it again/,
  ],
  [
    "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor",
    404,
    "unavailable, soon",
    /see the broker.s log/,
  ],
  [
    "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/': its leader <0.1.0> may be stopping or being demoted",
    404,
    "unavailable, soon",
    /^$/,
  ],
];

Deno.test("refusals: the texts of each version are classified", () => {
  for (const [text, code, expected, advice, method] of words) {
    const error = `channel 3 closed: ${text} (${code})`;
    const refusal = readRefusal(code, error, method);
    const when = refusal.mayPass ? "soon" : refusal.isTransient ? "later" : "never";
    assert.equal(`${refusal.reason}, ${when}`, expected, text);
    assert.match(refusal.advice ?? "", advice, text);
  }
});

/** Declares a test of a broker that the tests control. Its channels are closed at its end. */
function refusalTest(title: string, body: (open: Open) => Promise<void>): void {
  test(`refusals: ${title}`, { skip: noControl }, async () => {
    const channels: Channel<number>[] = [];
    try {
      await body((name, connection, retryTimeout = 300) => {
        const ch = new Channel<number>({ name, connection, retryTimeout });
        channels.push(ch);
        return ch;
      });
    } finally {
      await Promise.all(channels.map((ch) => ch.close()));
      await connectionsRest();
    }
  });
}

type Open = (
  name: string,
  connection: Connection | string,
  retryTimeout?: number,
) => Channel<number>;

/** Asserts the error that an operation rejects with. */
async function refused(
  operation: Promise<unknown>,
  reason: ChannelConnectionError["reason"],
  message: RegExp,
  transient: boolean,
): Promise<void> {
  const error = await within(rejection(operation, ChannelConnectionError));
  assert.match(error.message, message);
  assert.equal(error.reason, reason, error.message);
  assert.equal(error.transient, transient, error.message);
}

const everything: Permissions = { configure: ".*", write: ".*", read: ".*" };

refusalTest("the limits of a vhost and of a user are distinguished", async (open) => {
  await using vhost = await addVhost(control, broker);
  const name = `test ${randomUUID()}`;
  await vhost.limit({ "max-queues": 0 });
  await refused(open(name, vhost.uri).put(1), "limit", /limit of 0 queues/, false);
  await vhost.limit({ "max-queues": 1 });
  await refused(open(name, vhost.uri).put(1), "limit", /limit of 1 queues; delete some/, true);
  await connectionsRest();
  await vhost.limit({ "max-connections": 0 });
  await refused(open(name, vhost.uri).put(1), "limit", /vhost .* limit of 0 connections/, false);
  await using user = await addUser(control, broker, everything);
  await user.limit({ "max-connections": 0 });
  await refused(open(name, user.uri).put(1), "limit", /user .* limit of 0 connections/, false);
});

refusalTest("an error names the missing permission and what it is for", async (open) => {
  const name = `test ${randomUUID()}`;
  const direct = open(name, broker);
  await direct.put(1);
  const all = leastFor(name);
  const none = leastFor();
  const without = (permission: keyof Permissions, part: string) => ({
    ...all,
    [permission]: all[permission].replace(part, ""),
  });
  const get = (ch: Channel<number>) => ch.get({ timeout: 20_000 });
  const cases: [Permissions, (ch: Channel<number>) => Promise<unknown>, string][] = [
    [without("configure", "amq\\.gen-.*|"), get, '"configure" for queue amq.gen-.*, which every'],
    [without("write", "amq\\.gen-.*|"), get, '"write" for queue amq.gen-.*, which every'],
    [without("read", "amq\\.gen-.*|"), get, '"read" for queue amq.gen-.*, which every'],
    [without("read", "|amq\\.direct"), get, '"read" for exchange amq.direct, which every'],
    [without("write", "|amq\\.default"), (ch) => ch.put(2), '"write" for exchange amq.default;'],
    [{ ...all, read: none.read }, get, `"read" for exchange ${name};`],
    [{ ...all, write: none.write }, (ch) => ch.closeAll(), `"write" for exchange ${name};`],
    [{ ...all, configure: none.configure }, (ch) => ch.delete(), `"configure" for queue ${name};`],
  ];
  await using user = await addUser(control, broker, all);
  for (const [permissions, operation, lack] of cases) {
    await user.permit(permissions);
    const ch = open(name, user.uri);
    const pattern = new RegExp(`lacks the permission ${lack.replaceAll(/[.*]/g, "\\$&")}`);
    await refused(operation(ch), "permission", pattern, false);
    await ch.close();
    await connectionsRest(1); // an AMQP channel caches permissions
  }
  await direct.delete();
});

refusalTest("a user who may not log in, or not use the vhost, gets the reason", async (open) => {
  await using user = await addUser(control, broker, everything);
  await using vhost = await addVhost(control, broker);
  const url = new URL(user.uri);
  url.password = "wrong";
  await refused(open("any", url.href).put(1), "login", /check user name and password/, false);
  url.password = new URL(user.uri).password;
  url.pathname = new URL(vhost.uri).pathname;
  await refused(open("any", url.href).put(1), "permission", /user .* may not use vhost/, false);
  url.pathname = "/no-such-vhost";
  await refused(open("any", url.href).put(1), "missing", /no-such-vhost does not exist/, false);
});

refusalTest("a vhost that is down is distinguished from a broker that is down", async (open) => {
  await using vhost = await addVhost(control, broker);
  const name = new URL(vhost.uri).pathname.slice(1);
  await evalErlang(control, `rabbit_vhost_sup_sup:delete_on_all_nodes(<<"${name}">>)`);
  await refused(open("any", vhost.uri).put(1), "unavailable", /vhost .* is down; /, true);
});

refusalTest("a queue that belongs to another connection is reported", async (open) => {
  const name = `test ${randomUUID()}`;
  await withRaw(broker, async (channel) => {
    await channel.queueDeclare(name, { exclusive: true });
    await refused(open(name, broker).put(1), "conflict", /exclusive to another connection/, true);
  });
  await withRaw(broker, async (channel) => {
    await channel.exchangeDelete(name);
  });
});

refusalTest("a broker that allows too few AMQP channels is reported at once", async (open) => {
  const before = await evalJson<number>(
    control,
    "element(2, application:get_env(rabbit, channel_max))",
  );
  const set = (most: number) =>
    evalErlang(control, `application:set_env(rabbit, channel_max, ${most})`);
  try {
    for (const most of [2, 3]) {
      await set(most);
      const words = new RegExp(
        `allows ${most} AMQP channels .* 4 are needed; raise its channel_max`,
      );
      await refused(open("any", broker, 10_000).put(1), "limit", words, false);
      await connectionsRest();
    }
    await set(4);
    const channels = numbers(6).map(() => open(`test ${randomUUID()}`, broker));
    const gets = channels.map((ch) => ch.get());
    await Promise.all(channels.map((ch, n) => ch.put(n)));
    assert.deepEqual(await within(Promise.all(gets)), numbers(6));
    await Promise.all(channels.map((ch) => ch.delete()));
  } finally {
    await set(before);
  }
});

refusalTest(
  "if a user may have few AMQP channels, those that the broker closes are replaced without a loss",
  async (open) => {
    const names = numbers(8).map(() => `test ${randomUUID()}`);
    await withRaw(broker, async (channel) => {
      // Attaching closes one AMQP channel for each.
      const declared = names.map((name) =>
        channel.queueDeclare(name, { durable: true }, { "x-max-length": 100 })
      );
      await Promise.all(declared);
    });
    await using user = await addUser(control, broker, everything);
    await user.limit({ "max-channels": 4 });
    const losses: string[] = [];
    const connection = new Connection(user.uri, {
      ondisconnect: ({ message }) => losses.push(message),
    });
    const channels = names.map((name) => open(name, connection, 10_000));
    await within(Promise.all(channels.map((ch, n) => ch.put(n))));
    assert.deepEqual(await within(Promise.all(channels.map((ch) => ch.get()))), numbers(8));
    assert.ok(losses.length <= 1, losses.join("\n"));
    await Promise.all(channels.map((ch) => ch.delete()));
  },
);

refusalTest(
  "a stream cannot be a channel, which is reported before anything is put",
  async (open) => {
    const name = `test ${randomUUID()}`;
    await withRaw(broker, async (channel) => {
      await channel.queueDeclare(name, { durable: true }, { "x-queue-type": "stream" });
      const words =
        /queue '.*' exists with another x-queue-type, 'stream'; delete it, or use another/;
      await refused(open(name, broker).put(1), "conflict", words, false);
      assert.equal((await channel.queueDelete(name)).messageCount, 0);
    });
    await withRaw(broker, async (channel) => {
      await channel.exchangeDelete(name);
    });
  },
);

refusalTest(
  "a text that is truncated after a long name still shows that a channel is closed",
  async (open) => {
    const name = `test ${randomUUID()}`.padEnd(230, "n"); // the name of its marker has 247 bytes
    const first = open(name, broker, 10_000);
    await first.put(1);
    await first.closeAll({ drain: true });
    const late = open(name, new Connection(broker), 10_000);
    await within(rejection(late.put(2), ChannelClosedError, { reason: "drain" }));
    assert.equal(await late.get({ timeout: 20_000 }), 1);
    await late.delete();
  },
);

refusalTest(
  "a put in flight when an operator closes the connection is sent again",
  async (open) => {
    await using user = await addUser(control, broker, everything);
    await using gateway = await startGateway(user.uri);
    const ch = open(`test ${randomUUID()}`, gateway.uri, 10_000);
    await ch.put(0);
    const { published } = gateway;
    gateway.hold("toBroker");
    const put = ch.put(1);
    await until(() => gateway.published > published);
    const close = "rabbit_networking:close_all_user_connections";
    await evalErlang(control, `ok = ${close}(<<"${user.name}">>, "maintenance")`);
    await until(() => gateway.connections > 1);
    gateway.release();
    await within(put);
    assert.deepEqual(await getAll(ch, 2), [0, 1]);
    await ch.delete();
  },
);
