// What a home knows of the puts of a peer whose connection is lost, and what it tells of puts that may have arrived.

import assert from "node:assert/strict";
import { Channel, ChannelConnectionError } from "../mod.ts";
import { Home } from "../src/home/home.ts";
import type { HomeOptions } from "../src/home/home_options.ts";
import { withMessageId } from "../src/shared/put_errors.ts";
import { MemoryTransport } from "../src/transports/memory/transport.ts";
import { HomeTransport } from "../src/transports/home/transport.ts";
import { receptionOf } from "../src/home/reception.ts";
import type { Link, LinkOptions, Offer } from "../src/transports/transport.ts";
import { rejection, until } from "./conformance/fixture.ts";
import { loopbackDial } from "./support/loopback.ts";
import { type RawPeer, rawPeer } from "./support/raw_peer.ts";

/** An engine whose puts are answered by the test. */
class Slow extends MemoryTransport {
  readonly offers: Offer[] = [];
  /** Whether puts are put. */
  isQuick = false;

  override async open(name: string, options: LinkOptions): Promise<Link> {
    const link = await super.open(name, options);
    const put = link.put.bind(link);
    link.put = (offer) => {
      this.offers.push(offer);
      if (this.isQuick) put(offer);
    };
    return link;
  }

  async next(count: number): Promise<Offer> {
    await until(() => this.offers.length === count);
    return this.offers[count - 1]!;
  }
}

/** Connects as a peer of one session. */
async function enter(home: Home): Promise<RawPeer> {
  const peer = rawPeer(home);
  peer.send('HELLO {"version":1,"session":"0123456789abcdef"}');
  assert.match(await peer.next(), /^WELCOME/);
  return peer;
}

async function open(peer: RawPeer, link: number, name: string): Promise<void> {
  peer.send(`OPEN ${link} ${1000 + link} {"name":"${name}","create":true,"capacity":1}`);
  assert.equal(await peer.next(), `OK ${1000 + link}`);
}

function homeOf(connection: MemoryTransport, options: HomeOptions = {}): Home {
  return new Home({ connection, ...options });
}

/** The error of an engine that does not know whether it has taken a put. */
function unknownError(): Error {
  const error = new ChannelConnectionError(
    "put: lost; unknown outcome: the value may have arrived",
    {
      address: "memory:secret",
      transient: true,
    },
  );
  return withMessageId(error, "cts.1") as Error;
}

Deno.test("resumption: if the channel is full for a put that is sent again, it is full for the later puts of the link", async () => {
  const engine = new Slow("memory:full");
  await using home = homeOf(engine);
  const peer = await enter(home);
  await open(peer, 1, "jobs");
  peer.send("PUT 1 3 {}", "1");
  const offer = await engine.next(1);
  peer.cut();
  const again = await enter(home);
  await open(again, 2, "jobs");
  again.send('PUT 2 4 {"again":3}', "1");
  again.send("PUT 2 5 {}", "2");
  const later = await engine.next(2);
  offer.full!();
  assert.equal(await again.next(), "FULL 4");
  again.send("PUT 2 6 {}", "3");
  assert.equal(await again.next(), "FULL 6");
  later.full!();
  assert.equal(await again.next(), "FULL 5");
  again.send("ROOM 2 7");
  assert.equal(await again.next(), "ROOM 7");
  again.send("PUT 2 8 {}", "1");
  (await engine.next(3)).taken();
  assert.equal(await again.next(), "OK 8");
  again.end();
});

Deno.test("resumption: a home that has as many peers as it may takes one of them that connects again", async () => {
  await using home = homeOf(new MemoryTransport("memory:many"), { limits: { peers: 1 } });
  const first = await enter(home);
  const again = await enter(home); // the first connection is half open
  await first.closed;
  const other = rawPeer(home);
  other.send('HELLO {"version":1,"session":"fedcba9876543210"}');
  assert.match(await other.next(), /^REFUSED .*peers, its limit/);
  again.end();
});

Deno.test("resumption: the puts of a link that attaches later than others are not forgotten meanwhile", async () => {
  const puts = 4;
  await using home = homeOf(new MemoryTransport("memory:late"), { limits: { puts } });
  const peer = await enter(home);
  await open(peer, 1, "late");
  peer.send("PUT 1 3 {}", "1");
  assert.equal(await peer.next(), "OK 3"); // this answer is lost with the connection
  peer.cut();
  let number = 10;
  let again!: RawPeer;
  for (let connection = 0; connection < 2; connection++) {
    again = await enter(home);
    const link = ++number;
    await open(again, link, "quick");
    for (let i = 0; i < puts; i++) {
      again.send(`PUT ${link} ${++number} {"try":true}`, "0");
      assert.match(await again.next(), /^(OK|FULL) /);
    }
    for (let i = 0; i < puts; i++) {
      again.send(`TRY ${link} ${++number}`);
      if ((await again.next()).startsWith("LEND")) again.send(`ACC ${number}`);
      again.send(`PUT ${link} ${++number} {}`, "0");
      assert.equal(await again.next(), `OK ${number}`);
    }
    if (connection === 0) again.cut();
  }
  await open(again, 100, "late");
  again.send('PUT 100 101 {"again":3}', "1");
  again.send("DEPTH 100 102");
  assert.equal(await again.next(), "OK 101");
  assert.equal(await again.next(), 'OK 102 {"value":1}');
  again.end();
});

Deno.test("resumption: a put whose outcome the engine does not know is put again as a copy", async () => {
  const engine = new Slow("memory:unknown");
  await using home = homeOf(engine);
  const peer = await enter(home);
  await open(peer, 1, "jobs");
  peer.send("PUT 1 3 {}", "1");
  const offer = await engine.next(1);
  peer.cut();
  const again = await enter(home);
  offer.reject(unknownError());
  await open(again, 2, "jobs");
  again.send('PUT 2 4 {"again":3}', "1");
  const copy = await engine.next(2);
  assert.equal(copy.message.copy, 1);
  copy.taken();
  assert.equal(await again.next(), "OK 4");
  again.end();
});

Deno.test("resumption: a peer learns that the outcome of its put is unknown to the engine", async () => {
  const engine = new Slow("memory:told");
  await using home = homeOf(engine);
  const dial = loopbackDial((open) => {
    receptionOf(home).accept({ transport: "port", address: "" }, open);
  });
  const ch = new Channel<string>({
    name: "jobs",
    connection: new HomeTransport("zmq://x:1", dial),
  });
  const unknown = rejection(ch.put("a"), ChannelConnectionError);
  (await engine.next(1)).reject(unknownError());
  const error = await unknown;
  assert.equal(error.value, "a");
  assert.match(`${error.messageId}`, /^cts\./);
  assert.match(
    error.message,
    /what the home serves cannot be reached; .*; unknown outcome: the value may have arrived$/,
  );
  const known = rejection(ch.put("b"), ChannelConnectionError);
  const refusal = new ChannelConnectionError("put: refused", { address: "", transient: false });
  (await engine.next(2)).reject(refusal);
  assert.equal((await known).messageId, undefined);
  await ch.close();
});
