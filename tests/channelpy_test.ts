// ChannelPy at the other end, byte for byte: what it publishes and what it can read.

import { AMQPClient } from "@cloudamqp/amqp-client";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { inspect } from "node:util";
import { Channel, ChannelClosedError, ChannelTimeoutError, serve } from "../mod.ts";
import { parseAmqpUri } from "../src/transports/amqp/uri.ts";
import { connectionsRest, pause, rejection, within } from "./conformance/fixture.ts";

const broker = process.env.BROKER;
if (!broker) throw new Error("set BROKER to a broker's URI, or run `deno task test`");

const url = new URL(broker);
url.username ||= "guest";
url.password ||= "guest";
const uri = url.href;
const { address } = parseAmqpUri(uri);

/** A Python program that uses ChannelPy, as the broker sees it. */
class Peer implements AsyncDisposable {
  readonly #client: AMQPClient;
  readonly #queues = new Set<string>();

  private constructor(client: AMQPClient) {
    this.#client = client;
  }

  static async start(): Promise<Peer> {
    const client = new AMQPClient(uri);
    await client.connect();
    return new Peer(client);
  }

  /** Declares what the constructor of ChannelPy's Channel declares. */
  async declare(name: string = crypto.randomUUID().replaceAll("-", "")): Promise<string> {
    this.#queues.add(name);
    const channel = await this.#client.channel();
    await channel.queueDeclare(name, { durable: true });
    await channel.exchangeDeclare(name, "fanout", { durable: true });
    const { name: events } = await channel.queueDeclare("", { exclusive: true, autoDelete: false });
    await channel.queueBind(events, name, "");
    await channel.close();
    this.events = events;
    return name;
  }

  async hasExchange(name: string): Promise<boolean> {
    const channel = await this.#client.channel();
    try {
      await channel.exchangeDeclare(name, "fanout", { durable: true, passive: true });
    } catch (error) {
      assert.match(String(error), /NOT_FOUND/);
      return false; // the broker has closed the channel
    }
    await channel.close();
    return true;
  }

  /** The queue with the announcements since the last `declare`. */
  events = "";

  /** Publishes as ChannelPy's close_all and events do. */
  async announce(name: string, text: string | Uint8Array): Promise<void> {
    const channel = await this.#client.channel();
    await channel.basicPublish(name, "", text, {});
    await channel.close();
  }

  async put(name: string, text: string): Promise<void> {
    const channel = await this.#client.channel();
    await channel.confirmSelect();
    await channel.basicPublish("", name, text, {});
    await channel.close();
  }

  /** Returns the text of the oldest message, which may arrive soon. */
  async get(name: string): Promise<string> {
    const channel = await this.#client.channel();
    for (let attempt = 0; attempt < 2000; attempt++) {
      const message = await channel.basicGet(name, { noAck: true });
      if (message !== null) {
        await channel.close();
        return new TextDecoder("utf-8", { fatal: true }).decode(message.body!);
      }
      await pause(10);
    }
    return assert.fail("nothing arrived");
  }

  async delete(name: string): Promise<void> {
    const channel = await this.#client.channel();
    await channel.queueDelete(name);
    await channel.exchangeDelete(name);
    await channel.close();
    this.#queues.delete(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#queues) await this.delete(name);
    await this.#client.close();
    await connectionsRest();
  }
}

/** A reference as ChannelPy writes it with json.dumps. */
function reference(name: string, uri: string, retryTimeout: string | number = "null"): string {
  return `{"__channel__": true, "name": "${name}", "connection_type": "RabbitConnection", ` +
    `"retry_timeout": ${retryTimeout}, "connection_args": {"uri": "${uri}"}}`;
}

/** Lets Python read a text, convert its references to channels, and print their fields. */
const program = `
import json, sys
def as_channel(dct):
    if "__channel__" not in dct:
        return dct
    types = {None: "RabbitConnection", "RabbitConnection": "RabbitConnection"}
    args = dct["connection_args"]
    assert set(args) == {"uri"}, args
    return [types[dct["connection_type"]], dct["name"], args["uri"], dct["retry_timeout"] or 10]
for line in sys.stdin.buffer.read().decode("utf-8").split("\\n"):
    print(json.dumps(json.loads(line, object_hook=as_channel)))
`;
import { test as declare, type TestOptions } from "./support/test.ts";
import { noLocalBroker, noPython } from "./support/conditions.ts";

function readByPython(text: string): unknown {
  const { stdout, stderr, status } = spawnSync("python3", ["-c", program], { input: text });
  assert.equal(status, 0, String(stderr));
  return JSON.parse(String(stdout));
}

function test(title: string, body: (peer: Peer) => Promise<void>, options: TestOptions = {}): void {
  declare(`channelpy: ${title}`, options, async () => {
    await using peer = await Peer.start();
    await within(body(peer));
  });
}

const jobs = () => `jobs ${crypto.randomUUID()}`;

test("a value put by Python is got, and a value put as JSON is read by Python", async (peer) => {
  const name = await peer.declare(jobs());
  await using ch = new Channel<unknown>({ name, connection: uri, encoding: "json" });
  await peer.put(
    name,
    '{"n": 6, "text": "\\u00e9\\ud83d\\ude00", "list": [1.0, null, true, -0.5e-7]}',
  );
  const value = await ch.get();
  assert.deepEqual(value, { n: 6, text: "é\u{1f600}", list: [1, null, true, -0.5e-7] });
  await peer.put(name, "4");
  assert.equal(await ch.get(), 4);
  await ch.close();
  await using other = new Channel<unknown>({ name, connection: uri, encoding: "json" });
  await other.put(value);
  assert.equal(
    await peer.get(name),
    '{"n":6,"text":"é\u{1f600}","list":[1,null,true,-5e-8]}',
  );
});

const addresses: [title: string, uri: string][] = [
  ["by the same address", uri],
  ["without credentials", `amqp://${url.host}`],
  ["with another user's credentials", `amqp://someone:hunter2@${url.host}/%2F`],
  ["that only Python's host knows", "amqp://rabbit:5672"],
  ["with parameters of its own", `amqp://${url.host}/%2F?heartbeat_interval=5`],
];
for (const [title, address] of addresses) {
  test(`put_sync gets a reply if its reference names the broker ${title}`, async (peer) => {
    const name = await peer.declare(jobs());
    const reply = await peer.declare();
    await using ch = new Channel<{ value: number; reply_to: Channel }>({ name, connection: uri });
    await peer.put(name, `{"value": 4, "reply_to": ${reference(reply, address)}}`);
    const { value, reply_to } = await ch.get();
    assert.equal(value, 4);
    assert.ok(reply_to instanceof Channel);
    assert.equal(reply_to.name, reply);
    assert.match(inspect(reply_to), new RegExp(`^Channel\\(${reply} on ${new URL(uri).protocol}`));
    await reply_to.put({ value: value * 2 });
    assert.equal(await peer.get(reply), '{"value":8}');
    await reply_to.close();
    // The queue stays as Python declared it.
    await peer.declare(reply);
  });
}

test("serve replies to put_sync with the plain value, and with an error as an error", async (peer) => {
  const name = await peer.declare(jobs());
  await using ch = new Channel<number>({ name, connection: uri, encoding: "json" });
  const stop = new AbortController();
  const serving = serve(ch, (n) => {
    if (n < 0) throw new RangeError("negative");
    return n > 100 ? undefined : { root: Math.sqrt(n) };
  }, { signal: stop.signal });
  for (
    const [value, answer] of [
      [16, '{"root":4}'],
      [400, "null"],
      [-1, '{"__error__":{"name":"RangeError","message":"negative"}}'],
    ]
  ) {
    const reply = await peer.declare();
    await peer.put(name, `{"value": ${value}, "reply_to": ${reference(reply, uri)}}`);
    assert.equal(await peer.get(reply), answer);
    await peer.delete(reply);
  }
  const late = await peer.declare();
  await peer.delete(late); // its put_sync has timed out
  await peer.put(name, `{"value": 4, "reply_to": ${reference(late, uri)}}`);
  const reply = await peer.declare();
  await peer.put(name, `{"value": 4, "reply_to": ${reference(reply, uri)}}`);
  assert.equal(await peer.get(reply), '{"root":2}');
  stop.abort();
  await serving;
  assert.equal(await ch.depth(), 0);
});

test("request is like put_sync, and a Python program replies with a plain value", async (peer) => {
  const name = await peer.declare(jobs());
  await using ch = new Channel<number>({ name, connection: uri, encoding: "json" });
  const request = ch.request<{ root: number }>(16);
  const text = await peer.get(name);
  const { value, reply_to } = JSON.parse(text);
  assert.equal(
    text,
    `{"value":16,"reply_to":{"__channel__":true,"name":"${reply_to.name}",` +
      '"connection_type":"RabbitConnection","retry_timeout":null,' +
      `"connection_args":{"uri":"${address}"}}}`,
  );
  await peer.declare(reply_to.name); // as the constructor of the channel in the message does
  await peer.put(reply_to.name, `{"root": ${Math.sqrt(value)}}`);
  assert.deepEqual(await request, { root: 4 });
  await ch.close(); // waits until the reply channel is deleted
  assert.equal(await peer.hasExchange(reply_to.name), false);
});

test("a reference to another configured broker leads to that broker", async (peer) => {
  const name = await peer.declare(jobs());
  const reply = await peer.declare();
  const hostname = url.hostname === "localhost" ? "127.0.0.1" : "localhost";
  const there = `amqp://guest:guest@${hostname}:${url.port || 5672}`;
  const text = reference(reply, `amqp://${hostname}:${url.port || 5672}/?heartbeat_interval=5`, 30);
  await using ch = new Channel<Channel>({ name, connection: uri });
  await peer.put(name, text);
  const before = await ch.get();
  assert.ok(inspect(before).includes(` on ${address}`), inspect(before));
  await using _configured = new Channel({ connection: there });
  await peer.put(name, `[${text}]`);
  const [after] = await ch.get() as unknown as [Channel];
  assert.ok(inspect(after).includes(` on amqp://${hostname}:`), inspect(after));
  await after.put("through the other connection");
  assert.equal(await peer.get(reply), '"through the other connection"');
  await Promise.all([before.close(), after.close()]);
}, { skip: noLocalBroker });

test("a URI in a reference causes no connection, and no error shows its password", async (peer) => {
  const name = await peer.declare(jobs());
  const reply = await peer.declare();
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const trap = `amqp://someone:hunter2@127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using ch = new Channel<Channel>({ name, connection: uri });
    await peer.put(name, reference(reply, trap));
    const got = await ch.get();
    await got.put("relative");
    assert.equal(await peer.get(reply), '"relative"');
    assert.doesNotMatch(inspect(got, { depth: 20, showHidden: true }), /hunter2/);
    await peer.delete(reply);
    const gone = await rejection(got.put("late"), ChannelClosedError);
    assert.doesNotMatch(inspect(gone, { depth: 20, showHidden: true }), /hunter2/);
    await got.close();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
  assert.equal(connections, 0);
});

test("a reply to a Python program that has ended rejects and creates no queue", async (peer) => {
  const name = await peer.declare(jobs());
  const reply = await peer.declare();
  await using ch = new Channel<{ reply_to: Channel }>({ name, connection: uri });
  await peer.put(name, `{"value": 4, "reply_to": ${reference(reply, uri)}}`);
  await peer.delete(reply); // its put_sync has timed out
  const { reply_to } = await ch.get();
  const error = await rejection(reply_to.put("late"), ChannelClosedError);
  assert.equal(error.value, "late");
  await reply_to.close();
});

test("closeAll reaches Python, and Python's close_all reaches every handle", async (peer) => {
  const name = await peer.declare(jobs());
  await using first = new Channel({ name, connection: uri });
  await using second = new Channel({ name, connection: uri, encoding: "json" });
  await Promise.all(
    [first.get({ timeout: 0 }), second.get({ timeout: 0 })].map((get) =>
      rejection(get, ChannelTimeoutError)
    ),
  );
  const closed = [first, second].map((ch) =>
    rejection(ch.get(), ChannelClosedError, { reason: "closeAll" })
  );
  await peer.announce(name, '"close"'); // json.dumps("close")
  await Promise.all(closed);
  await using third = new Channel({ name, connection: uri });
  await third.put(1);
  await third.closeAll();
  assert.equal(await peer.get(peer.events), '"close"', "its own");
  assert.equal(await peer.get(peer.events), '"close"', "json.loads reads this");
});

test("Python's events arrive as broadcasts, without those that cannot be decoded", async (peer) => {
  const name = await peer.declare(jobs());
  await using ch = new Channel<unknown>({ name, connection: uri, encoding: "json" });
  const events = ch.broadcasts();
  await events.ready;
  const hostile = [
    "close",
    "",
    "\xff",
    "{",
    "[".repeat(100_000),
    "\xd9\xd9\xf7",
    "\xd9\xd9\xf7\x9f",
    "\xd9\xd9\xf7\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
    reference("", uri),
  ];
  for (const text of hostile) {
    await peer.announce(name, Uint8Array.from(text, (c) => c.charCodeAt(0)));
  }
  await peer.announce(name, `["reload", ${reference("inner", uri)}]`);
  const { value } = await events.next();
  assert.equal(value[0], "reload");
  assert.equal(value[1].name, "inner");
  assert.equal(events.missed, hostile.length);
  await ch.broadcast("close");
  assert.equal((await events.next()).value, "close");
  for (const _ of [...hostile, 1]) await peer.get(peer.events).catch(() => {}); // some are not text
  assert.equal(
    await peer.get(peer.events),
    ' "close"',
    "json.loads reads this, and it is not a closeAll",
  );
  assert.equal(ch.closed, false);
  await events.return();
});

test("a reference has all fields that ChannelPy needs, and no password", async (peer) => {
  const name = await peer.declare(jobs());
  const inner = jobs();
  await using ch = new Channel<unknown>({ name, connection: uri, encoding: "json" });
  const named = new Channel({ name: inner, connection: uri });
  await ch.put({ value: 1, reply_to: named });
  const text = await peer.get(name);
  assert.equal(
    text,
    `{"value":1,"reply_to":{"__channel__":true,"name":"${inner}",` +
      '"connection_type":"RabbitConnection","retry_timeout":null,' +
      `"connection_args":{"uri":"${address}"}}}`,
  );
  // Python follows the reference: it declares the queue, whether or not it exists, and replies.
  await peer.declare(inner);
  await peer.put(inner, '{"status": "ok"}');
  assert.deepEqual(await named.get({ timeout: 20_000 }), { status: "ok" });
  await named.close();
});

test("Python converts a written reference to its channel", async (peer) => {
  const name = await peer.declare(jobs());
  await using ch = new Channel<unknown>({ name, connection: uri, encoding: "json" });
  const inner = new Channel({ name: jobs(), connection: uri });
  await ch.put([inner, { deep: { to: inner } }, "\ud800", -1.5e300]);
  const channel = ["RabbitConnection", inner.name, address, 10];
  const answer = readByPython(await peer.get(name));
  assert.deepEqual(answer, [channel, { deep: { to: channel } }, "\ud800", -1.5e300]);
}, { skip: noPython() });

Deno.test("channelpy: its configuration file is read while the first put waits", async () => {
  const folder = mkdtempSync(join(tmpdir(), "channelts-channelpy-"));
  const path = join(folder, "channelpy.yml");
  writeFileSync(path, `connection: RabbitConnection\narguments:\n  uri: ${uri}\n`);
  const before = process.env.CHANNELTS_CONFIG;
  process.env.CHANNELTS_CONFIG = path;
  try {
    await using peer = await Peer.start();
    const name = await peer.declare(jobs());
    const [ch, inner] = [
      new Channel<unknown>({ name, encoding: "json" }),
      new Channel({ name: jobs() }),
    ];
    assert.equal(inspect(ch), `Channel(${name})`); // the file has not been read yet
    const job = { n: [1], to: inner, toJSON: () => ({ n: job.n, to: inner, at: "toJSON" }) };
    const put = ch.put(job);
    job.n[0] = 2;
    const refused = rejection(ch.put({ at: [new Date(0)] }), DOMException);
    await put;
    assert.equal(
      await peer.get(name),
      `{"n":[1],"to":{"__channel__":true,"name":"${inner.name}",` +
        '"connection_type":"RabbitConnection","retry_timeout":null,' +
        `"connection_args":{"uri":"${address}"}},"at":"toJSON"}`,
    );
    assert.match((await refused).message, / at at\[0\] /);
    await Promise.all([ch.close(), inner.close()]);
  } finally {
    if (before === undefined) delete process.env.CHANNELTS_CONFIG;
    else process.env.CHANNELTS_CONFIG = before;
    rmSync(folder, { recursive: true });
  }
});
