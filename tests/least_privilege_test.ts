/** Users without all the permissions that an operation needs: it rejects with the broker's words and does not loop. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Channel, ChannelConnectionError, Connection } from "../mod.ts";
import { connectionsRest, pause, rejection, within } from "./conformance/fixture.ts";
import { noControl } from "./support/conditions.ts";
import { controlFromEnv } from "./support/control.ts";
import { type Gateway, startGateway } from "./support/gateway.ts";
import { rawPut } from "./support/raw.ts";
import { test } from "./support/test.ts";
import { addUser, addVhost, leastFor, type User } from "./support/users.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");
const control = controlFromEnv()!;

interface Context {
  readonly name: string;
  readonly user: User;
  /** The channel for a user with all permissions. */
  readonly direct: Channel<unknown>;
  /** The channel for the limited user, through the gateway. */
  readonly ch: Channel<unknown>;
  readonly gateway: Gateway;
  readonly losses: string[];
}

function userTest(title: string, body: (context: Context) => Promise<void>): void {
  test(`least privilege: ${title}`, { skip: noControl }, async () => {
    const name = `test ${randomUUID()}`;
    await using user = await addUser(control, broker, leastFor(name));
    await using gateway = await startGateway(user.uri);
    const losses: string[] = [];
    const connection = new Connection(gateway.uri, {
      ondisconnect: (error) => losses.push(error.message),
    });
    const direct = new Channel<unknown>({ name, connection: broker });
    const ch = new Channel<unknown>({ name, connection });
    try {
      await direct.depth();
      await body({ name, user, direct, ch, gateway, losses });
      assert.deepEqual(losses, []);
    } finally {
      await ch.close();
      await direct.delete();
      await direct.close();
      await connectionsRest();
    }
  });
}

/** Asserts that almost nothing is sent to the broker while no operation runs. */
async function assertQuiet(gateway: Gateway): Promise<void> {
  await pause(100); // the last requests
  const before = gateway.bytes;
  await pause(500);
  const grown = gateway.bytes - before;
  assert.ok(grown < 1000, `${grown} bytes were sent within 500 ms`);
}

userTest(
  "a user without the configure permission can use an existing channel",
  async ({ user, name, ch, direct }) => {
    await user.permit({ ...leastFor(name), configure: "^amq\\.gen-.*$" });
    await direct.put(1);
    assert.equal(await ch.get({ timeout: 20_000 }), 1);
    await ch.put(2);
    assert.equal(await direct.get({ timeout: 20_000 }), 2);
  },
);

userTest(
  "a user without the configure permission gets an error for a missing channel",
  async ({ user, name, gateway }) => {
    await user.permit({ ...leastFor(name), configure: "^amq\\.gen-.*$" });
    const other = new Channel({ name: `missing ${name}`, connection: gateway.uri });
    const error = await within(rejection(other.put(1), ChannelConnectionError));
    assert.match(error.message, /lacks the permission "configure" for queue missing .* \(403\)/);
    await assertQuiet(gateway);
    await other.close();
  },
);

userTest(
  "a user without the read permission gets an error at once",
  async ({ user, name, ch, gateway, direct }) => {
    await ch.put(1);
    const { read } = leastFor();
    await user.permit({ ...leastFor(name), read });
    for (const get of [() => ch.get(), () => ch.get({ timeout: 0 }), () => ch.receive()]) {
      const begun = performance.now();
      const error = await within(rejection(get(), ChannelConnectionError));
      assert.match(error.message, /ACCESS_REFUSED - .* \(403\)/);
      assert.ok(performance.now() - begun < 8000, "it was retried, which takes 10 s");
    }
    await assertQuiet(gateway);
    assert.equal(await direct.depth(), 1);
  },
);

userTest(
  "a user without the write permission gets an error, and others on the connection continue",
  async (context) => {
    const { user, name, ch, gateway, direct } = context;
    const { write } = leastFor(name);
    await user.permit({ ...leastFor(name), write: write.replace("|amq\\.default", "") });
    const got = ch.get({ timeout: 20_000 });
    const errors = [1, 2, 3].map((n) => rejection(ch.put(n), ChannelConnectionError));
    for (const error of await within(Promise.all(errors))) {
      assert.match(error.message, /ACCESS_REFUSED - .* \(403\)/);
    }
    await assertQuiet(gateway);
    await direct.put(0);
    assert.equal(await got, 0);
  },
);

userTest(
  "an error names the permission that every connection needs, and is not retried",
  async ({ user, gateway }) => {
    await user.permit({});
    const other = new Channel({ name: "any", connection: gateway.uri });
    const error = await within(rejection(other.put(1), ChannelConnectionError));
    assert.match(error.message, /lacks the permission "configure" .* amq\.gen-.*\(403\)/);
    assert.doesNotMatch(error.message, /password/);
    await assertQuiet(gateway);
    await other.close();
  },
);

userTest(
  "a user without permission for dead letters cannot attach to them and gets an error",
  async ({ name, gateway }) => {
    const jobs = new Channel<unknown>({ name, connection: gateway.uri, maxAttempts: 1 });
    await rawPut(broker, name, ["poison"]);
    const error = await within(rejection(jobs.deadLetters.depth(), ChannelConnectionError));
    assert.match(error.message, /ACCESS_REFUSED - .*dead-letters' .* \(403\)/);
    await assertQuiet(gateway);
    await jobs.close();
  },
);

test(
  "limits: if a vhost allows no more queues, a channel is neither closed nor considered deleted",
  { skip: noControl },
  async () => {
    await using vhost = await addVhost(control, broker);
    const connection = vhost.uri;
    const name = `test ${randomUUID()}`;
    const ch = new Channel<number>({ name, connection });
    await ch.put(1);
    await vhost.limit({ "max-queues": 2 }); // the channel's queue and the announcement queue
    const words = /queue limit in vhost .* is reached/;
    const other = new Channel({ name: `other ${name}`, connection });
    assert.match((await within(rejection(other.put(1), ChannelConnectionError))).message, words);
    const error = await within(rejection(ch.closeAll({ drain: true }), ChannelConnectionError));
    assert.match(error.message, words);
    await ch.put(2);
    assert.deepEqual([await ch.get(), await ch.get()], [1, 2]);
    await vhost.limit({});
    await ch.put(3);
    await ch.delete();
    const again = new Channel({ name, connection });
    assert.equal(await again.depth(), 0);
    await Promise.all([ch, other, again].map((each) => each.close()));
    await connectionsRest();
  },
);
