// What a hostile peer cannot do to a home, to what it serves, and to other peers. home_hostile_test.ts has the pipes.

import assert from "node:assert/strict";
import process from "node:process";
import { Channel, ChannelConnectionError, type Message } from "../mod.ts";
import type { Authorize } from "../src/home/authorize.ts";
import { Home } from "../src/home/home.ts";
import type { HomeOptions } from "../src/home/home_options.ts";
import { receptionOf } from "../src/home/reception.ts";
import { MessagePipe } from "../src/transports/home/pipes/message_pipe.ts";
import { numberOf, readFrame } from "../src/transports/home/protocol/frame.ts";
import { MemoryTransport } from "../src/transports/memory/transport.ts";
import type { Features, LinkOptions } from "../src/transports/transport.ts";
import { until, within } from "./conformance/fixture.ts";
import { noCollector } from "./support/conditions.ts";
import { collector } from "./support/garbage.ts";
import { linkOptions, putOn } from "./support/link.ts";
import { type RawPeer, rawPeer } from "./support/raw_peer.ts";
import { test } from "./support/test.ts";

/** A home that serves a transport in memory, which notes how its channels are opened. */
class Engine extends MemoryTransport {
  readonly opened: LinkOptions[] = [];
  failure: Error | undefined;

  override open(name: string, options: LinkOptions): ReturnType<MemoryTransport["open"]> {
    this.opened.push(options);
    return this.failure === undefined ? super.open(name, options) : Promise.reject(this.failure);
  }
}

/** Connects a peer that has opened the channel `jobs` as link 1. */
async function openPeer(home: Home): Promise<RawPeer> {
  const peer = rawPeer(home);
  peer.send('HELLO {"version":1}');
  peer.send('OPEN 1 1 {"name":"jobs","create":true}');
  await peer.next();
  assert.equal(await peer.next(), "OK 1");
  return peer;
}

const homeOf = (options: HomeOptions = {}) =>
  new Home({ connection: new Engine("memory:"), ...options });

test(
  "attacks: properties of a message that no channel takes are refused, and the peer goes on",
  {},
  async () => {
    const engine = new Engine("memory:");
    await using home = homeOf({ connection: engine });
    const peer = await openPeer(home);
    const refused: [members: string, named: string][] = [
      [`{"id":"${"x".repeat(256)}"}`, "id"],
      [`{"id":"${"ä".repeat(128)}"}`, "id"],
      [`{"contentType":"${"x".repeat(256)}"}`, "contentType"],
      [`{"reason":"${"x".repeat(1001)}"}`, "reason"],
      ['{"attempts":2147483648}', "attempts"],
      ['{"delay":1e300}', "delay"],
      ['{"delay":4294967296}', "delay"],
      ['{"delay":0.5}', "delay"],
      ['{"expires":0}', "expires"],
      ['{"expires":1e300}', "expires"],
      ['{"expires":5,"delay":5}', "expires"],
      ['{"priority":1e300}', "priority"],
      ['{"priority":0.1}', "priority"],
    ];
    let request = 1;
    for (const [members, named] of refused) {
      peer.send(`PUT 1 ${++request} ${members}`, "body");
      const answer = await peer.next();
      assert.ok(answer.startsWith(`NO ${request} {"name":"ChannelConfigError"`), answer);
      assert.ok(answer.includes(`the member \\"${named}\\" takes `), answer);
    }
    for (
      const members of ['{"lease":0}', '{"lease":1e12}', '{"lease":0.5}', '{"capacity":2147483648}']
    ) {
      peer.send(`OPEN 7 ${++request} ${members.replace("{", '{"name":"x","create":true,')}`);
      const answer = await peer.next();
      assert.ok(answer.startsWith(`NO ${request} {"name":"ChannelConfigError"`), answer);
    }
    assert.equal(engine.opened.length, 1);
    peer.send(
      `PUT 1 ${++request} {"delay":0,"expires":4294967295,"priority":-5,"attempts":3}`,
      "body",
    );
    assert.equal(await peer.next(), `OK ${request}`);
    peer.send(`DEPTH 1 ${++request}`);
    assert.match(await peer.next(), /^OK \d+ \{"value":[01]\}$/);
    await new Channel({ name: "jobs", connection: home }).delete();
  },
);

test("attacks: members of the wrong type end the connection alone", {}, async () => {
  await using home = homeOf();
  const witness = await openPeer(home);
  for (
    const frame of [
      'PUT 1 2 {"delay":-1}',
      'PUT 1 2 {"delay":"1"}',
      'PUT 1 2 {"id":5}',
      'PUT 1 2 {"contentType":[]}',
      'PUT 1 2 {"attempts":-1}',
      'PUT 1 2 {"attempts":1.5}',
      'PUT 1 2 {"priority":"1"}',
      'PUT 1 2 {"again":"1"}',
      "PUT 1",
      "PUT -1 2",
      "PUT 1 9007199254740993",
      "PUT 1 1e3",
      "PUT 0 1",
      "TAKE 1 0x10",
      "put 1 2",
      "",
      " ",
      "PUT 1 2 {",
      'PUT 1 2 {"id":"a"} {}',
      'OPEN 2 3 {"name":{}}',
      'OPEN 1 3 {"name":"twice"}',
      'HELLO {"version":1}',
      `PUT 1 2 {"reason":"${"x".repeat(70_000)}"}`,
    ]
  ) {
    const peer = await openPeer(home);
    peer.send(frame);
    await within(peer.closed);
  }
  witness.send("DEPTH 1 2");
  assert.equal(await witness.next(), 'OK 2 {"value":0}');
});

test("attacks: a term that the engine does not take is refused by the home", {}, async () => {
  class Poor extends Engine {
    override readonly features: Features = { shared: false, terms: ["expires"] };
  }
  await using home = homeOf({ connection: new Poor("memory:") });
  const peer = await openPeer(home);
  for (const [request, members] of [[2, '{"delay":1}'], [3, '{"priority":1}']] as const) {
    peer.send(`PUT 1 ${request} ${members}`, "body");
    assert.match(await peer.next(), /^NO \d .*is not for channels of this home.*expires only/);
  }
  peer.send('PUT 1 4 {"expires":60000}', "body");
  assert.equal(await peer.next(), "OK 4");
  await new Channel({ name: "jobs", connection: home }).delete();
});

test("attacks: only an anonymous channel can be new", {}, async () => {
  const engine = new Engine("memory:");
  await using home = homeOf({ connection: engine });
  const peer = rawPeer(home);
  peer.send('HELLO {"version":1}');
  await peer.next();
  for (const [link, name] of [[1, "jobs"], [2, "a".repeat(32)]] as const) {
    peer.send(`OPEN ${link} ${link} {"name":"${name}","create":true,"isNew":true}`);
    assert.equal(await peer.next(), `OK ${link}`);
  }
  assert.deepEqual(engine.opened.map(({ isNew }) => isNew), [false, true]);
});

test("attacks: names of prototypes are members like any other", {}, async () => {
  await using home = homeOf();
  const peer = rawPeer(home);
  const hostile =
    '"__proto__":{"polluted":1,"name":"x","create":true,"delay":5},"constructor":{"prototype":1},' +
    '"toString":5,"hasOwnProperty":1';
  peer.send(`HELLO {"version":1,${hostile}}`);
  await peer.next();
  peer.send(`OPEN 1 1 {"name":"__proto__","create":true,${hostile}}`);
  assert.equal(await peer.next(), "OK 1");
  peer.send(`PUT 1 2 {"contentType":"constructor","id":"__proto__",${hostile}}`, "body");
  assert.equal(await peer.next(), "OK 2");
  peer.send(`TAKE 1 3 {${hostile}}`);
  assert.equal(
    await peer.next(),
    'LEND 3 1 0 {"contentType":"constructor","id":"__proto__"}\nbody',
  );
  peer.send(`OPEN 2 4 {${hostile}}`); // its name is not that of the prototype
  assert.match(await peer.next(), /^NO 4 /);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
});

test("attacks: the properties of messages of other programs harm no peer", {}, async () => {
  const engine = new Engine("memory:");
  await using home = homeOf({ connection: engine });
  const peer = await openPeer(home);
  const link = await engine.open("jobs", linkOptions);
  const foreign: Message = {
    body: new Uint8Array(1),
    contentType: "",
    id: "\ud800",
    attempts: Number.MAX_SAFE_INTEGER - 1,
    reason: "ä".repeat(100_000),
  };
  await putOn(link, foreign);
  peer.send("TAKE 1 2");
  const { args, fields } = readFrame(new TextEncoder().encode(await peer.next()));
  assert.equal(numberOf(args[1]), 2 ** 31 - 1);
  assert.equal(fields.attempts, 2 ** 31 - 1);
  assert.equal((fields.reason as string).length, 1000);
  await link.close();
});

test("attacks: what a peer may not use does not tell whether it exists", {}, async () => {
  for (const isLate of [false, true]) {
    const engine = new Engine("memory:");
    const authorize: Authorize = ({ channel }) => {
      const may = channel.startsWith("public.");
      return isLate ? Promise.resolve(may) : may;
    };
    await using home = homeOf({ connection: engine, authorize });
    const ch = new Channel<string>({ name: "secret", connection: home });
    await ch.put("value");
    const before = engine.opened.length;
    const peer = rawPeer(home);
    peer.send('HELLO {"version":1}');
    await peer.next();
    const answers = new Set<string>();
    for (const [request, name] of [[1, "secret"], [2, "absent"]] as const) {
      for (const create of [true, false]) {
        for (
          const word of [
            ...["PUT", "TAKE", "TRY", "ROOM", "EMPTY", "SAY", "DEPTH", "STATS", "DRAIN", "DELETE"],
          ]
        ) {
          const link = 100 * request + answers.size;
          peer.send(`OPEN ${request} ${link + 1000} {"name":"${name}","create":${create}}`);
          peer.send(`${word} ${request} ${link + 2000}`, '"close"');
          for (let i = 0; i < 2; i++) {
            const answer = await peer.next();
            if (answer.includes("permit")) {
              answers.add(answer.replace(/\d+/, "r").replaceAll(name, "NAME"));
            } else assert.match(answer, /^NO \d+ .*has no open link of this number/);
          }
        }
      }
    }
    assert.deepEqual([...answers], [
      'NO r {"name":"ChannelConnectionError","message":"open: channel NAME: the home does not permit it; ' +
      'use a channel that its \\"authorize\\" allows","reason":"permission","transient":false}',
    ]);
    assert.equal(engine.opened.length, before); // the engine was not asked
    assert.equal(await ch.get(), "value");
    await ch.delete();
  }
});

test("attacks: an error of the engine tells a peer nothing of the engine", {}, async () => {
  const engine = new Engine("memory:");
  const logged: string[] = [];
  await using home = homeOf({ connection: engine, logger: { warn: (text) => logged.push(text) } });
  const address = "amqp://broker.internal:5672/%2F";
  engine.failure = new ChannelConnectionError(
    `${address}: queue x: connect ECONNREFUSED 10.9.8.7:5672 as user scott`,
    { address, transient: false, reason: "login" },
  );
  const peer = rawPeer(home);
  peer.send('HELLO {"version":1}');
  peer.send('OPEN 1 1 {"name":"jobs","create":true}');
  await peer.next();
  assert.equal(
    await peer.next(),
    'NO 1 {"name":"ChannelConnectionError","message":"what the home serves has refused (login); ' +
      'the log of the home says why","reason":"login","transient":false}',
  );
  assert.ok(logged.some((text) => text.includes("ECONNREFUSED 10.9.8.7")), logged.join("\n"));
  engine.failure = new TypeError("at /home/scott/app.ts:1");
  peer.send('OPEN 2 2 {"name":"jobs","create":true}');
  assert.doesNotMatch(await peer.next(), /scott/);
});

test("attacks: the number of loans holds for TRY, too", {}, async () => {
  await using home = homeOf({ limits: { loans: 300 } });
  const ch = new Channel<number>({ name: "jobs", connection: home });
  await Promise.all(Array.from({ length: 2000 }, (_, i) => ch.put(i)));
  const peer = await openPeer(home);
  for (let i = 0; i < 20; i++) peer.send(`TRY 1 ${1000 * (i + 1)} {"count":256}`);
  let lent = 0;
  // The first is lent all that it asked for, the second the rest, and the others are refused.
  for (let ends = 0; ends < 19;) {
    const frame = await peer.next();
    if (frame.startsWith("LEND ")) lent++;
    if (/^(?:NONE|NO) /.test(frame)) ends++;
  }
  assert.equal(lent, 300);
  peer.cut();
  await until(async () => await ch.depth() === 2000);
  await ch.delete();
});

test(
  "attacks: a put that claims to be another put's copy does not stop a peer from being read",
  {},
  async () => {
    const engine = new Engine("memory:");
    await using home = homeOf({ connection: engine, limits: { puts: 4 } });
    const peer = await openPeer(home);
    for (let i = 0; i < 50; i++) {
      const request = 10 + 3 * i;
      peer.send(`PUT 1 ${request}`, "a");
      peer.send(`PUT 1 ${request + 1} {"again":${request}}`, "a");
      assert.equal(await peer.next(), `OK ${request}`);
      assert.equal(await peer.next(), `OK ${request + 1}`);
    }
    peer.send("DEPTH 1 2");
    assert.equal(await peer.next(), 'OK 2 {"value":50}');
  },
);

for (const end of ["closeAll", "delete"] as const) {
  test(`attacks: a peer that goes on after a ${end} is told so`, {}, async () => {
    await using home = homeOf();
    const peer = await openPeer(home);
    await new Channel({ name: "jobs", connection: home })[end]();
    await peer.next(); // SAID or GONE
    let request = 1;
    const refusal = new RegExp(`^NO \\d+ .*"ChannelClosedError".*"reason":"${end}"`);
    await until(async () => { // the link of the engine stays open for a second
      peer.send(`DEPTH 1 ${++request}`);
      return refusal.test(await peer.next());
    });
    for (const word of ["PUT", "TAKE", "TRY", "EMPTY", "SAY", "SYNC", "DRAIN", "STATS", "DELETE"]) {
      peer.send(`${word} 1 ${++request}`);
      assert.match(await peer.next(), refusal, word);
    }
    peer.send(`ROOM 1 ${++request}`);
    assert.equal(await peer.next(), `ROOM ${request}`);
    peer.send(`CLOSE 1 ${++request}`);
    assert.equal(await peer.next(), `OK ${request}`);
    peer.end();
  });
}

test("attacks: what a peer says of itself is one line of a log", {}, async () => {
  const logged: string[] = [];
  const add = (text: string) => logged.push(text);
  await using home = homeOf({
    logger: { debug: add, info: add, warn: add, error: add },
    secret: "hunter2",
  });
  const name = "x\\nChannelTS: home: \\u001b[2J";
  for (const token of ["hunter3", "hunter2"]) {
    const peer = rawPeer(home, { transport: "ws" });
    peer.send(`HELLO {"version":1,"name":"${name}","token":"${token}"}`);
    await peer.next();
    peer.send("\n\nNONSENSE\n");
    await within(peer.closed);
  }
  await until(() => logged.length >= 3);
  for (const text of logged) {
    // deno-lint-ignore no-control-regex -- the test is for control characters
    assert.doesNotMatch(text, /[\0-\x1f]|hunter/);
  }
});

test("attacks: peers that come and go leave nothing behind", { skip: noCollector }, async () => {
  await using home = new Home({ connection: new MemoryTransport("memory:") });
  const collect = (await collector())!;
  async function visit(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const peer = rawPeer(home, { transport: "ws", address: `10.0.${i >> 8 & 255}.${i & 255}` });
      peer.send(`HELLO {"version":1,"session":"${"s".repeat(20)}${i % 50}"}`);
      peer.send(`OPEN 1 1 {"name":"visit ${i % 100}","create":true,"lease":1}`);
      peer.send('PUT 1 2 {"again":1}', "x".repeat(100));
      peer.send('TAKE 1 3 {"group":5}');
      peer.send('TAKE 1 4 {"group":5}');
      for (let k = 0; k < 5; k++) await peer.next();
      if (i % 2 === 0) peer.cut();
      else peer.end();
      await peer.closed;
    }
  }
  await visit(200);
  await collect();
  const before = process.memoryUsage().heapUsed;
  await visit(2000);
  await until(() => receptionOf(home).peers.size === 0);
  await collect();
  const grown = process.memoryUsage().heapUsed - before;
  assert.ok(grown < 1_000_000, `2,000 peers have left ${grown} bytes`);
});

test("attacks: a pipe whose carrier cannot be paused keeps a bounded number of frames", {}, () => {
  class Flooded extends MessagePipe {
    isCut = false;
    readonly buffered = 0;
    ref(): void {}
    unref(): void {}
    protected transmit(): void {}
    protected finish(): void {}
    protected cut(): void {
      this.isCut = true;
    }
    protected watch(): void {}
    flood(frame: Uint8Array): void {
      this.arrived(frame);
    }
  }
  for (const size of [0, 1, 100, 1 << 20]) {
    const pipe = new Flooded({ received() {}, drained() {}, closed() {} });
    pipe.pause();
    let frames = 0;
    const frame = new Uint8Array(size);
    while (!pipe.isCut && frames < 1e6) {
      pipe.flood(frame);
      frames++;
    }
    assert.ok(pipe.isCut, `${frames} frames of ${size} bytes are kept`);
  }
});
