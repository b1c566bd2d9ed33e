// Hostile peers and hostile homes. The home of these tests is in a process of its own, so that what they send cannot
// harm the test, and so that the memory of the home is seen.
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import process from "node:process";
import { Channel, ChannelError, Connection, fromPort, Home } from "../home.ts";
import { Random } from "./codec/prng.ts";
import { assertUnpolluted } from "./codec/hostile.ts";
import { numbers, pause, until, within } from "./conformance/fixture.ts";
import { censusOf, type HomeProcess, startHome } from "./homes/home_process.ts";
import { Conversation, frameToHome, frameToPeer } from "./homes/hostile_frames.ts";
import {
  type FakeHome,
  fakeWebSocketHome,
  fakeZmtpHome,
  PortEnd,
  type RawEnd,
  WebSocketEnd,
  ZmtpEnd,
} from "./homes/raw_end.ts";
import { logLine } from "./support/supervisor.ts";

const seed = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const zmq = "zmq://127.0.0.1:PORT";
const ws = "ws://127.0.0.1:PORT";

/** Asserts that a well-behaved peer of the home puts and gets. */
async function works(uri: string, name = "good"): Promise<void> {
  const ch = new Channel<number>({ name, connection: new Connection(uri), retryTimeout: 20_000 });
  await ch.put(1);
  assert.equal(await within(ch.get()), 1);
  await ch.close();
}

/** The bytes of the objects of the home's process. */
async function memoryOf(home: HomeProcess): Promise<number> {
  const { heapUsed, external } = await home.ask({ ask: "memory" }) as NodeJS.MemoryUsage;
  return heapUsed + external;
}

/** For tests whose connections end in ways that leave timers for a moment. */
const unsanitized = { sanitizeOps: false, sanitizeResources: false };

/** The homes of the fuzz: how a raw peer connects to it. */
const ends: Record<string, (home: HomeProcess) => Promise<RawEnd>> = {
  "ZMTP": (home) => ZmtpEnd.connect(home.addresses[0]!),
  "a WebSocket": (home) => WebSocketEnd.connect(home.addresses[1]!),
};

for (const [pipe, open] of Object.entries(ends)) {
  Deno.test(`a home survives random frames over ${pipe}, and serves others`, async () => {
    logLine(`FUZZ_SEED=${seed}`);
    const random = new Random(seed);
    await using home = await startHome({ addresses: [zmq, ws] });
    let answers = 0;
    for (const _ of numbers(150)) {
      const end = await open(home);
      const welcomed = new Promise<void>((resolve) =>
        end.onFrame = () => {
          answers++;
          resolve();
        }
      );
      if (random.below(10) > 0) {
        end.send('HELLO {"version":1,"session":"0123456789abcdef"}');
        await Promise.race([welcomed, end.closed]);
      }
      end.send('OPEN 1 1 {"name":"fuzz A","create":true}');
      const used = new Conversation();
      for (const _ of numbers(random.below(60))) end.send(frameToHome(random, used));
      await pause(random.below(3));
      end.close();
      await end.closed;
    }
    assert.ok(answers > 100, `${answers} answers`);
    await works(home.addresses[0]!);
    await works(home.addresses[1]!);
    await until(async () => (await censusOf(home)).peers.length === 0);
    assert.equal((await censusOf(home)).links, 0);
    assert.equal(home.child.stderr, "");
  });
}

Deno.test("a home survives random frames over a port, and serves others", unsanitized, async () => {
  const random = new Random(seed);
  const home = new Home();
  for (const _ of numbers(150)) {
    const { port1, port2 } = new MessageChannel();
    home.accept(port2);
    const end = new PortEnd(port1);
    if (random.below(10) > 0) end.send('HELLO {"version":1,"session":"0123456789abcdef"}');
    end.send('OPEN 1 1 {"name":"fuzz A","create":true}');
    const used = new Conversation();
    for (const _ of numbers(random.below(60))) end.send(frameToHome(random, used));
    await pause(random.below(3));
    end.close();
  }
  const { port1, port2 } = new MessageChannel();
  home.accept(port2);
  const ch = new Channel<number>({ name: "good", connection: fromPort(port1) });
  await ch.put(1);
  assert.equal(await within(ch.get()), 1);
  await ch.close();
  await home.close();
  assertUnpolluted();
});

/** Homes that a test plays. */
const fakes: Record<string, (accept: (end: RawEnd) => void) => FakeHome | Promise<FakeHome>> = {
  "ZMTP": fakeZmtpHome,
  "a WebSocket": fakeWebSocketHome,
};

/** Answers as a home does at first, and then with random frames. */
function answerBadly(random: Random, end: RawEnd): void {
  const used = new Conversation();
  let sane = random.below(6);
  end.onFrame = (frame) => {
    const [word = "", ...args] = new TextDecoder().decode(frame).split(/[ \n]/);
    const [link, request] = args.filter((arg) => /^\d+$/.test(arg));
    if (link !== undefined) used.links.push(link);
    if (request !== undefined) used.requests.push(request);
    if (word === "HELLO") {
      if (random.below(10) > 0) {
        end.send('WELCOME {"version":1,"home":"h","terms":[],"maxFrame":100000,"maxPuts":10}');
      }
    } else if (sane-- > 0) end.send(`OK ${args[1] ?? args[0] ?? 1}`);
    for (const _ of numbers(random.below(4))) end.send(frameToPeer(random, used));
    if (random.below(30) === 0) end.close();
  };
}

/** Does what a program may do on a connection, and asserts that each operation settles. */
async function operate(connection: Connection | ReturnType<typeof fromPort>): Promise<void> {
  const handles = numbers(3).map((n) =>
    new Channel<number>({ name: `x${n}`, connection, retryTimeout: 100 })
  );
  const operations = handles.flatMap((ch) => [
    ch.put(1, { timeout: 150 }),
    ch.get({ timeout: 150 }),
    ch.get({ timeout: 0 }),
    ch.receive({ timeout: 150 }).then((delivery) => delivery.release()),
    ch.depth({ timeout: 150 }),
    ch.stats({ timeout: 150 }),
    ch.broadcast(1, { timeout: 150 }),
    ch.closeAll({ timeout: 150 }),
  ]);
  for (const outcome of await within(Promise.allSettled(operations), 40_000)) {
    if (outcome.status === "rejected") {
      assert.ok(outcome.reason instanceof ChannelError, String(outcome.reason?.stack));
    }
  }
  await within(Promise.all(handles.map((ch) => ch.close())));
}

for (const [pipe, start] of Object.entries(fakes)) {
  Deno.test(`a peer survives random frames of a home over ${pipe}`, unsanitized, async () => {
    logLine(`FUZZ_SEED=${seed}`);
    const random = new Random(seed);
    await using fake = await start((end) => answerBadly(random, end));
    for (const _ of numbers(4)) {
      await Promise.all(numbers(10).map(() => operate(new Connection(fake.uri))));
    }
    assertUnpolluted();
    await pause(50);
  });
}

Deno.test("a peer survives random frames of a home over a port", unsanitized, async () => {
  const random = new Random(seed);
  for (const _ of numbers(4)) {
    await Promise.all(
      numbers(10).map(async () => {
        const { port1, port2 } = new MessageChannel();
        const end = new PortEnd(port2);
        answerBadly(random, end);
        await operate(fromPort(port1));
        end.close();
      }),
    );
  }
  assertUnpolluted();
});

/** How many bytes a home keeps for one peer, whatever it does, and some more for the heap; 10,000 channels have 50 MB. */
const mostForOne = 80e6;

Deno.test("a thousand connections that say nothing are closed, and others are served meanwhile", async () => {
  await using home = await startHome({ addresses: [zmq, ws] });
  const before = await memoryOf(home);
  const silent: Socket[][] = [[], []];
  for (const [i, port] of home.ports.entries()) {
    for (const n of numbers(500)) {
      // From other addresses, of which a home admits few connections at a time. Only Linux has more than one.
      const localAddress = process.platform === "linux" ? `127.0.0.${2 + n % 12}` : "127.0.0.1";
      const socket = connect({ host: "127.0.0.1", port, localAddress }).on("error", () => {});
      silent[i]!.push(socket.resume());
      await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
      if (n % 100 === 0) await works(home.addresses[0]!);
    }
  }
  for (const uri of home.addresses) await works(uri);
  const grown = await memoryOf(home) - before;
  assert.ok(grown < mostForOne, `the home's process grew by ${grown} bytes`);
  // The home closes them; the HTTP servers of runtimes differ.
  await until(() => silent[0]!.every(({ closed }) => closed), 40_000, 50);
  for (const socket of silent[1]!) socket.destroy();
  await until(() => silent[1]!.every(({ closed }) => closed));
  assert.equal((await censusOf(home)).peers.length, 0);
});

Deno.test("a peer that never reads costs bounded memory, and others are served", async () => {
  await using home = await startHome({ addresses: [zmq] });
  const uri = home.addresses[0]!;
  const ch = new Channel<Uint8Array>({ name: "flood", connection: uri });
  await ch.depth();
  const before = await memoryOf(home);
  const end = await ZmtpEnd.connect(uri);
  end.send('HELLO {"version":1}');
  end.send('OPEN 1 1 {"name":"flood","create":true}');
  for (const n of numbers(500)) end.send(`TAKE 1 ${n + 2}`);
  await until(async () => (await censusOf(home)).attached.flood === 2);
  end.socket.pause();
  const body = new Uint8Array(200_000);
  const stored = 50;
  let most = 0;
  for (const n of numbers(500)) {
    await within(Promise.all([ch.broadcast(body), n < stored ? ch.put(body) : undefined]));
    if (n % 100 === 99) most = Math.max(most, await memoryOf(home) - before);
  }
  assert.ok(most < stored * body.length + mostForOne, `the home's process grew by ${most} bytes`);
  await works(uri);
  end.close();
  await until(async () => await ch.depth() === stored); // what was lent to it is back
  await ch.delete();
  await ch.close();
});

Deno.test("the links, loans and puts of a peer are limited, and a peer that exceeds them harms nobody", async () => {
  await using home = await startHome({ addresses: [zmq] });
  const uri = home.addresses[0]!;
  const floods: Record<string, (n: number) => string> = {
    links: (n) => `OPEN ${n + 2} ${n + 2} {"name":"flood ${n}","create":true,"lease":1000}`,
    puts: (n) => `PUT 1 ${n + 2} {"contentType":"application/json"}\n1`,
    claims: (n) => `TAKE 1 ${n + 2}`,
    waits: (n) => `ROOM 1 ${n + 2}`,
    questions: (n) => `DEPTH 1 ${n + 2}`,
    unknown: (n) => `UNKNOWN 1 ${n + 2}`,
    pings: () => "PING",
  };
  const before = await memoryOf(home);
  for (const [title, frame] of Object.entries(floods)) {
    const end = await ZmtpEnd.connect(uri);
    end.send('HELLO {"version":1}');
    end.send(`OPEN 1 1 {"name":"${title}","create":true,"capacity":10}`);
    end.socket.pause();
    for (const n of numbers(20_000)) {
      if (end.isClosed) break;
      end.send(frame(n));
      if (n % 1000 === 0) await pause(0);
    }
    await works(uri);
    const grown = await memoryOf(home) - before;
    assert.ok(grown < mostForOne, `${title}: the home's process grew by ${grown} bytes`);
    end.close();
    await until(async () => (await censusOf(home)).peers.length === 0);
  }
  const grown = await memoryOf(home) - before;
  assert.ok(grown < mostForOne, `the home's process grew by ${grown} bytes`);
  assert.equal(home.child.stderr, "");
});

Deno.test("a frame of more than 1 KB before the greeting ends the connection", async () => {
  await using home = await startHome({ addresses: [zmq, ws] });
  for (const open of Object.values(ends)) {
    const end = await open(home);
    end.send(`HELLO {"version":1,"name":"${"x".repeat(2000)}"}`);
    await within(end.closed);
  }
  await works(home.addresses[0]!);
});
