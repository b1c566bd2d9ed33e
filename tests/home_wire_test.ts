// The home's side of the protocol, by frames.

import assert from "node:assert/strict";
import { Channel, ChannelClosedError, ChannelTimeoutError } from "../mod.ts";
import { Home } from "../src/home/home.ts";
import { rejection, until, within } from "./conformance/fixture.ts";
import { rawPeer } from "./support/raw_peer.ts";

Deno.test("home: a peer puts, gets, settles and withdraws, by frames", async () => {
  await using home = new Home({ connection: "memory:wire" });
  const ch = new Channel<number>({ name: "jobs", connection: home, encoding: "json" });
  const peer = rawPeer(home);
  peer.send('HELLO {"version":1}');
  peer.send('OPEN 1 2 {"name":"jobs","create":true}');
  peer.send('PUT 1 3 {"contentType":"application/json"}', "42");
  assert.match(
    await peer.next(),
    /^WELCOME \{"version":1,"home":"[0-9a-f]{32}","resumed":false,"terms":\["delay"/,
  );
  assert.equal(await peer.next(), "OK 2");
  assert.equal(await peer.next(), "OK 3");
  assert.equal(await ch.get(), 42);
  peer.send("TAKE 1 4");
  assert.equal(await peer.next(), "WAITS 4");
  await ch.put(43);
  assert.match(await peer.next(), /^LEND 4 1 0 \{"contentType":"application\/json".*\}\n43$/);
  peer.send("DEPTH 1 5");
  assert.equal(await peer.next(), 'OK 5 {"value":0}');
  peer.send("REL 4");
  assert.equal(await ch.get(), 43);
  peer.send("TAKE 1 6");
  assert.equal(await peer.next(), "WAITS 6");
  peer.send("DROP 6");
  peer.send("PING");
  assert.equal(await peer.next(), "PONG");
  await ch.put(44);
  peer.send('TRY 1 7 {"count":2}');
  assert.match(await peer.next(), /^LEND 7 1 0 .*\n44$/);
  assert.equal(await peer.next(), "NONE 8");
  peer.cut();
  await until(async () => await ch.depth() === 1);
  const delivery = await ch.receive();
  assert.equal(delivery.attempts, 2); // the loan of a lost peer is counted
  delivery.accept();
  await rejection(ch.get({ timeout: 0 }), ChannelTimeoutError);
  await ch.delete();
});

Deno.test("home: what closes a channel for all reaches the peers, and theirs the home's channels", async () => {
  await using home = new Home({ connection: "memory:wire" });
  const peer = rawPeer(home);
  peer.send('HELLO {"version":1}');
  peer.send('OPEN 1 2 {"name":"a","create":true}');
  await peer.next();
  assert.equal(await peer.next(), "OK 2");
  const ch = new Channel<number>({ name: "a", connection: home });
  const getting = rejection(ch.get(), ChannelClosedError, { reason: "closeAll" });
  await ch.depth();
  peer.send("SAY 1 3", '"close"');
  assert.equal(await peer.next(), "OK 3");
  await getting;
  peer.send("CLOSE 1 4");
  assert.equal(await peer.next(), "OK 4");
  peer.send('OPEN 2 5 {"name":"a","create":true}');
  assert.equal(await peer.next(), "OK 5");
  const again = new Channel<number>({ name: "a", connection: home });
  await again.closeAll();
  assert.equal(await peer.next(), 'SAID 2\n"close"');
  peer.send("CLOSE 2 6");
  assert.equal(await peer.next(), "OK 6");
  peer.send('OPEN 3 7 {"name":"a","create":true}');
  assert.equal(await peer.next(), "OK 7");
  const last = new Channel<number>({ name: "a", connection: home });
  await last.delete();
  assert.equal(await peer.next(), "GONE 3");
  peer.send("PUT 3 8", "x");
  assert.match(await peer.next(), /^NO 8 \{"name":"ChannelClosedError"/);
  peer.end();
});

Deno.test("home: a put that is sent again on a new connection is put once", async () => {
  await using home = new Home({ connection: "memory:wire" });
  await using ch = new Channel<number>({ name: "b", connection: home, encoding: "json" });
  const hello = 'HELLO {"version":1,"session":"0123456789abcdef"}';
  const first = rawPeer(home);
  first.send(hello);
  first.send('OPEN 1 2 {"name":"b","create":true}');
  first.send("PUT 1 3", "1");
  first.send("TAKE 1 4");
  await first.next();
  await first.next();
  assert.equal(await first.next(), "OK 3");
  assert.match(await first.next(), /^LEND 4/);
  // The first connection has not ended: the second takes over.
  const second = rawPeer(home);
  second.send(hello);
  second.send('OPEN 5 6 {"name":"b","create":true}');
  second.send('PUT 5 7 {"again":3}', "1");
  second.send('PUT 5 8 {"again":9}', "2");
  await within(first.closed);
  await second.next();
  const answers = [await second.next(), await second.next(), await second.next()];
  assert.deepEqual(answers.sort(), ["OK 6", "OK 7", "OK 8"]); // a put that was taken needs no link
  assert.deepEqual([await ch.get(), await ch.get(), await ch.depth()], [1, 2, 0]);
  second.end();
  await ch.delete();
});

Deno.test("home: an announcement that is sent again on a new connection is made once", async () => {
  await using home = new Home({ connection: "memory:wire" });
  const listener = rawPeer(home);
  listener.send('HELLO {"version":1}');
  listener.send('OPEN 1 2 {"name":"news","create":true}');
  await listener.next();
  assert.equal(await listener.next(), "OK 2");
  const session = "0123456789abcdef0123456789abcdef";
  for (const n of [1, 2]) {
    const peer = rawPeer(home);
    peer.send(`HELLO {"version":1,"session":"${session}"}`);
    peer.send(`OPEN ${n}1 ${n}2 {"name":"news","create":true}`);
    peer.send(`SAY ${n}1 ${n}3 {"once":7}`, "a");
    peer.send(`SAY ${n}1 ${n}4 {"once":${n}8}`, `b${n}`);
    assert.match(await peer.next(), new RegExp(`^WELCOME .*"resumed":${n === 2},`));
    for (const request of [2, 3, 4]) assert.equal(await peer.next(), `OK ${n}${request}`);
    peer.cut();
  }
  const heard = [await listener.next(), await listener.next(), await listener.next()];
  assert.deepEqual(heard, ["SAID 1\na", "SAID 1\nb1", "SAID 1\nb2"]);
  listener.end();
});

Deno.test("home: after a full channel, the puts of a link are refused until the peer asks for room", async () => {
  await using home = new Home({ connection: "memory:wire" });
  const ch = new Channel<number>({ name: "c", connection: home, capacity: 1, encoding: "json" });
  const peer = rawPeer(home);
  await ch.put(1);
  peer.send('HELLO {"version":1}');
  peer.send('OPEN 1 2 {"name":"c"}');
  peer.send("PUT 1 3", "2");
  peer.send("PUT 1 4", "3");
  await peer.next();
  await peer.next();
  assert.equal(await peer.next(), "FULL 3");
  assert.equal(await peer.next(), "FULL 4");
  assert.equal(await ch.get(), 1);
  peer.send("PUT 1 5", "3");
  assert.equal(await peer.next(), "FULL 5");
  peer.send('PUT 1 6 {"try":true}', "4");
  assert.equal(await peer.next(), "OK 6");
  peer.send("ROOM 1 7");
  peer.send("PING");
  assert.equal(await peer.next(), "PONG");
  assert.equal(await ch.get(), 4);
  assert.equal(await peer.next(), "ROOM 7");
  peer.send("PUT 1 8", "2");
  assert.equal(await peer.next(), "OK 8");
  await ch.delete();
  peer.end();
});

Deno.test("home: a frame that cannot be read ends the connection; an unknown word does not", async () => {
  await using home = new Home({ connection: "memory:wire" });
  for (
    const bad of ["PUT x 1", "PUT 1", 'PUT 1 2 {"id":1}', "TAKE 1 2 {", "put 1 2", "ACC 0", ""]
  ) {
    const peer = rawPeer(home);
    peer.send('HELLO {"version":1}');
    await peer.next();
    peer.send("NEWS");
    peer.send("NEWS 1 2 3");
    assert.match(await peer.next(), /^NO 2 \{"name":"ChannelConfigError"/);
    peer.send(bad);
    await within(peer.closed);
  }
  const stranger = rawPeer(home);
  stranger.send("OPEN 1 2");
  await within(stranger.closed);
  const newer = rawPeer(home);
  newer.send('HELLO {"version":2}');
  assert.match(
    await newer.next(),
    /^REFUSED \{"name":"ChannelConnectionError","message":"the home speaks version 1/,
  );
  await within(newer.closed);
});
