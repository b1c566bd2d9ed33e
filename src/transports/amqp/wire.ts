import { type AMQPBaseClient, AMQPClient } from "@cloudamqp/amqp-client";
import { clearInterval, setImmediate, setInterval } from "node:timers";
import process from "node:process";
import type { AmqpUri } from "./uri.ts";

type Socket = NonNullable<AMQPClient["socket"]>;

/**
 * The AMQP client, with what it lacks on its socket:
 *
 * - TCP_NODELAY, without which a broker's answer takes 40 ms;
 * - what is sent in one turn of the event loop leaves in one write;
 * - the process may exit while nobody holds the connection, yet not before all is written;
 * - bytes that are no AMQP end the connection instead of the process.
 */
export class Wire extends AMQPClient {
  #batch = new Uint8Array(batchSize);
  #batched = 0;
  readonly #lastWork: (() => void)[] = [];
  #turnEnds = false;
  #writing = 0;
  #holds = 0;
  #isReferenced = true;
  #isReleasing = false;
  #isConnected = false;

  constructor(uri: AmqpUri) {
    super(clientUrl(uri));
    // The client leaves the brackets of an IPv6 address in place.
    Object.assign(this, { host: uri.host });
    // It takes an empty password for none.
    Object.defineProperty(this, "password", { value: uri.password, enumerable: false });
    const { bufferPool } = this as unknown as { bufferPool: DataView[] };
    // It keeps every buffer that it sends from, also one that has grown to a large message's size.
    bufferPool.push = (buffer) =>
      buffer.byteLength > this.frameMax
        ? bufferPool.length
        : Array.prototype.push.call(bufferPool, buffer);
    this.onerror = () => {}; // every loss is told to ondisconnect, too
  }

  override async connect(): Promise<AMQPBaseClient> {
    const connecting = super.connect();
    const socket = this.socket!;
    guard(socket);
    socket.setNoDelay(true);
    await connecting;
    this.#isConnected = true;
    // The buffers for sending are pooled at this size, one for each message on its way. Smaller
    // frames than negotiated may be sent, and large ones are received all the same.
    this.frameMax = Math.min(this.frameMax || sendFrameMax, sendFrameMax);
    this.#watch(socket);
    this.#release();
    return this;
  }

  /** Ends a connection that was silent for two heartbeats: the client only sees one without traffic. */
  #watch(socket: Socket): void {
    if (this.heartbeat === 0) return;
    const interval = this.heartbeat * 1000;
    let lastRead = performance.now();
    socket.on("data", () => lastRead = performance.now());
    const timer = setInterval(() => {
      if (performance.now() - lastRead > 2 * interval) {
        socket.destroy(new Error(`the broker was silent for ${2 * this.heartbeat} s`));
      }
    }, interval);
    timer.unref();
    socket.once("close", () => clearInterval(timer));
  }

  /** Keeps the process alive until as many calls of `unhold` have come. */
  hold(): void {
    this.#holds++;
    if (!this.#isReferenced) {
      this.#isReferenced = true;
      this.socket?.ref();
    }
  }

  unhold(): void {
    this.#holds--;
    this.#release();
  }

  /** Ends the connection without a word. */
  destroy(): void {
    this.socket?.destroy();
  }

  /** Later, for operations follow each other closely. */
  #release(): void {
    if (this.#holds > 0 || this.#writing > 0 || !this.#isReferenced || this.#isReleasing) return;
    this.#isReleasing = true;
    setImmediate(() => {
      this.#isReleasing = false;
      if (this.#holds > 0 || this.#writing > 0 || this.#batched > 0 || !this.#isReferenced) return;
      this.#isReferenced = false;
      this.socket?.unref();
    });
  }

  override send(bytes: Uint8Array): Promise<void> {
    if (this.socket === undefined || this.socket.destroyed) {
      // The client does not expect this before it is connected, and hears of the end otherwise.
      return this.#isConnected ? Promise.reject(new Error("the connection is closed")) : sent;
    }
    if (this.#batched + bytes.length > batchSize) this.#flush();
    if (bytes.length > batchSize) {
      this.#write(bytes);
    } else {
      this.#batch.set(bytes, this.#batched);
      this.#batched += bytes.length;
      this.#endTurn();
    }
    return sent;
  }

  /** Runs `work`, which may send, at the end of this turn: what it sends leaves with all the rest. */
  atEndOfTurn(work: () => void): void {
    this.#lastWork.push(work);
    this.#endTurn();
  }

  #endTurn(): void {
    if (this.#turnEnds) return;
    this.#turnEnds = true;
    // When all microtasks are done: code that awaits what has just settled sends, too.
    queueMicrotask(() => process.nextTick(this.#onEndOfTurn));
  }

  readonly #onEndOfTurn = (): void => {
    for (const work of this.#lastWork.splice(0)) work();
    this.#turnEnds = false;
    this.#flush();
  };

  #flush(): void {
    if (this.#batched === 0) return;
    const bytes = this.#batch.slice(0, this.#batched);
    this.#batched = 0;
    this.#write(bytes);
  }

  #write(bytes: Uint8Array): void {
    this.#writing++;
    this.socket?.write(bytes, () => {
      this.#writing--;
      this.#release();
    });
  }
}

const sent: Promise<void> = Promise.resolve();

/** Bytes that are copied together into one write. */
const batchSize = 16 * 1024;

/** Bytes; what AMQP clients may assume is 4,096, and this client's least is 8,192. */
const sendFrameMax = 8192;

const receiveFrameMax = 128 * 1024;

function clientUrl(uri: AmqpUri): string {
  const url = new URL(`${uri.tls ? "amqps" : "amqp"}://host`);
  url.host = uri.host.includes(":") ? `[${uri.host}]:${uri.port}` : `${uri.host}:${uri.port}`;
  url.username = encodeURIComponent(uri.username);
  url.password = encodeURIComponent(uri.password);
  url.pathname = encodeURIComponent(uri.vhost);
  url.searchParams.set("frameMax", String(uri.frameMax ?? receiveFrameMax));
  url.searchParams.set("heartbeat", String(uri.heartbeat ?? 30));
  url.searchParams.set("channelMax", String(uri.channelMax ?? 0));
  url.searchParams.set("name", uri.name ?? `ChannelTS ${process.pid}`);
  return url.href;
}

/** Lets the client read only what may be AMQP, and turns what it throws into the connection's end. */
function guard(socket: Socket): void {
  const [read] = socket.listeners("data") as [(chunk: Uint8Array) => void];
  let begun = false;
  socket.off("data", read);
  socket.on("data", (chunk: Uint8Array) => {
    try {
      if (!begun) expectAmqp(chunk);
      begun = true;
      read(chunk);
    } catch (error) {
      socket.destroy(error as Error);
    }
  });
}

/** The first frame is a method (type 1) on channel 0 (AMQP 0-9-1, section 2.3.5). */
function expectAmqp(chunk: Uint8Array): void {
  if (chunk[0] === 1) return;
  const text = String.fromCharCode(...chunk.subarray(0, 40)).split(/[^\x20-\x7e]/)[0];
  const answer = chunk[0] === 0x15
    ? "it speaks TLS; try amqps://"
    : text === "AMQP"
    ? "it speaks another version of AMQP"
    : `it answered ${JSON.stringify(text)}`;
  throw new Error(`not AMQP 0-9-1: ${answer}`);
}
