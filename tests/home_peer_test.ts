/** The peer's side of the protocol of homes, by frames: the test is the home. */
import assert from "node:assert/strict";
import {
  Channel,
  ChannelClosedError,
  ChannelConnectionError,
  type ChannelError,
  ChannelSizeError,
  ChannelTimeoutError,
} from "../mod.ts";
import type { Pipe } from "../src/transports/home/pipes/pipe.ts";
import { type Frame, readFrame } from "../src/transports/home/protocol/frame.ts";
import { HomeTransport } from "../src/transports/home/transport.ts";
import { pause, rejection, until, within } from "./conformance/fixture.ts";
import { loopbackDial, type LoopbackPipe } from "./support/loopback.ts";

/** A home of which the test writes the frames. It greets, and attaches every link. */
class ScriptedHome {
  readonly transport: HomeTransport;
  readonly hellos: Frame["fields"][] = [];
  /** The frames that were read and not expected yet. */
  #frames: Frame[] = [];
  #welcome = '{"version":1,"home":"a","terms":[],"rendezvous":true,"maxFrame":1000,"maxPuts":4}';
  /** Whether the home remembers the puts of earlier connections. */
  resumes = true;
  #pipe!: Pipe;
  /** The peer's end of the last connection. */
  #peer!: LoopbackPipe;
  /** Answers an `OPEN`. */
  open: (frame: Frame) => void = ({ args }) => this.send(`OK ${args[1]}`);
  /** Handles a frame as it arrives, and reports whether the test need not see it. */
  handle: (frame: Frame) => boolean = () => false;
  /** Whether connections are refused. */
  isDown = false;
  /** What follows the next greeting at once. */
  afterWelcome: string | undefined;

  constructor(welcome?: string) {
    if (welcome !== undefined) this.#welcome = welcome;
    const dial = loopbackDial((open) => {
      if (this.isDown) throw new Error("nothing listens");
      const pipe = this.#pipe = open({
        received: (bytes) => this.#read(readFrame(bytes)),
        drained() {},
        closed() {},
      });
      return pipe;
    }, (pipe) => this.#peer = pipe);
    this.transport = new HomeTransport("zmq://scripted:1", dial, { token: "secret", name: "me" });
  }

  #read(frame: Frame): void {
    const { word, args, fields } = frame;
    if (word === "HELLO") {
      this.hellos.push(fields);
      const resumed = this.resumes && this.hellos.length > 1;
      this.#pipe.send(`WELCOME ${this.#welcome.replace("}", `,"resumed":${resumed}}`)}`);
      if (this.afterWelcome !== undefined) this.#pipe.send(this.afterWelcome);
      this.afterWelcome = undefined;
    } else if (word === "OPEN") {
      this.open(frame);
    } else if (word === "SYNC" || word === "CLOSE") {
      this.#pipe.send(`OK ${args[1]}`);
    } else if (!this.handle(frame)) this.#frames.push(frame);
  }

  /** Whether a frame of this word was read, and not expected yet. */
  wasRead(word: string): boolean {
    return this.#frames.some((frame) => frame.word === word);
  }

  async next(): Promise<Frame> {
    await until(() => this.#frames.length > 0);
    return this.#frames.shift()!;
  }

  /** Returns the next frame, whose word must be this one. */
  async expect(word: string): Promise<Frame> {
    const frame = await this.next();
    assert.equal(frame.word, word);
    return frame;
  }

  /** Asserts that the peer sends nothing for a moment. */
  async quiet(): Promise<void> {
    await pause(20);
    assert.deepEqual(this.#frames.map(({ word }) => word), []);
  }

  send(header: string, body = ""): void {
    this.#pipe.send(header, new TextEncoder().encode(body));
  }

  lend(
    number: string | undefined,
    value: number,
    id: string,
    isAgain = false,
    copy?: number,
  ): void {
    const flag = isAgain ? 1 : 0;
    const fields = { contentType: "application/json", id, copy };
    this.send(`LEND ${number} ${1 + flag} ${flag} ${JSON.stringify(fields)}`, `${value}`);
  }

  cut(): void {
    this.#frames = [];
    this.#peer.cut();
  }

  channel<T>(retryTimeout = 20_000): Channel<T> {
    return new Channel<T>({
      name: "jobs",
      connection: this.transport,
      encoding: "json",
      retryTimeout,
    });
  }
}

/** Closes a channel of a scripted home, and waits until the connection has closed. */
async function rest(ch: Channel<unknown>): Promise<void> {
  await ch.close();
  await pause(35);
}

/**
 * Gets values in a loop until the peer asks for some ahead. Returns the number of the next value, and the request: its first number,
 * and for how many values it asks.
 */
async function readAhead(
  home: ScriptedHome,
  ch: Channel<number>,
): Promise<{ number: number; first: number; count: number }> {
  let number = 0;
  let ahead: Frame | undefined;
  home.handle = (frame) => {
    if (frame.word === "TRY") ahead = frame;
    if (frame.word === "TAKE") home.lend(frame.args[1], number, `cts.${number++}`);
    return true;
  };
  while (ahead === undefined) await ch.get(); // the pace of a busy machine may be too slow at first
  home.handle = () => false;
  const { args, fields } = ahead as Frame;
  return { number, first: Number(args[1]), count: fields.count as number };
}

Deno.test("peer: it greets with its session, which it keeps, and links and requests are numbered on", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const first = ch.put(1);
  const put = await home.expect("PUT");
  home.send(`OK ${put.args[1]}`);
  await within(first);
  home.cut();
  const second = ch.put(2);
  const later = await home.expect("PUT");
  assert.ok(Number(later.args[0]) > Number(put.args[1]) && later.args[0] !== put.args[0]);
  home.send(`OK ${later.args[1]}`);
  await within(second);
  const [hello, again] = home.hellos;
  assert.match(hello!.session as string, /^[0-9a-f]{32}$/);
  assert.deepEqual(hello, { version: 1, session: hello!.session, token: "secret", name: "me" });
  assert.deepEqual(again, hello);
  assert.equal(home.transport.stats.reconnects, 1);
  await rest(ch);
});

Deno.test("peer: unconfirmed puts are sent again in order, with the numbers of their first requests", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const puts = [1, 2, 3, 4, 5, 6].map((n) => ch.put(n));
  const sent = [];
  for (let n = 0; n < 4; n++) sent.push(await home.expect("PUT"));
  await home.quiet(); // maxPuts is 4
  home.send(`OK ${sent[0]!.args[1]}`);
  sent.push(await home.expect("PUT"));
  await within(puts[0]!);
  home.cut();
  const again = [];
  for (let n = 0; n < 4; n++) again.push(await home.expect("PUT"));
  assert.deepEqual(
    again.map(({ fields }) => fields.again),
    sent.slice(1).map(({ args }) => Number(args[1])),
  );
  home.cut(); // a third attempt names the first request, too
  const third = await home.expect("PUT");
  assert.equal(third.fields.again, Number(sent[1]!.args[1]));
  assert.equal(third.fields.copy, undefined); // the home knows what it has put
  const rest4 = [third];
  for (let n = 0; n < 3; n++) rest4.push(await home.expect("PUT"));
  for (const { args } of rest4) home.send(`OK ${args[1]}`);
  const last = await home.expect("PUT");
  assert.equal(last.fields.again, undefined); // it was never sent before
  home.send(`OK ${last.args[1]}`);
  await within(Promise.all(puts));
  await rest(ch);
});

Deno.test("peer: a put that an earlier home may have taken is sent as a copy, with the number of the copy", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const put = ch.put(1);
  const first = await home.expect("PUT");
  assert.equal(first.fields.copy, undefined);
  home.resumes = false; // it has restarted
  home.cut();
  const second = await home.expect("PUT");
  assert.deepEqual([second.fields.copy, second.fields.id], [1, first.fields.id]);
  home.resumes = true;
  home.cut();
  assert.equal((await home.expect("PUT")).fields.copy, 1); // the same home
  home.resumes = false;
  home.cut();
  const last = await home.expect("PUT");
  assert.equal(last.fields.copy, 2);
  const later = ch.put(2);
  assert.equal((await home.expect("PUT")).fields.copy, undefined);
  home.send(`OK ${last.args[1]}`);
  await within(put);
  home.cut();
  home.send(`OK ${(await home.expect("PUT")).args[1]}`);
  await within(later);
  await rest(ch);
});

Deno.test("peer: a put that is given up on a lost connection is not sent again", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const first = rejection(ch.put(1, { timeout: 100 }), ChannelConnectionError);
  await home.expect("PUT");
  home.isDown = true;
  home.cut();
  const error: ChannelError = await first;
  assert.match(error.message, /unknown outcome/);
  assert.match(error.messageId!, /^cts\./);
  const second = ch.put(2);
  home.isDown = false;
  const put = await home.expect("PUT");
  assert.equal(new TextDecoder().decode(put.body), "2");
  home.send(`OK ${put.args[1]}`);
  await within(second);
  await rest(ch);
});

Deno.test("peer: a put that an earlier home may have taken has an unknown outcome, whatever a later one answers", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const sendAgain = async () => {
    await home.expect("PUT");
    home.resumes = false; // it has restarted
    home.cut();
    const again = await home.expect("PUT");
    assert.equal(again.fields.copy, 1);
    return again.args[1];
  };
  const refused = rejection(ch.put(1), ChannelClosedError);
  home.send(`NO ${await sendAgain()} {"name":"ChannelClosedError","message":"drained"}`);
  assert.match(`${(await refused).messageId}`, /^cts\./);
  const tried = rejection(ch.tryPut(2), ChannelConnectionError);
  home.send(`FULL ${await sendAgain()}`);
  assert.match(`${(await tried).messageId}`, /^cts\./);
  const other = home.channel<number>();
  const waiting = rejection(other.put(3), ChannelClosedError);
  home.send(`FULL ${await sendAgain()}`);
  const room = await home.expect("ROOM");
  const later = ch.put(4);
  await other.close();
  assert.match(`${(await waiting).messageId}`, /^cts\./);
  home.send(`ROOM ${room.args[1]}`);
  const put = await home.expect("PUT"); // the one that was given up is not sent
  assert.equal(new TextDecoder().decode(put.body), "4");
  home.send(`OK ${put.args[1]}`);
  await within(later);
  await rest(ch);
});

Deno.test("peer: puts keep their order at a full channel, and tryPut does not wait", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const puts = [1, 2, 3].map((n) => ch.put(n));
  const sent = [];
  for (let n = 0; n < 3; n++) sent.push(await home.expect("PUT"));
  home.send(`FULL ${sent[0]!.args[1]}`);
  const room = await home.expect("ROOM");
  home.send(`FULL ${sent[1]!.args[1]}`);
  home.send(`FULL ${sent[2]!.args[1]}`);
  await home.quiet();
  assert.equal(await within(ch.tryPut(9)), "full");
  home.send(`ROOM ${room.args[1]}`);
  for (const n of [1, 2, 3]) {
    const put = await home.expect("PUT");
    assert.equal(new TextDecoder().decode(put.body), `${n}`);
    assert.equal(put.fields.again, undefined);
    if (n === 1) await home.quiet(); // one put finds out
    home.send(`OK ${put.args[1]}`);
    await within(puts[n - 1]!);
  }
  await rest(ch);
});

Deno.test("peer: a put that waits for room is withdrawn, and the last one withdraws the request for room", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const put = rejection(ch.put(1, { timeout: 150 }), ChannelTimeoutError);
  home.send(`FULL ${(await home.expect("PUT")).args[1]}`);
  const room = await home.expect("ROOM");
  const error = await put as ChannelError;
  assert.equal(error.messageId, undefined); // it has surely not arrived
  assert.deepEqual((await home.expect("DROP")).args, [room.args[1]]);
  await rest(ch);
});

Deno.test("peer: claims are sent again on a new connection, in order", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const gets = [ch.get(), ch.get()];
  await home.expect("TAKE");
  await home.expect("TAKE");
  home.cut();
  const first = await home.expect("TAKE");
  const second = await home.expect("TAKE");
  home.lend(first.args[1], 1, "x");
  home.lend(second.args[1], 2, "y");
  assert.deepEqual(await within(Promise.all(gets)), [1, 2]);
  assert.deepEqual((await home.expect("ACC")).args, [first.args[1], second.args[1]]);
  await rest(ch);
});

Deno.test("peer: a value that is held over a lost connection, or was accepted with it, is not received twice", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const receiving = ch.receive();
  home.lend((await home.expect("TAKE")).args[1], 1, "cts.held");
  const held = await within(receiving);
  const getting = ch.get();
  home.lend((await home.expect("TAKE")).args[1], 2, "cts.accepted");
  assert.equal(await within(getting), 2);
  home.cut(); // the ACC is lost
  const next = ch.get();
  const take = await home.expect("TAKE");
  home.lend(take.args[1], 1, "cts.held", true);
  const again = await home.expect("TAKE");
  home.lend(again.args[1], 2, "cts.accepted", true);
  assert.deepEqual((await home.expect("ACC")).args, [again.args[1]]);
  held.accept();
  const acc = await home.expect("TAKE").then((third) => {
    home.lend(third.args[1], 3, "cts.new");
    return third;
  });
  assert.equal(await within(next), 3);
  assert.deepEqual((await home.expect("ACC")).args, [take.args[1]]);
  assert.deepEqual((await home.expect("ACC")).args, [acc.args[1]]);
  await rest(ch);
});

Deno.test("peer: a value that was received without waiting, and is held over a lost connection, is not received twice", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const receiving = ch.receive({ timeout: 0 });
  home.lend((await home.expect("TRY")).args[1], 1, "cts.held");
  const held = await within(receiving);
  home.cut();
  const next = ch.get();
  home.lend((await home.expect("TAKE")).args[1], 1, "cts.held", true);
  home.lend((await home.expect("TAKE")).args[1], 2, "cts.next");
  assert.equal(await within(next), 2);
  held.accept();
  await rest(ch);
});

Deno.test("peer: of the copies of a put, a process is given one", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const receiving = ch.receive();
  home.lend((await home.expect("TAKE")).args[1], 1, "cts.a");
  const held = await within(receiving);
  assert.equal(held.redelivered, false);
  const other = ch.receive();
  const take = await home.expect("TAKE");
  home.lend(take.args[1], 1, "cts.a", false, 1); // the first copy is held
  assert.deepEqual((await home.expect("ACC")).args, [take.args[1]]);
  held.accept();
  await home.expect("TAKE").then(({ args }) => home.lend(args[1], 1, "cts.a", false, 2)); // … and accepted
  await home.expect("ACC");
  await home.expect("ACC");
  await home.expect("TAKE").then(({ args }) => home.lend(args[1], 2, "cts.b", false, 1));
  const copy = await within(other); // the first copy that this process sees
  assert.deepEqual([copy.value, copy.redelivered], [2, true]);
  copy.accept();
  await home.expect("ACC");
  const last = ch.get();
  await home.expect("TAKE").then(({ args }) => home.lend(args[1], 2, "cts.b", true)); // the original, after its copy
  await home.expect("ACC");
  await home.expect("TAKE").then(({ args }) => home.lend(args[1], 3, "cts.c"));
  assert.equal(await within(last), 3);
  await home.expect("ACC");
  await rest(ch);
});

Deno.test("peer: a loop of gets reads ahead, and gives back what is not claimed in 20 ms", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const { first, count, ...read } = await readAhead(home, ch);
  let { number } = read;
  const next = ch.get();
  const put = ch.put(9); // it follows the get, which waits for what was asked for ahead
  home.lend(`${first}`, number, `cts.${number++}`);
  home.lend(`${first + 1}`, number, `cts.${number++}`);
  if (count > 2) home.send(`NONE ${first + 2}`);
  assert.ok(!home.wasRead("PUT"));
  assert.equal(await within(next), number - 2);
  const settled: string[] = [];
  while (!settled.includes(`REL ${first + 1}`)) {
    const { word, args } = await home.next();
    if (word === "PUT") home.send(`OK ${args[1]}`);
    else settled.push(...args.map((arg) => `${word} ${arg}`));
  }
  assert.deepEqual(settled.slice(-2), [`ACC ${first}`, `REL ${first + 1}`]);
  await within(put);
  await rest(ch);
});

Deno.test("peer: what waits for values that were asked for ahead continues on the next connection", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  await readAhead(home, ch);
  home.handle = ({ word, args }) => {
    if (word === "DEPTH" || word === "STATS") home.send(`OK ${args[1]} {"value":3,"depth":3}`);
    return true;
  };
  const depth = ch.depth();
  const stats = ch.stats();
  await pause(0);
  home.cut();
  assert.equal(await within(depth), 3);
  assert.equal((await within(stats)).depth, 3);
  await rest(ch);
});

Deno.test("peer: a connection that ends as it is greeted is followed by the next", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  home.handle = ({ word, args }) => {
    if (word === "PUT") home.send(`OK ${args[1]}`);
    return true;
  };
  await within(ch.put(1));
  home.afterWelcome = "no frame";
  home.cut();
  await within(ch.put(2), 8000); // the next connection after that works
  assert.equal(home.hellos.length, 3);
  await rest(ch);
});

Deno.test("peer: of copies that were read ahead, a process is given one", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<number>();
  const { first, count } = await readAhead(home, ch);
  home.handle = (frame) => frame.word === "ACC";
  home.lend(`${first}`, 100, "cts.a");
  home.lend(`${first + 1}`, 100, "cts.a", false, 1);
  if (count > 2) home.send(`NONE ${first + 2}`);
  assert.equal(await within(ch.get()), 100);
  const next = ch.get();
  home.lend((await home.expect("TAKE")).args[1], 101, "cts.b");
  assert.equal(await within(next), 101);
  await rest(ch);
});

Deno.test("peer: a value that the home does not read is rejected, and so is one that is announced", async () => {
  const home = new ScriptedHome();
  const ch = home.channel<string>();
  const error = await rejection(ch.put("x".repeat(2000)), ChannelSizeError);
  assert.ok(error.size > 2000 && error.limit < 1000);
  assert.match(error.message, /accepts \d+; send it in parts$/);
  await rest(ch);
});

Deno.test("peer: frames that are no frames end the connection, and the next one is tried", async () => {
  for (
    const nonsense of [
      "OK x",
      "LEND 1",
      "",
      "\xff",
      'SAID 1 {"a',
      "GONE -1",
      "OK 99999999999999999",
    ]
  ) {
    const home = new ScriptedHome();
    const ch = home.channel<number>();
    const getting = ch.get();
    const take = await home.expect("TAKE");
    home.send(nonsense.startsWith("LEND") ? `LEND ${take.args[1]}` : nonsense);
    const again = await home.expect("TAKE");
    home.lend(again.args[1], 7, "cts.7");
    assert.equal(await within(getting), 7);
    assert.equal(home.hellos.length, 2, nonsense);
    await rest(ch);
  }
});

Deno.test("peer: a new channel is used at once, and its operations reject if the home does not open it", async () => {
  const home = new ScriptedHome();
  const opens: Frame[] = [];
  home.open = (frame) => opens.push(frame);
  const ch = new Channel<number>({ connection: home.transport, encoding: "json" });
  const first = ch.put(1);
  await home.expect("PUT");
  home.cut(); // before the home has answered: it may know nothing of the channel
  await until(() => opens.length === 2);
  assert.deepEqual(opens.map(({ fields }) => fields.create), [true, true]);
  assert.deepEqual(opens.map(({ fields }) => fields.isNew), [true, undefined]);
  home.send(`OK ${opens[1]!.args[1]}`);
  home.send(`OK ${(await home.expect("PUT")).args[1]}`);
  await within(first);
  await rest(ch);

  const other = new Channel<number>({ connection: home.transport, encoding: "json" });
  const refused = rejection(other.put(1), ChannelConnectionError);
  const put = await home.expect("PUT");
  const no = '{"name":"ChannelConnectionError","message":"no","reason":"permission"}';
  home.send(`NO ${opens[2]!.args[1]} ${no}`);
  home.send(`NO ${put.args[1]} ${no}`);
  assert.equal((await refused).reason, "permission");
  home.handle = (frame) => {
    home.send(`NO ${frame.args[1]} {"name":"ChannelConfigError","message":"no link"}`);
    return true;
  };
  assert.equal((await rejection(other.get(), ChannelConnectionError)).reason, "permission");
  await rest(other);
});

Deno.test("peer: a home of another version, or one that refuses, is not asked again", async () => {
  const home = new ScriptedHome('{"version":2}');
  const ch = home.channel<number>();
  const error = await rejection(ch.put(1), ChannelConnectionError);
  assert.match(error.message, /speaks version 2, not 1/);
  assert.equal(error.transient, false);
  await rest(ch);
});
