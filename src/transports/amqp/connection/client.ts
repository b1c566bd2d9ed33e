import { type AMQPBaseClient, type AMQPChannel, AMQPClient } from "@cloudamqp/amqp-client";
import { clearInterval, setImmediate, setInterval } from "node:timers";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import type { Buffer } from "node:buffer";
import { hostname } from "../../../shared/host.ts";
import { internalsOf } from "./client_internals.ts";
import { DeliveryReader } from "./message_frames.ts";
import type { SendBuffer } from "./frames.ts";
import type { Refable } from "./process_ref.ts";
import type { Method } from "./refusal.ts";
import { type AmqpUri, type Endpoint, shown } from "../uri.ts";

/** What TLS uses beside its defaults, in PEM; as node:tls has it. */
export interface TlsOptions {
  readonly ca?: string | readonly string[];
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

type Socket = NonNullable<AMQPClient["socket"]>;

/**
 * The AMQP client, with what it lacks on its socket:
 *
 * - TCP_NODELAY, without which a broker's answer takes 40 ms;
 * - what is sent in one turn of the event loop leaves in one write;
 * - the process may exit while nobody holds the connection, yet not before all is written;
 * - bytes that are no AMQP end the connection instead of the process.
 */
export class Client extends AMQPClient implements SendBuffer, Refable {
  /** Bytes; a frame may be as large. */
  largestFrame: number = sendFrameMax;
  #batch = new Uint8Array(batchSize);
  #batched = 0;
  readonly #lastWork: (() => void)[] = [];
  #turnEnds = false;
  /** Whether something was written in this turn. */
  #hasWritten = false;
  #writing = 0;
  /** More than a batch, and not written yet: whoever asked for the room is filling it. */
  #large: Uint8Array | undefined;
  #isWanted = true;
  #isReferenced = true;
  #isReleasing = false;
  #isConnected = false;
  /** The method that the broker has refused last, by AMQP channel; 0 is the connection. */
  readonly refused: Map<number, Method> = new Map();
  /** Whether the broker is known to count this user's AMQP channels, and to allow no more. */
  isCounted = false;
  /** When the broker last ended one of them. */
  #lastEnd = -Infinity;
  readonly #largestRead: number;
  /** The messages that come, from when it is connected. */
  deliveries!: DeliveryReader;
  /** Called where something was to be sent and the socket is gone; `ondisconnect` comes later. */
  onDead: () => void = () => {};

  /** @param tls used with `amqps:` only */
  constructor(uri: AmqpUri, endpoint: Endpoint, tls: TlsOptions = {}) {
    super(clientUrl(uri, endpoint), tls as ConstructorParameters<typeof AMQPClient>[1]);
    this.#largestRead = uri.frameMax ?? receiveFrameMax;
    // The client leaves the brackets of an IPv6 address in place.
    Object.assign(this, { host: endpoint.host });
    Object.defineProperty(this, "tlsOptions", { enumerable: false }); // there is a key among them
    // It takes an empty password for none.
    Object.defineProperty(this, "password", { value: uri.password, enumerable: false });
    const { bufferPool } = internalsOf(this);
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
    const [pass] = socket.listeners("data") as [(chunk: Uint8Array) => void];
    socket.off("data", pass);
    this.deliveries = new DeliveryReader(pass, this.#largestRead);
    guard(socket, (chunk) => this.deliveries.read(chunk));
    socket.setNoDelay(true);
    this.#isReferenced = true;
    this.#release();
    await connecting;
    this.#isConnected = true;
    this.largestFrame = this.frameMax || receiveFrameMax;
    // The client's buffers for sending are pooled at this size, and what it sends is small. Smaller
    // frames than negotiated may be sent, and large ones are received all the same.
    this.frameMax = Math.min(this.frameMax || sendFrameMax, sendFrameMax);
    this.#watch(socket);
    this.#release();
    return this;
  }

  /** Ends a connection on which nothing was read for two heartbeats. */
  #watch(socket: Socket): void {
    socket.setTimeout(0); // the client's own, which is over after one heartbeat without a byte
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

  /** Keeps the process alive. */
  ref(): void {
    this.#isWanted = true;
    if (this.#isReferenced) return;
    this.#isReferenced = true;
    this.socket?.ref();
  }

  /** Lets the process exit, when all is written. */
  unref(): void {
    this.#isWanted = false;
    this.#release();
  }

  /** Ends the connection without a word. */
  destroy(): void {
    this.socket?.destroy();
  }

  /** Later, for operations follow each other closely. */
  #release(): void {
    if (this.#isWanted || this.#writing > 0 || !this.#isReferenced || this.#isReleasing) return;
    this.#isReleasing = true;
    setImmediate(() => {
      this.#isReleasing = false;
      if (this.#isWanted || this.#writing > 0 || this.#turnEnds || !this.#isReferenced) return;
      this.#isReferenced = false;
      this.socket?.unref();
    });
  }

  /**
   * RabbitMQ's basic.nack has the bit `requeue` (2) set beside `multiple` (1), and the client reads
   * "multiple" only where it is alone: all but the last of what is refused together would never be
   * settled.
   */
  protected override parseFrames(view: Parameters<AMQPBaseClient["parseFrames"]>[0]): void {
    const isNack = view.getUint8(0) === 1 && view.getUint16(7) === 60 && view.getUint16(9) === 120;
    if (isNack) view.setUint8(19, view.getUint8(19) & 1);
    this.#note(view);
    super.parseFrames(view);
  }

  /** Opens an AMQP channel: where they are counted, not before the broker has learnt of the end of the last. */
  override async channel(id?: number): Promise<AMQPChannel> {
    const rest = this.#lastEnd + countTime - performance.now();
    if (this.isCounted && rest > 0) await pause(rest);
    return await super.channel(id);
  }

  /** Notes what the broker has refused: the client's error does not tell. */
  #note(view: Parameters<AMQPBaseClient["parseFrames"]>[0]): void {
    if (view.getUint8(0) !== 1) return;
    const method = view.getUint32(7);
    if (method !== channelClose && method !== connectionClose) return;
    const at = 14 + view.getUint8(13); // behind the reply text
    this.#lastEnd = performance.now();
    this.refused.set(view.getUint16(1), `${view.getUint16(at)}.${view.getUint16(at + 2)}`);
  }

  override send(bytes: Uint8Array): Promise<void> {
    if (this.socket === undefined || this.socket.destroyed) {
      // The client does not expect this before it is connected, and hears of the end otherwise.
      if (!this.#isConnected) return sent;
      queueMicrotask(() => this.onDead()); // before whoever sent this hears of it
      return Promise.reject(new Error("the connection is closed"));
    }
    const room = this.reserve(bytes.length);
    room.bytes.set(bytes, room.at);
    return sent;
  }

  /** Room for so many bytes, to be filled at once; they leave at the end of this turn. */
  reserve(size: number): { readonly bytes: Uint8Array; readonly at: number } {
    if (this.#large !== undefined || this.#batched + size > batchSize) this.flush();
    this.#endTurn();
    if (size > batchSize) return { bytes: this.#large = new Uint8Array(size), at: 0 };
    const at = this.#batched;
    this.#batched += size;
    return { bytes: this.#batch, at };
  }

  /** Whether nothing was sent in this turn: what is sent first need not wait for others. */
  get isQuiet(): boolean {
    return this.#batched === 0 && this.#large === undefined && !this.#hasWritten;
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
    this.flush();
    this.#hasWritten = false;
  };

  /** Writes what was to leave at the end of this turn. */
  flush(): void {
    if (this.#large !== undefined) {
      this.#write(this.#large);
      this.#large = undefined;
    }
    if (this.#batched === 0) return;
    const bytes = this.#batch.slice(0, this.#batched);
    this.#batched = 0;
    this.#write(bytes);
  }

  #write(bytes: Uint8Array): void {
    this.#hasWritten = true;
    this.#writing++;
    this.socket?.write(bytes, () => {
      this.#writing--;
      this.#release();
    });
  }
}

const sent: Promise<void> = Promise.resolve();

/** Milliseconds within which RabbitMQ counts an AMQP channel no more that has ended. */
const countTime = 100;

/** Class and method of the frames with which the broker ends what it refuses (AMQP 0-9-1, section 1.2). */
const channelClose = 20 << 16 | 40;
const connectionClose = 10 << 16 | 50;

/** Bytes that are copied together into one write. */
const batchSize = 16 * 1024;

/** Bytes; what AMQP clients may assume is 4,096, and this client's least is 8,192. */
const sendFrameMax = 8192;

const receiveFrameMax = 128 * 1024;

function clientUrl(uri: AmqpUri, endpoint: Endpoint): string {
  const url = new URL(`${uri.tls ? "amqps" : "amqp"}://host`);
  url.host = shown(endpoint);
  url.username = encodeURIComponent(uri.username);
  url.password = encodeURIComponent(uri.password);
  url.pathname = encodeURIComponent(uri.vhost);
  url.searchParams.set("frameMax", String(uri.frameMax ?? receiveFrameMax));
  url.searchParams.set("heartbeat", String(uri.heartbeat ?? 30));
  url.searchParams.set("channelMax", String(uri.channelMax ?? 0));
  url.searchParams.set(
    "name",
    uri.name ?? ["ChannelTS", hostname(), process.pid].filter(Boolean).join(" "),
  );
  return url.href;
}

/** Has data read where they may be AMQP, and turns what is thrown then into the connection's end. */
function guard(socket: Socket, read: (chunk: Buffer) => void): void {
  let begun = false;
  socket.on("data", (chunk: Buffer) => {
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
