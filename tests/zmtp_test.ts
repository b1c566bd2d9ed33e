/** The pipe over ZMTP: both roles, the mechanisms, what is refused, hostile bytes, pings and slow readers. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, createServer, type Socket } from "node:net";
import { ChannelConnectionError } from "../src/shared/errors.ts";
import type { PipeObserver } from "../src/transports/home/pipes/pipe.ts";
import { curveKeysOfSecret } from "../src/transports/home/pipes/zmtp/curve_keys.ts";
import { generateKeys } from "../src/transports/home/pipes/zmtp/key_pair.ts";
import { parseZmqUri } from "../src/transports/home/pipes/zmtp/uri.ts";
import { zmqDial } from "../src/transports/home/pipes/zmtp/zmtp_dial.ts";
import type { ZmqServerOptions } from "../src/home/zmq_server.ts";
import { pause, rejection, until } from "./conformance/fixture.ts";
import { dialed, handshake, PipeServer } from "./support/zmtp.ts";

const home = generateKeys();
const peer = generateKeys();

interface Way {
  readonly title: string;
  readonly options: ZmqServerOptions;
  readonly parameters?: string;
  /** Returns the URI of a peer that is admitted. */
  readonly uri: (address: string) => string;
  readonly key?: string;
}

const ways: readonly Way[] = [
  { title: "NULL", options: {}, uri: (address) => address },
  {
    title: "PLAIN",
    options: { secret: "pä$$" },
    parameters: "?mechanism=plain",
    uri: (address) => `${address.replace("//", () => "//me:p%C3%A4$$@")}?mechanism=plain`,
  },
  { title: "CURVE", options: { keys: home }, uri: (address) => address },
  {
    title: "CURVE with the key of the peer",
    options: { keys: home, peers: [peer.publicKey] },
    uri: (address) => address,
    key: peer.secretKey,
  },
  {
    title: "CURVE of a secret",
    options: { secret: "a secret" },
    uri: (address) => address.replace("//", "//:a%20secret@"),
  },
];

/** Runs a body with a server, and closes it. */
async function withServer(
  way: Way,
  body: (server: PipeServer) => Promise<void>,
  extra: { maxFrame?: number; isEcho?: boolean } = {},
): Promise<void> {
  const uri = `zmq://127.0.0.1:0${way.parameters ?? ""}`;
  const server = await PipeServer.start(way.options, { uri, ...extra });
  try {
    await body(server);
  } finally {
    await server.close();
  }
  assert.equal(server.open, 0);
}

for (const way of ways) {
  Deno.test(`zmtp: ${way.title}: frames of all sizes arrive whole and in order, both ways`, () =>
    withServer(way, async (server) => {
      const end = await dialed(way.uri(server.address), way.key);
      const sizes = [0, 1, 200, 252, 253, 254, 255, 256, 8191, 8192, 70_000, 1_000_000];
      const bodies = sizes.map((size) => new Uint8Array(size).map((_, i) => i * 7 + size));
      for (const body of bodies) end.pipe.send("PUT ü", body);
      end.pipe.send("");
      end.pipe.send("x".repeat(255));
      end.pipe.send("ü".repeat(127));
      end.pipe.send("ü".repeat(128));
      await until(() => end.frames.length === sizes.length + 4);
      const [there] = server.ends;
      const expected = bodies.map((body) => Buffer.concat([Buffer.from("PUT ü\n"), body]));
      const texts = ["", "x".repeat(255), "ü".repeat(127), "ü".repeat(128)];
      expected.push(...texts.map((text) => Buffer.from(text)));
      assert.deepEqual(there!.frames.map((frame) => Buffer.from(frame)), expected);
      const echoed = expected.map((bytes) => Buffer.concat([Buffer.from("echo\n"), bytes]));
      assert.deepEqual(end.frames.map((frame) => Buffer.from(frame)), echoed);

      const [info] = server.peers;
      assert.equal(info!.transport, "zmq");
      assert.match(info!.address, /127\.0\.0\.1$/);
      assert.equal(info!.username, way.title === "PLAIN" ? "me" : undefined);
      assert.equal(info!.key !== undefined, way.title.startsWith("CURVE"));
      if (way.key !== undefined) assert.equal(info!.key, peer.publicKey);

      end.pipe.close();
      end.pipe.send("too late");
      await until(() => end.ends.length === 1 && there!.ends.length === 1);
      assert.deepEqual([...end.ends, ...there!.ends], [undefined, undefined]);
      assert.equal(there!.frames.length, expected.length);
    }, { isEcho: true }));

  if (way.title.includes(" ")) continue; // it differs in the handshake alone
  Deno.test(`zmtp: ${way.title}: frames that arrive in small pieces are read`, () =>
    withServer(way, async (server) => {
      await using cutter = await Cutter.start(server.address);
      const end = await dialed(way.uri(cutter.address), way.key);
      end.pipe.send("PUT", new Uint8Array(300).fill(1));
      await until(() => end.frames.length === 1);
      assert.equal(end.frames[0]!.length, 5 + 304);
      end.pipe.close();
      await until(() => end.ends.length === 1);
    }, { isEcho: true }));
}

/** Passes on what arrives at a port to another, in pieces of a few bytes. */
class Cutter implements AsyncDisposable {
  readonly address: string;
  readonly #close: () => void;

  private constructor(address: string, close: () => void) {
    this.address = address;
    this.#close = close;
  }

  static async start(address: string): Promise<Cutter> {
    const sockets = new Set<Socket>();
    const port = Number(new URL(address).port);
    const server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      const pass = async (from: Socket, to: Socket) => {
        sockets.add(from);
        from.on("error", () => {}).setNoDelay(true);
        for await (const chunk of from as AsyncIterable<Uint8Array>) {
          for (let at = 0; at < chunk.length; at += 7) {
            to.write(chunk.subarray(at, at + 7));
            await new Promise((resolve) => setTimeout(resolve, 0));
          }
        }
        to.end();
      };
      void pass(near, far).catch(() => {});
      void pass(far, near).catch(() => {});
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const own = (server.address() as { port: number }).port;
    return new Cutter(address.replace(/:\d+/, `:${own}`), () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    await pause(0);
  }
}

const advice = {
  key: /check the key in the address, the secret of the home, and whether the home admits/,
  user: /check the user name and the secret of the home/,
  add: /if the home has a key or a secret, add it to the address: \?key=KEY, or/,
};

for (
  const [title, options, uri, text] of [
    [
      "a wrong key",
      { keys: home },
      (a: string) => a.replace(home.publicKey, peer.publicKey),
      advice.key,
    ],
    ["no key", { keys: home }, (a: string) => a.replace(/\?.*/, ""), advice.add],
    ["a peer that is not admitted", { keys: home, peers: [peer.publicKey] }, undefined, advice.key],
    [
      "a wrong secret",
      { secret: "right" },
      (a: string) => a.replace("//", "//:wrong@"),
      advice.key,
    ],
    ["no secret", { secret: "right" }, undefined, advice.add],
    [
      "a key for a home that has none",
      {},
      (a: string) => `${a}?key=${home.publicKey}`,
      /the other end uses the security mechanism NULL, and this end CURVE/,
    ],
    [
      "a wrong password",
      { secret: "right" },
      (a: string) => `${a.replace("//", "//me:wrong@")}?mechanism=plain`,
      advice.user,
    ],
  ] as const
) {
  Deno.test(`zmtp: ${title}: the error says what to do, and no secret`, async () => {
    const way: Way = {
      title,
      options,
      uri: uri ?? ((address) => address),
      ...title === "a wrong password" ? { parameters: "?mechanism=plain" } : {},
    };
    await withServer(way, async (server) => {
      const error = await rejection(dialed(way.uri(server.address)), ChannelConnectionError);
      assert.match(error.message, text);
      assert.doesNotMatch(error.message, /right|wrong/);
      assert.deepEqual([error.reason, error.transient], ["login", false]);
      await until(() => server.failures.length > 0 && server.open === 0);
      assert.doesNotMatch(server.failures.join(), /right|wrong@/);
      assert.equal(server.ends.length, 0);
    });
  });
}

Deno.test("zmtp: a server of another kind is recognized, at once if it speaks first", async () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}));
    socket.write("SSH-2.0-x\r\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const error = await rejection(dialed(`zmq://127.0.0.1:${port}`), ChannelConnectionError);
  assert.match(
    error.message,
    /the other end does not speak ZMTP; check the host, the port and the scheme$/,
  );
  assert.equal(error.transient, false);
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("zmtp: nothing listens; and an attempt that is aborted rejects with the reason", async () => {
  const refused = await rejection(dialed("zmq://127.0.0.1:1"), ChannelConnectionError);
  assert.match(
    refused.message,
    /^cannot connect to zmq:\/\/127\.0\.0\.1:1: nothing listens on 127\.0\.0\.1:1; check that the home is running \(.*refused/i,
  );
  assert.equal(refused.transient, true);

  const silent = createServer((socket) => void socket.on("error", () => {}).resume());
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as { port: number };
  const reason = new Error("enough");
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 20);
  const attempt = dialed(`zmq://127.0.0.1:${port}`, undefined, controller.signal);
  assert.equal(await rejection(attempt, Error), reason);
  await new Promise((resolve) => silent.close(resolve));
});

Deno.test("zmtp: a reader that pauses stops the sender, and the sender is told when it may go on", async () => {
  await withServer(ways[0]!, async (server) => {
    const end = await dialed(server.address);
    const there = await server.first();
    there.pipe.pause();
    const body = new Uint8Array(1 << 16);
    let sent = 0;
    // More than the system's buffers hold.
    while (end.pipe.buffered < 1 << 22) {
      for (let i = 0; i < 64; i++, sent++) end.pipe.send("PUT", body);
      await pause(1);
    }
    assert.equal(there.frames.length, 0);
    assert.equal(end.drains, 0);
    there.pipe.resume();
    await until(() => there.frames.length === sent && end.drains > 0);
    assert.equal(end.pipe.buffered, 0);

    // Frames of a chunk that has been read wait, too.
    let count = 0;
    there.onFrame = () => ++count === 3 && there.pipe.pause();
    for (let i = 0; i < 10; i++) end.pipe.send("PUT");
    await until(() => count === 3);
    await pause(20);
    assert.equal(count, 3);
    there.pipe.resume();
    await until(() => count === 10);
    end.pipe.close();
    await until(() => end.ends.length === 1);
  });
});

Deno.test("zmtp: a pipe that is closed sends what is buffered; one whose reader is stuck closes all the same", async () => {
  await withServer(ways[0]!, async (server) => {
    const end = await dialed(server.address);
    const body = new Uint8Array(1 << 20);
    for (let i = 0; i < 8; i++) end.pipe.send("PUT", body);
    end.pipe.close();
    const there = await server.first();
    await until(() => there.ends.length === 1 && end.ends.length === 1);
    assert.equal(there.frames.length, 8);

    const second = await dialed(server.address);
    await until(() => server.ends.length === 2);
    const stuck = server.ends[1]!;
    stuck.pipe.pause();
    for (let i = 0; i < 32; i++) second.pipe.send("PUT", body);
    second.pipe.close();
    await until(() => second.ends.length === 1);
    stuck.pipe.abort(new Error("enough"));
    await until(() => stuck.ends.length === 1);
    assert.equal(stuck.ends[0]!.message, "enough");
  });
});

Deno.test("zmtp: a frame that is too large ends the connection, before it has arrived", async () => {
  await withServer(ways[0]!, async (server) => {
    const end = await dialed(server.address);
    end.pipe.send("x".repeat(1000));
    end.pipe.send("PUT", new Uint8Array(1020)); // 1024 bytes
    const there = await server.first();
    await until(() => there.frames.length === 2);
    end.pipe.send("PUT", new Uint8Array(1021));
    await until(() => there.ends.length === 1);
    assert.match(there.ends[0]!.message, /a frame has 1025 bytes, and at most 1024 are accepted/);
    await until(() => end.ends.length === 1);
  }, { maxFrame: 1024 });
});

Deno.test("zmtp: an end that falls silent is noticed by the other, in either role", async () => {
  await withServer({ ...ways[0]!, options: { heartbeat: 100 } }, async (server) => {
    // A peer that says nothing after the handshake.
    const silent = connect(Number(new URL(server.address).port), "127.0.0.1");
    silent.on("error", () => {}).resume();
    silent.write(handshake("DEALER"));
    const there = await server.first();
    await until(() => there.ends.length === 1);
    assert.match(there.ends[0]!.message, /the other end has not answered for 0\.2 s/);
    silent.destroy();
  });
  // A home that says nothing after the handshake.
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}).resume());
    socket.write(handshake("ROUTER"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const end = await dialed(`zmq://127.0.0.1:${port}?heartbeat=0.1`);
  await until(() => end.ends.length === 1);
  assert.match(end.ends[0]!.message, /has not answered for 0\.2 s/);
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("zmtp: ends that only ping each other stay connected", async () => {
  await withServer({ ...ways[2]!, options: { keys: home, heartbeat: 100 } }, async (server) => {
    const end = await dialed(`${server.address}&heartbeat=0.1`);
    await pause(1000);
    assert.deepEqual(end.ends, []);
    end.pipe.send("still here");
    const there = await server.first();
    await until(() => there.frames.length === 1);
    end.pipe.close();
    await until(() => end.ends.length === 1);
  });
});

Deno.test("zmtp: an attempt to connect that is aborted ends at once, while the keys of a secret are made", async () => {
  const secret = "a secret that is slow to use";
  let areMade = false;
  const making = curveKeysOfSecret(secret).then(() => areMade = true);
  const parsed = parseZmqUri(`zmq://:${encodeURIComponent(secret)}@127.0.0.1:9`);
  const abort = new AbortController();
  const dial = zmqDial(parsed);
  const dialing = dial({} as PipeObserver, abort.signal);
  abort.abort(new Error("given up"));
  await assert.rejects(dialing, /given up/);
  assert.equal(areMade, false);
  await making;
  // The next attempt uses the keys that are being made.
  await rejection(dial({} as PipeObserver, new AbortController().signal), ChannelConnectionError);
});
