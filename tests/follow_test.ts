// The option `follow`: which addresses in messages lead to connections. The brokers of these tests are in memory and
// have addresses of a scheme whose reach is a network.

import assert from "node:assert/strict";
import {
  Channel,
  ChannelConfigError,
  ChannelConnectionError,
  ChannelReferenceError,
  Connection,
  type ConnectionOptions,
  type Follow,
  registerTransport,
  type TransportOptions,
} from "../mod.ts";
import { mostFollowed } from "../src/connection/follow.ts";
import { encode } from "../src/encoding/cbor/mod.ts";
import { configureHome } from "../src/home/configure_home.ts";
import { Home } from "../src/home/home.ts";
import { receptionOf } from "../src/home/reception.ts";
import { MemoryTransport } from "../src/transports/memory/transport.ts";
import type { LinkOptions } from "../src/transports/transport.ts";
import { rejection, within } from "./conformance/fixture.ts";
import { linkOptions, rawOn } from "./support/link.ts";

/** A broker in memory, which notes how often it is asked for a channel. */
class Broker extends MemoryTransport {
  override readonly reach = "network";
  opened = 0;

  override open(...args: [string, LinkOptions]): ReturnType<MemoryTransport["open"]> {
    this.opened++;
    return super.open(...args);
  }
}

const brokers = new Map<string, Broker>();

function brokerAt(address: string): Broker {
  const broker = brokers.get(address) ?? new Broker(address);
  brokers.set(address, broker);
  return broker;
}

/** The addresses and options of the transports that were made. */
const loads: { readonly uri: string; readonly options: TransportOptions | undefined }[] = [];

registerTransport("fake:", {
  reach: "network",
  options: ["username", "password"],
  parse(uri) {
    const [, host, key = ""] = /^fake:\/\/(?:[^@]*@)?([\w.-]+)(\?key=\w+)?$/i.exec(uri) ?? [];
    if (host === undefined) throw new ChannelConfigError("not the URI of a fake");
    return { address: `fake://${host.toLowerCase()}${key}` };
  },
  load(uri, options) {
    loads.push({ uri, options });
    return brokerAt(uri.replace(/\/\/.*@/, "//"));
  },
});

let count = 0;
/** Returns the address of a broker that no test has used. */
const newAddress = () => `fake://host-${++count}`;

class Anything {}

/** A channel that arrives at `connection` and a way to put messages of other programs into it. */
async function inbox(connection: string | Connection) {
  const name = `inbox ${++count}`;
  const ch = new Channel<unknown>({ name, connection });
  await ch.depth();
  const address = typeof connection === "string" ? connection : connection.address;
  const raw = rawOn(await brokerAt(address).open(name, linkOptions));
  return {
    ch,
    /** Puts a reference with these items, and returns what arrives. */
    async arrived(...items: unknown[]): Promise<unknown> {
      const body = encode(new Anything(), { extension: () => ["Channel", ...items] });
      await raw.put({ body, contentType: "application/cbor" });
      return await ch.get();
    },
    async arrivedJson(uri: string): Promise<unknown> {
      const reference = { __channel__: true, name: "x", connection_args: { uri } };
      const body = new TextEncoder().encode(JSON.stringify(reference));
      await raw.put({ body, contentType: "application/json" });
      return await ch.get();
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await raw[Symbol.asyncDispose]();
      await ch.delete();
    },
  };
}

/** Returns a connection whose function notes the addresses that it is asked about. */
function following(answer: Follow): { connection: Connection; asked: string[]; follow: Follow } {
  const asked: string[] = [];
  const follow: Follow = (address) => {
    asked.push(address);
    return answer(address);
  };
  return { connection: new Connection(newAddress(), { follow }), asked, follow };
}

Deno.test("follow: a channel on a broker that is not configured arrives, and is connected to when it is used", async () => {
  const far = newAddress();
  const { connection, asked } = following(() => ({ username: "u", password: "hunter2" }));
  await using box = await inbox(connection);
  const before = loads.length;
  const arrived = await box.arrived("there", far) as Channel<string>;
  assert.deepEqual(asked, [far]);
  assert.equal(loads.length, before);
  assert.equal(brokerAt(far).opened, 0);
  assert.equal(arrived.name, "there");

  await arrived.put("hello");
  assert.deepEqual(loads.slice(before), [{
    uri: far,
    options: { username: "u", password: "hunter2" },
  }]);
  const raw = rawOn(await brokerAt(far).open("there", linkOptions));
  assert.ok(await raw.get());
  await raw[Symbol.asyncDispose]();
  await arrived.delete();
});

Deno.test("follow: a value with channels of three brokers arrives with all of them", async () => {
  const { connection } = following(() => true);
  await using box = await inbox(connection);
  const sender = new Channel<unknown>({ name: box.ch.name, connection });
  const inner = [newAddress(), newAddress()].map((address) =>
    new Channel<number>({ name: "inner", connection: new Connection(address) })
  );
  const here = new Channel<number>({ name: "inner", connection });
  await sender.put([...inner, here]);
  const arrived = await box.ch.get() as Channel<number>[];
  for (const [i, ch] of arrived.entries()) await ch.put(i);
  assert.deepEqual(await Promise.all([...inner, here].map((ch) => ch.get())), [0, 1, 2]);
  for (const ch of [...inner, here]) await ch.delete();
  await sender.close();
});

Deno.test("follow: without the option, and if the function refuses, nothing is followed", async () => {
  const far = newAddress();
  for (const answer of [false, undefined, "absent"] as const) {
    const connection = answer === "absent"
      ? new Connection(newAddress())
      : following(() => answer).connection;
    await using box = await inbox(connection);
    const error = await rejection(box.arrived("x", far), ChannelReferenceError);
    assert.ok(
      error.message.includes(`names a broker that this process has not configured: "${far}"`),
    );
    assert.ok(error.bytes);
  }
  assert.equal(brokers.has(far), false);
});

Deno.test("follow: the function is asked about every reference, so that it can change its mind", async () => {
  const far = newAddress();
  let isAllowed = true;
  const { connection, asked } = following(() => isAllowed);
  await using box = await inbox(connection);
  const early = await box.arrived("x", far) as Channel<number>;
  await early.put(1);
  isAllowed = false;
  await rejection(box.arrived("x", far), ChannelReferenceError);
  assert.deepEqual(asked, [far, far]);
  assert.equal(await early.get(), 1); // a channel that has arrived stays usable
  await early.delete();
});

Deno.test("follow: a function that fails, is asynchronous or returns invalid options rejects the get with the cause", async () => {
  const failure = new Error("the list of hosts cannot be read");
  const answers: [() => unknown, (cause: unknown) => boolean][] = [
    [() => {
      throw failure;
    }, (cause) => cause === failure],
    [() => Promise.resolve(true), (cause) => cause instanceof ChannelConfigError],
    [() => ({ pasword: "hunter2" }), (cause) => cause instanceof ChannelConfigError],
    [() => ({ ca: "hunter2" }), (cause) => cause instanceof ChannelConfigError], // not of fake:
    ...["yes", 1, null].map((answer): [() => unknown, (cause: unknown) => boolean] => [
      () => answer,
      (cause) => cause instanceof ChannelConfigError,
    ]),
  ];
  for (const [answer, isCause] of answers) {
    const { connection } = following(answer as Follow);
    await using box = await inbox(connection);
    const far = newAddress();
    const error = await rejection(box.arrived("x", far), ChannelReferenceError);
    assert.match(error.message, /names fake:\/\/host-\d+, and the function follow has failed or /);
    assert.ok(isCause(error.cause), String(error.cause));
    assert.ok(error.bytes);
    assert.ok(!`${error.message} ${error.cause}`.includes("hunter2"));
    assert.equal(brokers.has(far), false);
  }
});

Deno.test("follow: the function is not asked about what is no canonical address of a network", async () => {
  const { connection, asked } = following(() => true);
  await using box = await inbox(connection);
  const far = newAddress();
  const addresses: unknown[] = [
    far.replace("//", "//user:hunter2@"),
    far.replace("//", "//user@"),
    far.toUpperCase(),
    `${far}/`,
    `${far}?token=hunter2`,
    `fake://${"a".repeat(2048)}`,
    "memory:elsewhere",
    "sqlite:/nowhere/followed.db",
    "amqp://localhost",
    "amqp://guest:hunter2@localhost:5672/%2F",
    "http://localhost/",
    "unknown://localhost",
    "",
    5,
    null,
    [far],
    { address: far },
  ];
  for (const address of addresses) {
    const error = await rejection(box.arrived("x", address), ChannelReferenceError);
    assert.ok(!error.message.includes("hunter2"), error.message);
  }
  assert.deepEqual(asked, []);
  assert.equal(brokers.has(far), false);
});

Deno.test("follow: the function is not asked about configured addresses, and configures none itself", async () => {
  const far = newAddress();
  const { connection, asked } = following(() => ({ password: "of this connection" }));
  await using box = await inbox(connection);
  await using other = await inbox(new Connection(newAddress()));
  await using another = await inbox(following(() => ({ password: "of another" })).connection);
  const followed = await box.arrived("x", far) as Channel<number>;
  await followed.put(1);
  assert.deepEqual(asked, [far]);

  // The connection, with its password, is of no use to messages on other connections.
  await rejection(other.arrived("x", far), ChannelReferenceError);
  const before = loads.length;
  const second = await another.arrived("x", far) as Channel<number>;
  assert.equal(await second.get(), 1);
  assert.equal(loads[before]?.options?.password, "of another");

  const configured = new Channel<number>({ name: "x", connection: far });
  const arrived = await box.arrived("x", far) as Channel<number>;
  await arrived.put(2);
  assert.equal(await configured.get(), 2);
  assert.deepEqual(asked, [far]);
  await second.close();
  await followed.delete();
});

Deno.test("follow: what arrives over a followed connection is followed only if its options say so", async () => {
  for (const isRecursive of [true, false]) {
    const [far, farther] = [newAddress(), newAddress()];
    const { connection, asked, follow } = following((): ConnectionOptions =>
      isRecursive ? { follow } : {}
    );
    await using box = await inbox(connection);
    const raw = rawOn(await brokerAt(far).open("x", linkOptions));
    const body = encode(new Anything(), { extension: () => ["Channel", "y", farther] });
    await raw.put({ body, contentType: "application/cbor" });
    const arrived = await box.arrived("x", far) as Channel<unknown>;
    if (isRecursive) {
      const second = await arrived.get() as Channel<number>;
      await second.put(1);
      await second.delete();
    } else {
      await rejection(arrived.get(), ChannelReferenceError);
    }
    assert.deepEqual(asked, isRecursive ? [far, farther] : [far]);
    await raw[Symbol.asyncDispose]();
    await arrived.delete();
  }
});

Deno.test("follow: connections with one function share what it has allowed", async () => {
  const far = newAddress();
  const { connection, follow } = following(() => true);
  const second = new Connection(newAddress(), { follow });
  await using box = await inbox(connection);
  await using another = await inbox(second);
  const [a, b] = [await box.arrived("x", far), await another.arrived("x", far)] as [
    Channel<number>,
    Channel<number>,
  ];
  const before = loads.length;
  await a.put(1);
  assert.equal(await b.get(), 1);
  assert.equal(loads.length, before + 1);
  await b.close();
  await a.delete();
});

Deno.test("follow: at most 256 connections are in use, and closing a channel makes room", async () => {
  const { connection } = following(() => true);
  await using box = await inbox(connection);
  const used: Channel<number>[] = [];
  for (let i = 0; i < mostFollowed; i++) {
    const ch = await box.arrived("x", newAddress()) as Channel<number>;
    await ch.put(i);
    used.push(ch);
  }
  const [address, another] = [newAddress(), newAddress()];
  const more = await box.arrived("x", address) as Channel<number>;
  for (let tries = 0; tries < 2; tries++) {
    const error = await rejection(more.put(7), ChannelConnectionError, {
      address,
      reason: "limit",
      transient: true,
    });
    assert.equal(error.value, 7);
    assert.match(
      error.message,
      /^put: fake:\/\/host-\d+: 256 connections that the function follow/,
    );
  }
  assert.equal(brokers.has(address), false);
  // Further channels of a connection that is in use are no new connections.
  const beside = await box.arrived("y", used[0]!.toString().match(/fake:[^)]*/)![0]) as Channel;
  await beside.put(1);
  await used[1]!.close();
  await more.put(7);
  await rejection((await box.arrived("x", another) as Channel).put(8), ChannelConnectionError);
  await beside.delete();
  for (const ch of [...used, more]) if (!ch.closed) await ch.delete();
});

Deno.test("follow: many addresses that are not used leave nothing behind, and connections in use are not forgotten", async () => {
  const { connection, asked } = following(() => true);
  await using box = await inbox(connection);
  const far = newAddress();
  const used = await box.arrived("x", far) as Channel<number>;
  await used.put(1);
  const before = loads.length;
  for (let i = 0; i < 20 * mostFollowed; i++) await box.arrived("x", newAddress());
  const again = await box.arrived("x", far) as Channel<number>;
  assert.equal(await again.get(), 1);
  assert.equal(loads.length, before); // no further connection was made
  assert.equal(asked.length, 20 * mostFollowed + 2);
  await again.close();
  await used.delete();
});

Deno.test("follow: the URI of a reference in JSON is followed, and else is taken for the carrying broker", async () => {
  const far = newAddress();
  const { connection, asked } = following((address) => address.startsWith(far));
  await using box = await inbox(connection);
  for (const uri of [far.replace("//", "//user:hunter2@"), `${far}?key=abc`, `${far}?unknown=1`]) {
    const ch = await box.arrivedJson(uri) as Channel<number>;
    const address = uri.endsWith("abc") ? `${far}?key=abc` : far;
    assert.equal(asked.at(-1), address);
    await ch.put(1);
    assert.ok(loads.some(({ uri }) => uri === address));
    await ch.delete();
  }
  const ch = await box.arrivedJson(newAddress()) as Channel<number>;
  const here = new Channel<number>({ name: "x", connection });
  await ch.put(2);
  assert.equal(await within(here.get()), 2);
  await here.delete();
});

Deno.test("follow: a home follows what its own channels receive, and is known by all its addresses", async () => {
  const far = newAddress();
  const [own, other] = [newAddress(), newAddress()];
  const asked: string[] = [];
  const follow: Follow = (address) => {
    asked.push(address);
    return true;
  };
  await using home = new Home({
    connection: "memory:follow",
    address: `${own.toUpperCase()}`,
    follow,
  });
  assert.equal(home.address, own);
  receptionOf(home).servers.push({ address: other, close: () => Promise.resolve() });
  configureHome(home, { follow });
  const ch = new Channel<unknown>({ name: "inbox", connection: home });
  await ch.depth();
  const raw = rawOn(await MemoryTransport.at("memory:follow").open("inbox", linkOptions));
  for (const address of [far, own, other]) {
    const body = encode(new Anything(), { extension: () => ["Channel", "x", address] });
    await raw.put({ body, contentType: "application/cbor" });
  }
  const arrived = await ch.get() as Channel<number>;
  assert.deepEqual(asked, [far]);
  await arrived.put(1);
  assert.equal(brokerAt(far).claimsAt("x"), 0);
  await arrived.delete();
  for (const _ of [own, other]) {
    const here = await ch.get() as Channel<number>;
    await here.put(2);
    const same = new Channel<number>({ name: "x", connection: home });
    assert.equal(await same.get(), 2);
    await here.close();
    await same.delete();
  }
  assert.deepEqual(asked, [far]);
  await raw[Symbol.asyncDispose]();
  await ch.delete();

  const withPassword = own.replace("//", "//user:hunter2@");
  await using second = new Home({ connection: "memory:follow", address: withPassword });
  assert.equal(second.address, own);
  assert.throws(() => new Home({ address: "nothing://user:hunter2@x" }), (error: Error) => {
    return error instanceof ChannelConfigError && !error.message.includes("hunter2");
  });
});
