// What a home allows its peers: admission, authorize, limits, slow readers, closing.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { ArrayTransport } from "../examples/transport/array_transport.ts";
import { Channel, ChannelConfigError, ChannelConnectionError } from "../mod.ts";
import { Admission } from "../src/home/admission.ts";
import type { PeerRequest } from "../src/home/authorize.ts";
import { census } from "./homes/census.ts";
import { Home } from "../src/home/home.ts";
import { listen } from "../src/home/listen.ts";
import type { Link, LinkOptions } from "../src/transports/transport.ts";
import {
  connectionsRest,
  getAll,
  numbers,
  pause,
  rejection,
  until,
  within,
} from "./conformance/fixture.ts";
import { PlayedServer } from "./support/played_server.ts";
import { type RawPeer, rawPeer } from "./support/raw_peer.ts";

async function admitted(home: Home, hello: object = {}): Promise<RawPeer> {
  const peer = rawPeer(home);
  peer.send(`HELLO ${JSON.stringify({ version: 1, ...hello })}`);
  assert.match(await peer.next(), /^WELCOME /);
  return peer;
}

Deno.test("home: few connections of an address wait for admission, and each for a limited time", async () => {
  const ended: string[] = [];
  const admission = new Admission({ frame: 5000, newcomers: 3, admission: 30 });
  const arrived = (address: string) => admission.arrived(address, () => ended.push(address));
  const first = arrived("10.0.0.1")!;
  assert.equal(first.maxFrame, 1024);
  assert.ok(arrived("::ffff:10.0.0.1"));
  const third = arrived("10.0.0.1")!;
  assert.equal(arrived("10.0.0.1"), undefined);
  first.admit();
  assert.equal(first.maxFrame, 5000);
  assert.ok(arrived("10.0.0.1"));
  third.gone();
  third.gone();
  assert.ok(arrived("10.0.0.1"));
  assert.equal(arrived("10.0.0.1"), undefined);
  // An IPv6 host has a network of its own.
  for (const last of ["1", "2:3", "4"]) assert.ok(arrived(`2001:db8:0:7::${last}`));
  assert.equal(arrived("2001:DB8:0:07:9:9:9:9"), undefined);
  assert.ok(arrived("2001:db8::7:1"));
  await until(() => ended.length === 7);
  assert.ok(arrived("10.0.0.1"));
  admission.close();
  assert.equal(ended.length, 8);
  // However many addresses there are, the number is limited.
  const many = new Admission({ frame: 5000, newcomers: 2, admission: 30_000 });
  const taken = numbers(1000).filter((n) => many.arrived(`10.0.${n >> 8}.${n & 255}`, () => {}));
  assert.equal(taken.length, 32);
  many.close();
});

Deno.test("home: authorize is asked once for each action, and what it forbids tells nothing of the channel", async () => {
  const asked: PeerRequest[] = [];
  await using home = new Home({
    connection: "memory:authorize",
    authorize: (request) => {
      asked.push(request);
      const { channel, action } = request;
      return channel.startsWith("public.") && action !== "delete";
    },
  });
  await using secret = new Channel({ name: "secret", connection: home });
  await secret.put(1);
  const peer = await admitted(home, { name: "p", token: "t" });
  peer.send('OPEN 1 2 {"name":"secret"}');
  peer.send('OPEN 3 4 {"name":"missing"}');
  const [existing, missing] = [await peer.next(), await peer.next()];
  assert.match(existing, /^NO 2 .*"reason":"permission"/);
  assert.equal(existing.replaceAll("secret", "missing").replace("NO 2", "NO 4"), missing);
  peer.send('OPEN 5 6 {"name":"public.a","create":true}');
  for (const request of [7, 8, 9]) peer.send(`PUT 5 ${request}`, "1");
  peer.send("DELETE 5 10");
  peer.send("SYNC 5 11");
  for (const answer of ["OK 6", "OK 7", "OK 8", "OK 9"]) assert.equal(await peer.next(), answer);
  assert.match(await peer.next(), /^NO 10 .*"message":"delete: channel public.a: the home does/);
  assert.equal(await peer.next(), "OK 11");
  assert.deepEqual(
    asked.map(({ action, channel, create }) => [action, channel, create]),
    [
      ["open", "secret", false],
      ["open", "missing", false],
      ["open", "public.a", true],
      ["put", "public.a", true],
      ["delete", "public.a", true],
    ],
  );
  const [{ peer: identity }] = asked as [PeerRequest];
  assert.equal(identity.token, "t");
  assert.deepEqual(JSON.parse(JSON.stringify(identity)), { transport: "port", address: "" });
  peer.end();
  await secret.delete();
});

Deno.test("home: authorize may answer later, and the requests of a link begin in their order", async () => {
  const answers: ((allows: boolean) => void)[] = [];
  const logged: string[] = [];
  await using home = new Home({
    connection: "memory:later",
    logger: { error: (text) => void logged.push(text) },
    authorize: ({ action }) => {
      if (action === "depth") throw new Error("the database of rights is gone");
      if (action !== "put") return true;
      return new Promise((resolve) => answers.push(resolve));
    },
  });
  const peer = await admitted(home);
  peer.send('OPEN 1 2 {"name":"later","create":true}');
  peer.send("PUT 1 3", "a");
  peer.send("TRY 1 4");
  peer.send("DEPTH 1 5");
  peer.send("PING");
  assert.equal(await peer.next(), "PONG");
  assert.equal(await peer.next(), "OK 2");
  await until(() => answers.length === 1);
  answers[0]!(true);
  assert.equal(await peer.next(), "OK 3");
  const rest = [await peer.next(), await peer.next()].sort();
  assert.equal(rest[0], 'LEND 4 1 0 {"contentType":""}\na');
  assert.match(rest[1]!, /^NO 5 .*"message":"the home failed; its log says why"/);
  assert.match(logged.join(), /the database of rights is gone/);
  peer.send("DELETE 1 6");
  assert.equal(await peer.next(), "OK 6");
  peer.end();
});

Deno.test("home: a request for room ends the refusals of puts in its place, also while authorize has not answered", async () => {
  let allow: ((allows: boolean) => void) | undefined;
  await using home = new Home({
    connection: "memory:place",
    authorize: ({ action }) => {
      return action !== "depth" || new Promise((resolve) => allow = resolve);
    },
  });
  const peer = await admitted(home);
  peer.send('OPEN 1 2 {"name":"in place","create":true,"capacity":1}');
  assert.equal(await peer.next(), "OK 2");
  peer.send("PUT 1 3", "0");
  peer.send("PUT 1 4", "1");
  peer.send("DEPTH 1 5");
  peer.send("PUT 1 6", "2");
  assert.equal(await peer.next(), "OK 3");
  assert.equal(await peer.next(), "FULL 4");
  peer.send("ROOM 1 7");
  const ch = new Channel({ name: "in place", connection: home });
  await ch.get(); // there is room
  peer.send("PING");
  assert.equal(await peer.next(), "PONG");
  allow!(true);
  const answers = [await peer.next(), await peer.next(), await peer.next()].sort();
  assert.deepEqual(answers, ["FULL 6", 'OK 5 {"value":0}', "ROOM 7"]);
  peer.end();
  await ch.delete();
});

Deno.test("home: a peer uses a limited number of channels and holds a limited number of values", async () => {
  await using home = new Home({ connection: "memory:limits", limits: { links: 2, loans: 3 } });
  const peer = await admitted(home);
  for (const n of [1, 2, 3]) peer.send(`OPEN ${n} ${n} {"name":"${n}","create":true}`);
  const answers = [await peer.next(), await peer.next(), await peer.next()].sort();
  assert.match(answers[0]!, /^NO 3 .*"reason":"limit"/);
  for (const n of [4, 5, 6, 7]) peer.send(`TAKE 1 ${n}`);
  const took = [await peer.next(), await peer.next(), await peer.next(), await peer.next()].sort();
  assert.match(took[0]!, /^NO 7 .*"reason":"limit"/);
  peer.send("DROP 4");
  peer.send("ROOM 2 8");
  assert.equal(await peer.next(), "ROOM 8");
  peer.send("CLOSE 1 9");
  assert.equal(await peer.next(), "OK 9");
  assert.equal(census(home).links, 1);
  peer.send('OPEN 10 11 {"name":"3","create":true}');
  assert.equal(await peer.next(), "OK 11");
  peer.end();
  for (const name of ["1", "2", "3"]) await new Channel({ name, connection: home }).delete();
});

Deno.test("home: a peer that does not read is lent nothing more, and misses broadcasts; others get the values", async () => {
  await using home = new Home({ connection: "memory:slow", limits: { outgoing: 1 << 18 } });
  const ch = new Channel<Uint8Array>({ name: "slow", connection: home });
  const peer = await admitted(home);
  peer.send('OPEN 1 2 {"name":"slow","create":true}');
  assert.equal(await peer.next(), "OK 2");
  for (const n of numbers(50, 3)) peer.send(`TAKE 1 ${n}`);
  for (const _ of numbers(50)) assert.match(await peer.next(), /^WAITS/);
  peer.pipe.pause();
  await Promise.all(numbers(40).map((n) => ch.put(new Uint8Array(100_000).fill(n))));
  assert.equal(census(home).loans, 3);
  assert.ok(census(home).buffered < 400_000);
  const got = await within(getAll(ch, 30));
  assert.deepEqual(got.map(([n]) => n), numbers(30, 3));
  await Promise.all(numbers(100).map((n) => ch.broadcast(n as never)));
  assert.ok(census(home).buffered < 400_000);
  peer.pipe.resume();
  const frames: string[] = [];
  while (frames.length < 11) frames.push((await peer.next()).slice(0, 12));
  const words = frames.map((frame) => frame.split(" ")[0]).sort();
  assert.deepEqual(words, [...Array(10).fill("LEND"), "MISSED"]);
  assert.ok(frames.includes("MISSED 1 100"));
  // closeAll reaches it even while it is slow.
  peer.pipe.pause();
  await Promise.all(numbers(10).map((n) => ch.put(new Uint8Array(100_000).fill(n))));
  await ch.closeAll();
  peer.pipe.resume();
  let last = "";
  while (!last.startsWith("SAID")) last = await peer.next();
  assert.equal(last, 'SAID 1\n"close"');
  peer.end();
  await new Channel({ name: "slow", connection: home }).delete();
});

Deno.test("home: a peer that reads nothing for long is disconnected, and its loans go back", async () => {
  await using home = new Home({
    connection: "memory:stalled",
    limits: { outgoing: 1 << 18, stall: 50 },
  });
  const ch = new Channel<Uint8Array>({ name: "stalled", connection: home });
  const peer = await admitted(home);
  peer.send('OPEN 1 2 {"name":"stalled","create":true}');
  assert.equal(await peer.next(), "OK 2");
  for (const n of numbers(5, 3)) peer.send(`TAKE 1 ${n}`);
  for (const _ of numbers(5)) await peer.next();
  peer.pipe.pause();
  await Promise.all(numbers(5).map((n) => ch.put(new Uint8Array(200_000).fill(n))));
  await until(() => census(home).peers.length === 0);
  assert.equal(await ch.depth(), 5);
  await ch.delete();
});

Deno.test("home: unanswered puts and their bytes are limited; the home reads on when they are answered", async () => {
  class Slow extends ArrayTransport {
    readonly held: (() => void)[] = [];
    override async open(...args: Parameters<ArrayTransport["open"]>) {
      const link = await super.open(...args);
      const put = link.put.bind(link);
      link.put = (offer) => void this.held.push(() => put(offer));
      return link;
    }
  }
  const engine = new Slow();
  for (const limits of [{ puts: 3 }, { incoming: 4000 }]) {
    await using home = new Home({ connection: engine, limits });
    const peer = await admitted(home);
    peer.send('OPEN 1 2 {"name":"held","create":true}');
    assert.equal(await peer.next(), "OK 2");
    for (const n of numbers(3, 3)) peer.send(`PUT 1 ${n}`, "x".repeat(1000));
    // As many as a peer may have: what it does besides does not wait for them.
    peer.send("TAKE 1 30");
    peer.send("PING");
    assert.deepEqual([await peer.next(), await peer.next()].sort(), ["PONG", "WAITS 30"]);
    peer.send("DROP 30");
    for (const n of numbers(17, 6)) peer.send(`PUT 1 ${n}`, "x".repeat(1000));
    await until(() => engine.held.length === 4); // the home has read one that is too much
    await pause(20);
    assert.equal(engine.held.length, 4);
    let answers = 0;
    while (answers < 20) {
      for (const put of engine.held.splice(0)) put();
      if (peer.waiting() > 0) {
        assert.match(await peer.next(), /^OK/);
        answers++;
      } else await pause(1);
    }
    peer.send("DELETE 1 99");
    assert.equal(await peer.next(), "OK 99");
    peer.end();
  }
});

Deno.test("home: an engine that tells of no room and no emptiness is asked again", async () => {
  await using home = new Home({ connection: new ArrayTransport() });
  const ch = new Channel<number>({ name: "asked", connection: home, capacity: 1 });
  await ch.put(1);
  const peer = await admitted(home);
  peer.send('OPEN 1 2 {"name":"asked"}');
  peer.send("PUT 1 3", "x");
  assert.equal(await peer.next(), "OK 2");
  assert.equal(await peer.next(), "FULL 3");
  peer.send("EMPTY 1 4");
  peer.send("ROOM 1 5");
  assert.equal(await peer.next(), "ROOM 5");
  assert.equal(await ch.get(), 1);
  assert.equal(await peer.next(), "EMPTY 4");
  peer.end();
  await ch.delete();
});

/** A transport whose links answer `depth` and `tryTake` when the test lets them. */
class HeldTransport extends ArrayTransport {
  readonly held: (() => void)[] = [];

  override async open(name: string, options: LinkOptions): Promise<Link> {
    const link = await super.open(name, options);
    const answered = async <T>(answer: Promise<T>): Promise<T> => {
      await new Promise<void>((resolve) => this.held.push(resolve));
      return await answer;
    };
    const [depth, tryTake] = [link.depth.bind(link), link.tryTake.bind(link)];
    return Object.assign(link, {
      depth: () => answered(depth()),
      tryTake: (counted: boolean) => answered(tryTake(counted)),
    });
  }
}

Deno.test("home: a link that is closed while its peer reads ahead takes nothing more, and has all given back", async () => {
  const transport = new HeldTransport();
  const { held } = transport;
  await using home = new Home({ connection: transport });
  const ch = new Channel<number>({ name: "held", connection: home });
  await ch.put(1);
  await ch.put(2);
  const peer = await admitted(home);
  for (const [link, calls] of [[1, ["depth"]], [2, ["depth", "tryTake twice"]]] as const) {
    peer.send(`OPEN ${link} ${link}0 {"name":"held"}`);
    assert.equal(await peer.next(), `OK ${link}0`);
    peer.send(`TRY ${link} ${link}1 {"count":2}`);
    for (const call of calls) {
      if (call !== "depth") held.shift()!();
      await until(() => held.length === (call === "depth" ? 1 : 2));
    }
    peer.send(`CLOSE ${link} ${link}9`);
    peer.send("PING");
    assert.equal(await peer.next(), "PONG"); // and no answer to CLOSE
    for (const answer of held.splice(0)) answer();
    if (calls.length === 1) assert.equal(await peer.next(), `NONE ${link}1`);
    assert.equal(await peer.next(), `OK ${link}9`);
    assert.equal(held.length, 0);
  }
  assert.deepEqual(await getAll(ch, 2), [1, 2]);
  peer.end();
  await ch.delete();
});

Deno.test("home: close answers what was asked, tells the peers, and is bounded", async () => {
  const home = new Home({ connection: "memory:closing" });
  const ch = new Channel<string>({ name: "closing", connection: "memory:closing" });
  await ch.put("a");
  const [peer, silent] = [await admitted(home), await admitted(home)];
  silent.pipe.pause();
  peer.send('OPEN 1 2 {"name":"closing"}');
  peer.send("TAKE 1 3");
  peer.send("TAKE 1 4");
  assert.equal(await peer.next(), "OK 2");
  assert.match(await peer.next(), /^LEND 3 1 0/);
  assert.equal(await peer.next(), "WAITS 4");
  await within(home.close(), 8000);
  await within(peer.closed);
  const again = await ch.receive(); // the loan went back, and does not count: the peer has not failed
  assert.deepEqual([again.attempts, again.redelivered], [1, true]);
  again.accept();
  const late = rawPeer(home);
  late.send('HELLO {"version":1}');
  assert.match(await late.next(), /^REFUSED .*the home is closed/);
  await within(late.closed);
  silent.end();
  await ch.delete();
});

Deno.test("listen: what protects nothing is refused, and no secret is shown", async () => {
  const open = ["zmq://0.0.0.0:0", "ws://0.0.0.0:0", "zmq://[::]:0", "wss://localhost.evil:0"];
  for (const uri of open) {
    const error = await rejection(listen(uri), ChannelConfigError);
    assert.match(error.message, /other machines can reach this address/);
  }
  const plain = listen("zmq://:hush@0.0.0.0:0?mechanism=plain");
  const error = await rejection(plain, ChannelConfigError);
  assert.match(error.message, /unencrypted/);
  assert.ok(!error.message.includes("hush"));
  await rejection(listen([]), ChannelConfigError);
  await rejection(listen("memory:"), ChannelConfigError);
  await rejection(listen("jobs"), ChannelConfigError);
  await rejection(listen("zmq://127.0.0.1:0", { sercet: "x" } as never), ChannelConfigError);
  await rejection(
    listen("zmq://127.0.0.1:0", { limits: { frames: 1 } as never }),
    ChannelConfigError,
  );
  const two = listen(["zmq://:one@127.0.0.1:0", "zmq://:two@127.0.0.1:0"]);
  assert.doesNotMatch((await rejection(two, ChannelConfigError)).message, /one|two/);
});

Deno.test("home: strangers cannot fill the log", async () => {
  const lines: string[] = [];
  await using home = new Home({
    connection: "memory:log",
    logger: { warn: (line) => void lines.push(line) },
  });
  for (const _ of numbers(150)) {
    const peer = rawPeer(home);
    peer.send('HELLO {"version":3}');
    await within(peer.closed);
  }
  assert.equal(lines.length, 100);
  assert.match(
    lines[0]!,
    /^ChannelTS: home: the peer \(port \) is refused: the home speaks version 1/,
  );
});

Deno.test("home: an operation at which a proxy ends each connection is repeated with growing pauses, and ends", async () => {
  await using home = await listen(["zmq://127.0.0.1:0"], { connection: "memory:proxied" });
  const port = Number(new URL(home.addresses[0]!).port);
  const operations: Record<string, (ch: Channel<number>) => Promise<unknown>> = {
    DEPTH: (ch) => ch.depth(),
    STATS: (ch) => ch.stats(),
    PUT: (ch) => ch.put(1),
  };
  await Promise.all(
    Object.entries(operations).map(async ([word, run]) => {
      await using proxy = await PlayedServer.start((socket) => {
        const through = connect(port, "127.0.0.1");
        through.on("error", () => {});
        through.pipe(socket);
        socket.on("data", (bytes) => {
          if (bytes.includes(`${word} `)) socket.destroy();
          else through.write(bytes);
        });
        socket.on("close", () => through.destroy());
      });
      const uri = `zmq://127.0.0.1:${proxy.port}`;
      const ch = new Channel<number>({ name: "jobs", connection: uri, retryTimeout: 4000 });
      await rejection(run(ch), ChannelConnectionError);
      const { length } = proxy.sockets;
      assert.ok(length > 8 && length <= 14, `${word}: ${length} connections`);
      await ch.close();
    }),
  );
  await connectionsRest();
});
