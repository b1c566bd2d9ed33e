/** Hostile bytes at both ends of the pipe over ZMTP: nothing crashes, hangs or grows, and others are served. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, createServer, type Socket } from "node:net";
import process from "node:process";
import fc from "fast-check";
import { ChannelConnectionError } from "../src/shared/errors.ts";
import { highWater } from "../src/transports/home/pipes/pipe.ts";
import { generateKeys } from "../src/transports/home/pipes/zmtp/key_pair.ts";
import { FrameSplitter } from "../src/transports/home/pipes/zmtp/frame_splitter.ts";
import { ZmtpError } from "../src/transports/home/pipes/zmtp/zmtp_error.ts";
import { pause, until, within } from "./conformance/fixture.ts";
import { dialed, type End, handshake, PipeServer } from "./support/zmtp.ts";

Deno.test("hostile zmtp: frames are the same however their bytes are cut", () => {
  const frame = fc.record({
    flags: fc.constantFrom(0, 1, 4),
    size: fc.oneof(fc.nat(300), fc.nat(70_000)),
  });
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 40_000 })),
      (frames, cuts) => {
        const bytes = Buffer.concat(
          frames.map(({ flags, size }, i) => frameOf(flags, Buffer.alloc(size, i))),
        );
        const splitter = new FrameSplitter({ maxFrame: 1 << 20 });
        const got: [flags: number, content: string][] = [];
        const sizes = cuts.length === 0 ? [bytes.length + 1] : cuts;
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length]!;
          splitter.push(bytes.subarray(at, at += size));
          for (let content; (content = splitter.next()) !== undefined;) {
            got.push([splitter.flags, `${content.length} ${content[0]}`]);
          }
        }
        const expected = frames.map(({ flags, size }, i) => [
          flags | (size > 255 ? 2 : 0),
          `${size} ${size === 0 ? undefined : i}`,
        ]);
        assert.deepEqual(got, expected);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("hostile zmtp: any bytes are frames or an error, and a frame that arrives bytewise costs little", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const splitter = new FrameSplitter({ maxFrame: 100 });
      splitter.push(bytes);
      try {
        for (let i = 0; splitter.next() !== undefined; i++) assert.ok(i < 100);
      } catch (error) {
        assert.ok(error instanceof ZmtpError);
      }
    }),
    { numRuns: 2000 },
  );

  const size = 200_000;
  const bytes = frameOf(0, Buffer.alloc(size, 7));
  const splitter = new FrameSplitter({ maxFrame: size });
  const before = process.memoryUsage().heapUsed;
  for (let at = 0; at < bytes.length - 1; at++) {
    splitter.push(bytes.subarray(at, at + 1));
    assert.equal(splitter.next(), undefined);
  }
  assert.ok(process.memoryUsage().heapUsed - before < 100 * size);
  splitter.push(bytes.subarray(-1));
  assert.deepEqual(Buffer.from(splitter.next()!), Buffer.alloc(size, 7));
});

const keys = generateKeys();
const ways = [
  { title: "NULL", options: {}, parameters: "", uri: (address: string) => address },
  {
    title: "PLAIN",
    options: { secret: "s" },
    parameters: "?mechanism=plain",
    uri: (address: string) => `${address.replace("//", "//u:s@")}?mechanism=plain`,
  },
  { title: "CURVE", options: { keys }, parameters: "", uri: (address: string) => address },
];

for (const { title, options, parameters, uri } of ways) {
  Deno.test(`hostile zmtp: ${title}: bytes that are changed on their way, in both directions`, async () => {
    const server = await PipeServer.start(options, {
      uri: `zmq://127.0.0.1:0${parameters}`,
      maxFrame: 100_000,
      isEcho: true,
    });
    const good = await dialed(uri(server.address));
    const outcomes = { worked: 0, refused: 0 };
    const round = async (seed: number) => {
      await using mutator = await Mutator.start(server.address, seed);
      let end: End | undefined;
      try {
        end = await within(dialed(uri(mutator.address)));
      } catch (error) {
        assert.ok(error instanceof ChannelConnectionError, String(error));
        outcomes.refused++;
        return;
      }
      for (let i = 0; i < 5; i++) end.pipe.send(`PUT ${i}`, new Uint8Array(i * 100).fill(i));
      await until(() => end.frames.length === 5 || end.ends.length === 1);
      if (title === "CURVE") {
        // Nothing that was changed is taken for a message.
        end.frames.forEach((frame, i) =>
          assert.ok(Buffer.from(frame).toString().startsWith(`echo\nPUT ${i}\n`))
        );
      }
      end.pipe.close();
      await until(() => end.ends.length === 1);
      outcomes.worked++;
    };
    try {
      for (let seed = 0; seed < rounds; seed += 20) {
        await Promise.all(Array.from({ length: 20 }, (_, i) => round(seed + i)));
      }
      good.pipe.send("still served");
      await until(() => good.frames.length === 1);
      good.pipe.close();
      await until(() => server.open === 0);
      assert.ok(outcomes.worked > 5 && outcomes.refused > 5, JSON.stringify(outcomes));
    } finally {
      await server.close();
    }
  });
}

/** Connections for each mechanism. */
const rounds = Number(process.env.ZMTP_ROUNDS ?? 160);

/** Passes on what arrives, and changes some bytes of it. When nothing more arrives, it cuts the connection. */
class Mutator implements AsyncDisposable {
  readonly address: string;
  readonly #close: () => void;

  private constructor(address: string, close: () => void) {
    this.address = address;
    this.#close = close;
  }

  /** @param seed decides which bytes are changed */
  static async start(address: string, seed: number): Promise<Mutator> {
    const sockets: Socket[] = [];
    let state = seed * 2654435761 >>> 0;
    const random = (limit: number) => {
      state = state * 1664525 + 1013904223 >>> 0;
      return Math.floor(state / 2 ** 32 * limit);
    };
    const server = createServer((near) => {
      const far = connect(Number(new URL(address).port), "127.0.0.1");
      sockets.push(near, far);
      const cut = () => sockets.forEach((socket) => socket.destroy());
      let timer = setTimeout(cut, 200);
      const pass = (from: Socket, to: Socket) => {
        from.on("error", () => {}).on("close", () => to.end());
        from.on("data", (chunk: Uint8Array) => {
          clearTimeout(timer);
          timer = setTimeout(cut, 200);
          to.write(random(4) === 0 ? changed(chunk, random) : chunk);
        });
      };
      pass(near, far);
      pass(far, near);
      near.once("close", () => clearTimeout(timer));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    return new Mutator(address.replace(/:\d+/, `:${port}`), () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    await pause(0);
  }
}

/** Returns the bytes with a bit flipped, a byte replaced, or some bytes left out, repeated or added. */
function changed(bytes: Uint8Array, random: (limit: number) => number): Uint8Array {
  const at = random(bytes.length);
  const [before, after] = [bytes.slice(0, at), bytes.slice(at)];
  switch (random(5)) {
    case 0:
      after[0]! ^= 1 << random(8);
      return Buffer.concat([before, after]);
    case 1:
      after[0] = [0, 1, 2, 4, 6, 127, 255][random(7)]!;
      return Buffer.concat([before, after]);
    case 2:
      return Buffer.concat([before, after.subarray(1 + random(after.length))]);
    case 3:
      return Buffer.concat([before, after, after]);
    default:
      return Buffer.concat([
        before,
        Uint8Array.from({ length: 1 + random(20) }, () => random(256)),
        after,
      ]);
  }
}

/** Frames of a peer after its handshake, and why the home ends the connection. */
const faults: Record<string, [bytes: Uint8Array, text: RegExp]> = {
  "a frame of 2^63 bytes": [
    Uint8Array.of(2, 127, ...new Uint8Array(7).fill(255)),
    /at most 1024 are accepted/,
  ],
  "a frame of 2^40 bytes": [Uint8Array.of(2, 0, 0, 1, 0, 0, 0, 0, 0), /at most 1024 are accepted/],
  "unknown flags": [Uint8Array.of(8, 0), /flags 8/],
  "a command with the flag of more": [Uint8Array.of(5, 0), /flags 5/],
  "a message of two parts": [frameOf(1, Buffer.from("HELLO")), /several parts/],
  "a command without a name": [frameOf(4, Buffer.from([])), /a command is cut off/],
  "a command whose name is cut off": [frameOf(4, Buffer.from("\xffPING")), /a command is cut off/],
  "a PING without its time": [frameOf(4, Buffer.from("\x04PING\0")), /a PING is not valid/],
  "a PING with a long text": [
    frameOf(4, Buffer.from(`\x04PING\0\0${"x".repeat(17)}`)),
    /a PING is not valid/,
  ],
  "an ERROR that is no text": [
    frameOf(4, Buffer.from("\x05ERROR\x03\n\0\x1b", "latin1")),
    /has failed: \?\?\?$/,
  ],
};

Deno.test("hostile zmtp: frames that ZMTP does not allow end the connection", async () => {
  const server = await PipeServer.start({}, { maxFrame: 1024 });
  try {
    for (const [title, [bytes, text]] of Object.entries(faults)) {
      const socket = connect(Number(new URL(server.address).port), "127.0.0.1");
      socket.on("error", () => {}).resume();
      const closed = new Promise((resolve) => socket.once("close", resolve));
      const count = server.ends.length;
      socket.write(Buffer.concat([handshake("DEALER"), bytes]));
      await within(closed);
      await until(() => server.ends[count]?.ends.length === 1);
      assert.match(server.ends[count]!.ends[0]!.message, text, title);
      assert.deepEqual(server.ends[count]!.frames, [], title);
    }
    assert.equal(server.open, 0);
  } finally {
    await server.close();
  }
});

Deno.test("hostile zmtp: handshakes that are wrong are not accepted", async () => {
  const server = await PipeServer.start({}, { maxFrame: 1024 });
  const curve = await PipeServer.start({ keys }, { maxFrame: 1024 });
  const greeting = handshake("DEALER").subarray(0, 64);
  const curveGreeting = Buffer.concat([
    greeting.subarray(0, 12),
    Buffer.from("CURVE"),
    Buffer.alloc(47),
  ]);
  const command = (text: string) => frameOf(4, Buffer.from(text, "latin1"));
  const cases: [PipeServer, Uint8Array, RegExp][] = [
    [server, Buffer.from("GET / HTTP/1.1\r\n\r\n"), /does not speak ZMTP/],
    [server, Buffer.concat([Buffer.of(0xff), Buffer.alloc(63)]), /does not speak ZMTP/],
    [server, handshake("PUSH"), /a socket of type PUSH, and DEALER is needed/],
    [server, Buffer.concat([greeting, frameOf(0, Buffer.from("HELLO"))]), /a message came before/],
    [
      server,
      Buffer.concat([greeting, command("\x05HELLO\x01u\x01p")]),
      /HELLO came in place of READY/,
    ],
    [
      server,
      Buffer.concat([greeting, command("\x05READY\x0bSocket-Type\xff\xff\xff\xffDEALER")]),
      /cut off/,
    ],
    [server, Buffer.concat([greeting, command("\x05READY\xff")]), /cut off/],
    [
      server,
      Buffer.concat([greeting, command(`\x05READY${"\x01x\0\0\0\0".repeat(300)}`)]),
      /at most 1024/,
    ],
    [curve, Buffer.concat([curveGreeting, command("\x05HELLO")]), /has the wrong size/],
    [
      curve,
      Buffer.concat([curveGreeting, command(`\x05HELLO${"\x01".repeat(194)}`)]),
      /do not match/,
    ],
    [
      curve,
      Buffer.concat([curveGreeting, command(`\x05HELLO\x01${"\0".repeat(193)}`)]),
      /weak|do not match/,
    ],
    [
      curve,
      Buffer.concat([curveGreeting, command(`\x08INITIATE${"\0".repeat(300)}`)]),
      /is not expected/,
    ],
    [curve, Buffer.concat([curveGreeting, command("\x05READY")]), /is not expected/],
  ];
  try {
    for (const [to, bytes, text] of cases) {
      const socket = connect(Number(new URL(to.address).port), "127.0.0.1");
      socket.on("error", () => {}).resume();
      const closed = new Promise((resolve) => socket.once("close", resolve));
      const count = to.failures.length;
      socket.write(bytes);
      await within(closed);
      await until(() => to.failures.length > count);
      assert.match(to.failures[count]!, text);
    }
    assert.deepEqual([server.ends.length, curve.ends.length, server.open, curve.open], [
      0,
      0,
      0,
      0,
    ]);
  } finally {
    await server.close();
    await curve.close();
  }
});

Deno.test("hostile zmtp: a peer that pings and never reads makes the home keep no more than its limit", async () => {
  const server = await PipeServer.start({ heartbeat: 0 });
  try {
    const socket = connect(Number(new URL(server.address).port), "127.0.0.1");
    socket.on("error", () => {}).pause();
    socket.write(handshake("DEALER"));
    const there = await server.first();
    const ping = frameOf(4, Buffer.from(`\x04PING\0\0${"x".repeat(16)}`));
    const pings = Buffer.concat(Array.from({ length: 4000 }, () => ping));
    let most = 0;
    // The system takes some megabytes of the answers.
    for (let i = 0, left = 20; left > 0; i++) {
      assert.ok(i < 1000, "the system took all answers");
      await new Promise((resolve) => socket.write(pings, resolve));
      most = Math.max(most, there.pipe.buffered);
      if (most > 0) left--;
    }
    assert.ok(most < 2 * highWater, `${most} bytes were buffered`);
    socket.destroy();
    await until(() => there.ends.length === 1);
  } finally {
    await server.close();
  }
});

function frameOf(flags: number, content: Uint8Array): Buffer {
  const isLong = content.length > 255;
  const head = Buffer.alloc(isLong ? 9 : 2);
  head[0] = flags | (isLong ? 2 : 0);
  if (isLong) head.writeBigUInt64BE(BigInt(content.length), 1);
  else head[1] = content.length;
  return Buffer.concat([head, content]);
}
