// One end of a pipe without the library: it sends any bytes as a frame. Deno only.

import { Buffer } from "node:buffer";
import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** One end of a pipe. */
export interface RawEnd {
  /** Sends one frame. */
  send(frame: Uint8Array | string): void;
  /** Called with each frame that arrives. */
  onFrame: (frame: Uint8Array) => void;
  /** Resolves when the pipe is closed, by either end. */
  readonly closed: Promise<void>;
  /** Whether the pipe is closed. */
  readonly isClosed: boolean;
  close(): void;
}

abstract class End implements RawEnd {
  onFrame: (frame: Uint8Array) => void = () => {};
  readonly closed: Promise<void>;
  isClosed = false;
  readonly #resolve: () => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolve = resolve;
  }

  abstract send(frame: Uint8Array | string): void;
  abstract close(): void;

  protected ended(): void {
    this.isClosed = true;
    this.#resolve();
  }
}

/** The end of a MessagePort. */
export class PortEnd extends End {
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    super();
    this.#port = port;
    port.onmessage = ({ data }) => {
      if (data === null) this.close();
      else this.onFrame(new Uint8Array(data));
    };
  }

  send(frame: Uint8Array | string): void {
    if (!this.isClosed) this.#port.postMessage(bytesOf(frame));
  }

  close(): void {
    if (this.isClosed) return;
    this.#port.postMessage(null);
    this.#port.close();
    this.ended();
  }
}

/** The end of a WebSocket. */
export class WebSocketEnd extends End {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    super();
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.onFrame(bytesOf(data));
    socket.onerror = (event) => event.preventDefault();
    socket.onclose = () => this.ended();
  }

  /** Connects to a home. Resolves when the connection is open or has failed. */
  static async connect(uri: string): Promise<WebSocketEnd> {
    const socket = new WebSocket(uri, ["channelts.1"]);
    const end = new WebSocketEnd(socket);
    await Promise.race([new Promise((resolve) => socket.onopen = resolve), end.closed]);
    return end;
  }

  send(frame: Uint8Array | string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(bytesOf(frame));
  }

  close(): void {
    this.#socket.close();
  }
}

/** The end of a ZMTP connection, with the mechanism NULL. */
export class ZmtpEnd extends End {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #hasGreeting = false;

  constructor(socket: Socket, type: "DEALER" | "ROUTER") {
    super();
    this.socket = socket;
    socket.on("data", (bytes: Uint8Array) => this.#read(bytes));
    socket.on("error", () => {});
    socket.on("close", () => this.ended());
    socket.write(greeting);
    socket.write(ready(type));
  }

  /** Connects to a home. Resolves when the connection is open or has failed. */
  static async connect(uri: string, from = "127.0.0.1"): Promise<ZmtpEnd> {
    const { hostname, port } = new URL(uri);
    const socket = connect({ host: hostname, port: Number(port), localAddress: from });
    const end = new ZmtpEnd(socket, "DEALER");
    await Promise.race([new Promise<void>((resolve) => socket.on("connect", resolve)), end.closed]);
    return end;
  }

  send(frame: Uint8Array | string): void {
    const bytes = bytesOf(frame);
    const head = Buffer.alloc(9);
    head[0] = 2;
    head.writeBigUInt64BE(BigInt(bytes.length), 1);
    this.sendRaw(Buffer.concat([head, bytes]));
  }

  /** Sends bytes that need not be a frame. */
  sendRaw(bytes: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  close(): void {
    this.socket.destroy();
  }

  #read(bytes: Uint8Array): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    if (!this.#hasGreeting) {
      if (this.#received.length < greeting.length) return;
      this.#hasGreeting = true;
      this.#received = this.#received.subarray(greeting.length);
    }
    for (;;) {
      const all = this.#received;
      const isLong = (all[0]! & 2) !== 0;
      const before = isLong ? 9 : 2;
      if (all.length < before) return;
      const size = isLong ? Number(all.readBigUInt64BE(1)) : all[1]!;
      if (all.length < before + size) return;
      this.#received = all.subarray(before + size);
      const isCommand = (all[0]! & 4) !== 0;
      if (!isCommand) this.onFrame(new Uint8Array(all.subarray(before, before + size)));
    }
  }
}

/** A home that a test plays: it accepts connections. */
export interface FakeHome extends AsyncDisposable {
  readonly uri: string;
}

/** Plays a home over ZMTP. */
export async function fakeZmtpHome(accept: (end: RawEnd) => void): Promise<FakeHome> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    accept(new ZmtpEnd(socket, "ROUTER"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    uri: `zmq://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Plays a home over WebSocket. */
export function fakeWebSocketHome(accept: (end: RawEnd) => void): FakeHome {
  const ends = new Set<RawEnd>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "channelts.1" });
    const end = new WebSocketEnd(socket);
    ends.add(end);
    accept(end);
    return response;
  });
  return {
    uri: `ws://127.0.0.1:${server.addr.port}`,
    async [Symbol.asyncDispose]() {
      for (const end of ends) end.close();
      await server.shutdown();
    },
  };
}

/** The greeting of ZMTP 3.1 with the mechanism NULL. */
const greeting = Buffer.alloc(64);
greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1]);
greeting.write("NULL", 12);

function ready(type: string): Buffer {
  const property = (name: string, value: string) => {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(value.length);
    return Buffer.concat([Buffer.from([name.length]), Buffer.from(name), size, Buffer.from(value)]);
  };
  const body = Buffer.concat([
    Buffer.from([5]),
    Buffer.from("READY"),
    property("Socket-Type", type),
    property("Identity", ""),
  ]);
  return Buffer.concat([Buffer.from([4, body.length]), body]);
}

function bytesOf(data: Uint8Array | ArrayBuffer | string): Uint8Array<ArrayBuffer> {
  if (typeof data === "string") return new TextEncoder().encode(data);
  return new Uint8Array(data);
}
