/** The pipes over WebSockets and ports, at both ends, without the protocol. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { MessageChannel as NodeMessageChannel } from "node:worker_threads";
import type { Acceptor, Newcomer, PeerInfo } from "../src/home/acceptor.ts";
import { acceptPort } from "../src/home/port_acceptor.ts";
import { isAllowedOrigin } from "../src/home/websocket/origins.ts";
import { WebAcceptor } from "../src/home/websocket/web_acceptor.ts";
import { listenWeb } from "../src/home/websocket/web_server.ts";
import {
  type Dial,
  highWater,
  type Pipe,
  type PipeObserver,
} from "../src/transports/home/pipes/pipe.ts";
import { dialPort } from "../src/transports/home/pipes/port_dial.ts";
import type { Port } from "../src/transports/home/pipes/port_pipe.ts";
import { dialWebSocket } from "../src/transports/home/pipes/websocket_dial.ts";
import { dialByPackage } from "../src/transports/home/pipes/ws_package_dial.ts";
import { until, within } from "./conformance/fixture.ts";
import { test } from "./support/test.ts";

/** What an observer was told. */
class Record implements PipeObserver {
  readonly frames: Uint8Array[] = [];
  drains = 0;
  end: { readonly error: Error | undefined } | undefined;
  bytes = 0;
  received(frame: Uint8Array): void {
    this.frames.push(frame);
    this.bytes += frame.length;
  }
  drained(): void {
    this.drains++;
  }
  closed(error: Error | undefined): void {
    assert.equal(this.end, undefined);
    this.end = { error };
  }
}

/** A home that keeps the pipes that it is given. */
class Ends implements Acceptor {
  readonly ends: { readonly info: PeerInfo; readonly record: Record; readonly pipe: Pipe }[] = [];
  maxFrame = 1 << 27;
  isFull = false;
  arrivals = 0;
  gone = 0;
  expire = () => {};
  arrived(_address: string, expire: () => void): Newcomer | undefined {
    if (this.isFull) return undefined;
    this.arrivals++;
    this.expire = expire;
    let isGone = false;
    const gone = () => {
      if (!isGone) this.gone++;
      isGone = true;
    };
    const maxFrame = () => this.maxFrame;
    return {
      get maxFrame() {
        return maxFrame();
      },
      gone,
    };
  }
  accept(info: PeerInfo, open: (observer: PipeObserver) => Pipe): void {
    const record = new Record();
    this.ends.push({ info, record, pipe: open(record) });
  }
}

interface Line extends AsyncDisposable {
  readonly home: Ends;
  readonly dial: Dial;
}

const options = { maxFrame: 1 << 27, heartbeat: 30_000, refused() {} };

/** The server of the runtime, and the dial of a kind. */
async function byServer(dial: (url: string) => Dial): Promise<Line> {
  const home = new Ends();
  const server = await listenWeb("ws://127.0.0.1:0/channels", options, home);
  assert.match(server.address, /^ws:\/\/127\.0\.0\.1:[1-9]\d*\/channels$/);
  return {
    home,
    dial: dial(server.address),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** A server of `node:http`. */
async function byUpgrade(): Promise<Line> {
  const home = new Ends();
  const acceptor = new WebAcceptor(home, options);
  const server = createServer();
  server.on("upgrade", (request, socket, head) => acceptor.upgrade(request, socket, head));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = `ws://127.0.0.1:${port}/`;
  return {
    home,
    dial: dialByPackage(url, {}),
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

function byPort(Channel: { new (): MessageChannel }): Promise<Line> {
  const { port1, port2 } = new Channel();
  const home = new Ends();
  const close = acceptPort(home, port1 as Port, { address: "a thread" });
  return Promise.resolve({
    home,
    dial: dialPort(port2 as Port, "port:test"),
    [Symbol.asyncDispose]() {
      close();
      port2.close();
      return Promise.resolve();
    },
  });
}

const byPackage = (url: string) => dialByPackage(url, {});

const lines: { readonly [kind: string]: () => Promise<Line> } = {
  "the runtime's WebSocket": () => byServer((url) => dialWebSocket(url, {})),
  "the package's WebSocket": () => byServer(byPackage),
  "a server of node:http": byUpgrade,
  "a port": () => byPort(MessageChannel),
  "a port of node:worker_threads": () =>
    byPort(NodeMessageChannel as unknown as typeof MessageChannel),
};

/** Opens a pipe. Returns both ends. */
async function opened({ home, dial }: Line) {
  const near = new Record();
  const pipe = await within(dial(near, new AbortController().signal));
  pipe.send("HELLO");
  await until(() => home.ends.length > 0 && home.ends.at(-1)!.record.frames.length > 0);
  const { record: far, pipe: farPipe, info } = home.ends.at(-1)!;
  assert.equal(text(far.frames.shift()!), "HELLO");
  far.bytes = 0;
  return { near, pipe, far, farPipe, info };
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

for (const [kind, make] of Object.entries(lines)) {
  test(`web pipes: frames arrive whole and in order over ${kind}`, {}, async () => {
    await using line = await make();
    const { near, pipe, far, farPipe, info } = await opened(line);
    assert.equal(info.transport, kind.includes("port") ? "port" : "ws");
    assert.ok(info.address === "a thread" || info.address.endsWith("127.0.0.1"), info.address);
    const big = new Uint8Array(3_000_000).map((_, i) => i * 7);
    for (const [from, to] of [[pipe, far], [farPipe, near]] as const) {
      from.send("PUT 1 2 é😀", new Uint8Array([0, 10, 255]));
      from.send("EMPTY", new Uint8Array());
      from.send(`LONG ${"x".repeat(5000)}`, new Uint8Array(4));
      from.send("BIG", big.slice());
      for (let i = 0; i < 500; i++) from.send(`N ${i}`);
      await until(() => to.frames.length === 504);
      assert.equal(text(to.frames[0]!.slice(0, -3)), "PUT 1 2 é😀\n");
      assert.deepEqual([...to.frames[0]!.slice(-3)], [0, 10, 255]);
      assert.equal(text(to.frames[1]!), "EMPTY");
      assert.equal(to.frames[2]!.length, 5005 + 1 + 4);
      assert.deepEqual(Buffer.from(to.frames[3]!.subarray(4)), Buffer.from(big));
      for (let i = 0; i < 500; i++) assert.equal(text(to.frames[4 + i]!), `N ${i}`);
    }
    pipe.close();
    await until(() => near.end !== undefined && far.end !== undefined);
    assert.deepEqual([near.end, far.end], [{ error: undefined }, { error: undefined }]);
    pipe.send("LATE");
    pipe.close();
    assert.equal(line.home.gone, line.home.arrivals);
  });

  test(`web pipes: the home closes, and an abort has its error, over ${kind}`, {}, async () => {
    await using line = await make();
    for (const isAbort of [false, true, false]) {
      const { near, farPipe, far } = await opened(line);
      const error = isAbort ? new Error("enough") : undefined;
      if (isAbort) farPipe.abort(error!);
      else {
        farPipe.send("LAST");
        farPipe.close();
      }
      await until(() => near.end !== undefined && far.end !== undefined);
      assert.equal(far.end!.error, error);
      if (!isAbort) assert.deepEqual(near.frames.map(text), ["LAST"]);
    }
  });

  test(
    `web pipes: what is buffered is told, and pausing holds frames, over ${kind}`,
    {},
    async () => {
      await using line = await make();
      const { near, pipe, far, farPipe } = await opened(line);
      near.received = function (frame) { // pauses at the first frame
        if (this.bytes === 0) pipe.pause();
        Record.prototype.received.call(this, frame);
      };
      const [count, size] = [48, 1 << 20];
      for (let i = 0; i < count; i++) farPipe.send("PUT", new Uint8Array(size));
      await until(() => near.frames.length > 0);
      await sleep(100);
      assert.equal(near.frames.length, 1, "no frame while it is paused");
      pipe.resume();
      await until(() => near.frames.length === count, 60_000);
      await until(() => farPipe.buffered <= highWater);
      if (far.drains === 0) assert.ok(!kind.includes("port"), "a port must tell");
      pipe.close();
      await until(() => far.end !== undefined);
    },
  );

  test(`web pipes: a frame that is too large ends the connection over ${kind}`, {
    skip: kind.includes("port") && "a port has no limit of its own",
  }, async () => {
    await using line = await make();
    line.home.maxFrame = 1000;
    const { near, pipe, far } = await opened(line);
    pipe.send("A", new Uint8Array(900));
    await until(() => far.frames.length === 1);
    pipe.send("B", new Uint8Array(1001));
    await until(() => near.end !== undefined && far.end !== undefined);
    assert.match(far.end!.error!.message, /1003 bytes, at most 1000/);
    assert.equal(far.frames.length, 1);
  });

  test(`web pipes: a connection that is not admitted is closed over ${kind}`, {
    skip: kind.includes("port") && "a port is given by the program",
  }, async () => {
    await using line = await make();
    const { near, far } = await opened(line);
    line.home.expire();
    await until(() => near.end !== undefined && far.end !== undefined);
    line.home.isFull = true;
    const record = new Record();
    const outcome = await within(
      line.dial(record, new AbortController().signal).then(() => undefined, (error) => error),
    );
    if (outcome === undefined) await until(() => record.end !== undefined);
    else assert.equal(outcome.name, "ChannelConnectionError");
    assert.equal(line.home.ends.length, 1);
    assert.equal(line.home.gone, line.home.arrivals);
  });
}

test("web pipes: which origins of pages are allowed", {}, () => {
  const cases: [string | null, string | null, readonly string[], boolean][] = [
    [null, "h:1", [], true], // no browser
    ["http://localhost:8080", "localhost:8080", [], true],
    ["http://127.0.0.1:8080", "127.0.0.1:8080", [], true],
    ["http://[::1]:8080", "[::1]:8080", [], true],
    ["http://127.0.0.1", "127.0.0.1:80", [], true],
    ["https://example.org", "example.org", [], true],
    ["https://example.org", "example.org:443", [], true],
    ["http://localhost:3000", "localhost:8080", [], false],
    ["http://evil.example", "evil.example", [], false], // its name may be that of another host a moment later
    ["http://evil.example:8080", "127.0.0.1:8080", [], false],
    ["https://evil.example", "example.org", [], false],
    ["null", "localhost:8080", [], false],
    ["http://127.0.0.1.evil.example", "127.0.0.1.evil.example", [], false],
    ["http://evil.example", null, [], false],
    ["http://evil.example", "evil.example/x@", [], false],
    ["http://page.example", "h:1", ["http://page.example"], true],
    ["http://page.example:81", "h:1", ["http://page.example"], false],
    ["null", "h:1", ["null"], true],
    ["http://page.example", "h:1", ["*"], true],
  ];
  for (const [origin, host, allowed, expected] of cases) {
    assert.equal(isAllowedOrigin(origin, host, allowed), expected, `${origin} at ${host}`);
  }
});

/** Asks for a WebSocket at a server with this target, and never answers what comes. */
function silentClient(
  address: string,
  target: string,
): { readonly status: Promise<string>; readonly socket: Socket } {
  const socket = connect(Number(new URL(address).port), "127.0.0.1");
  socket.on("error", () => {}); // the server may end it
  const status = new Promise<string>((resolve) => {
    socket.once("data", (data) => resolve(String(data).split("\r\n")[0]!));
    socket.once("close", () => resolve("closed"));
  });
  socket.write(
    `GET ${target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
      "Sec-WebSocket-Protocol: channelts.1\r\n\r\n",
  );
  return { status, socket };
}

test("web pipes: a request with any target ends no server", {}, async () => {
  const home = new Ends();
  const options = { maxFrame: 1024, heartbeat: 0, refused() {} };
  const { address, close } = await listenWeb("ws://127.0.0.1:0/channels", options, home);
  for (
    const target of [
      "//[",
      "http://[",
      "http://a:99999/",
      "//",
      "/%",
      "*",
      "/CHANNELS",
      "/channels/",
    ]
  ) {
    const { status, socket } = silentClient(address, target);
    assert.match(await within(status), /^HTTP\/1\.1 40[04] /, target);
    socket.destroy();
  }
  const { status, socket } = silentClient(address, "/channels?x");
  assert.match(await within(status), / 101 /);
  await until(() => home.ends.length === 1);
  home.ends[0]!.pipe.close();
  socket.destroy();
  await close();
});

test(
  "web pipes: connections that never answer a close are ended, or are bounded for each address",
  {},
  async () => {
    const home = new Ends();
    const options = { maxFrame: 1024, heartbeat: 0, refused() {} };
    const { address, close } = await listenWeb("ws://127.0.0.1:0/", options, home);
    const clients: Socket[] = [];
    let open = 0;
    let isRefused = false;
    for (let i = 0; i < 70 && !isRefused; i++) {
      const { status, socket } = silentClient(address, "/");
      clients.push(socket);
      socket.once("close", () => open--);
      open++;
      isRefused = / 429 /.test(await within(status));
      if (isRefused) break;
      await until(() => home.ends.length === i + 1);
      const { pipe } = home.ends[i]!;
      if (i % 2 === 0) pipe.abort(new Error("of the test"));
      else pipe.close();
    }
    await until(() => home.ends.every(({ record }) => record.end !== undefined));
    if (!isRefused) await until(() => open === 0);
    assert.ok(open <= 65, `${open} connections are open`);
    for (const client of clients) client.destroy();
    await close();
  },
);
