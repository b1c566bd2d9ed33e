import { type AMQPBaseClient, type AMQPChannel, AMQPClient } from "@cloudamqp/amqp-client";
import { clearInterval, setImmediate, setInterval } from "node:timers";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import type { Buffer } from "node:buffer";
import { hostname } from "../../../shared/host.ts";
import { internalsOf } from "./client_internals.ts";
import { DeliveryReader } from "./message_frames.ts";
import type { SendBuffer } from "./frames.ts";
import type { Refable } from "../../remote/process_ref.ts";
import type { Method } from "./refusal.ts";
import type { TransportOptions } from "../../transport.ts";
import { type Endpoint, shownEndpoint } from "../../remote/uri_text.ts";
import type { AmqpUri } from "../uri.ts";

/** The options of TLS, in PEM, as `node:tls` defines them. */
export type TlsOptions = Pick<TransportOptions, "ca" | "cert" | "key" | "servername">;

type Socket = NonNullable<AMQPClient["socket"]>;

/**
 * The AMQP client, which handles its socket differently in these points:
 *
 * - TCP_NODELAY is set; without it an answer of the broker takes 40 ms.
 * - The bytes that are sent in one turn of the event loop leave in one write.
 * - The process may exit while no operation is pending, but not before all bytes are written.
 * - Bytes that are not AMQP end the connection, and not the process. Nor does a publication that cannot be sent any more.
 *
 * It depends on private parts of `@cloudamqp/amqp-client`, which client_internals.ts lists.
 */
export class Client extends AMQPClient implements SendBuffer, Refable {
  /** Bytes of the largest frame that may be sent. */
  largestFrame: number = sendFrameMax;
  #batch = new Uint8Array(batchSize);
  #batched = 0;
  readonly #atEndOfTurn: (() => void)[] = [];
  /** Whether `#onEndOfTurn` is scheduled. */
  #turnEnds = false;
  /** Whether bytes were written in this turn. */
  #hasWritten = false;
  /** The number of writes that are not finished. */
  #writing = 0;
  /** A publication that is larger than the batch, and not written yet. The caller of `reserve` fills it. */
  #large: Uint8Array | undefined;
  /** Whether an operation is pending, for which the socket keeps the process alive. */
  #isWanted = true;
  #isReferenced = true;
  #isReleasing = false;
  #isConnected = false;
  /** The method that the broker refused last, by the number of the AMQP channel; 0 is the connection. */
  readonly refused: Map<number, Method> = new Map();
  /** Whether the broker limits this user's AMQP channels, and the limit was met. */
  isCounted = false;
  /** When the broker last closed an AMQP channel, in ms of `performance.now()`. */
  #lastEnd = -Infinity;
  readonly #largestRead: number;
  /** The messages of consumers; set when the connection is made. */
  deliveries!: DeliveryReader;
  /** Called when bytes were to be sent and the socket is gone. `ondisconnect` follows later. */
  onDead: () => void = () => {};

  /** @param tls used with `amqps:` only */
  constructor(uri: AmqpUri, endpoint: Endpoint, tls: TlsOptions = {}) {
    super(clientUrl(uri, endpoint), tls as ConstructorParameters<typeof AMQPClient>[1]);
    this.#largestRead = uri.frameMax ?? receiveFrameMax;
    // AMQPClient keeps the brackets of an IPv6 address.
    Object.assign(this, { host: endpoint.host });
    Object.defineProperty(this, "tlsOptions", { enumerable: false }); // they may hold a key
    // AMQPClient replaces an empty password by "guest".
    Object.defineProperty(this, "password", { value: uri.password, enumerable: false });
    const { bufferPool } = internalsOf(this);
    // AMQPClient keeps every buffer that it sends from, also one that has grown to a large message's size.
    bufferPool.push = (buffer) =>
      buffer.byteLength > this.frameMax
        ? bufferPool.length
        : Array.prototype.push.call(bufferPool, buffer);
    this.onerror = () => {}; // ondisconnect is called for every loss, too
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
    // AMQPClient pools its send buffers at this size, and sends only small messages. It may send smaller frames than
    // were negotiated; received frames are not affected.
    this.frameMax = Math.min(this.frameMax || sendFrameMax, sendFrameMax);
    this.#watch(socket);
    this.#release();
    return this;
  }

  /** Ends the connection when nothing was read for two heartbeats. */
  #watch(socket: Socket): void {
    socket.setTimeout(0); // AMQPClient's timeout is one heartbeat
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

  /** Lets the process exit after all bytes are written. */
  unref(): void {
    this.#isWanted = false;
    this.#release();
  }

  /** Ends the connection without telling the broker. */
  destroy(): void {
    this.socket?.destroy();
  }

  /** Unreferences the socket if it can be. It does so later, because the next operation often follows at once. */
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
   * Clears the bit `requeue` (2) that RabbitMQ sets in basic.nack beside `multiple` (1). AMQPClient reads `multiple`
   * only if no other bit is set, so of several messages that are refused together only the last would be settled.
   */
  protected override parseFrames(view: Parameters<AMQPBaseClient["parseFrames"]>[0]): void {
    const isNack = view.getUint8(0) === 1 && view.getUint16(7) === 60 && view.getUint16(9) === 120;
    if (isNack) view.setUint8(19, view.getUint8(19) & 1);
    this.#noteRefusal(view);
    super.parseFrames(view);
  }

  /** Opens an AMQP channel. If they are counted, it waits until the broker has counted the end of the last one. */
  override async channel(id?: number): Promise<AMQPChannel> {
    const rest = this.#lastEnd + countTime - performance.now();
    if (this.isCounted && rest > 0) await pause(rest);
    const channel = await super.channel(id);
    const { basicPublish } = channel;
    // If the bytes cannot be sent, AMQPClient leaves the rejection of the confirmation to nobody.
    channel.basicPublish = (...args) =>
      this.#isEnded ? this.#refuse() : basicPublish.apply(channel, args);
    return channel;
  }

  /** Notes which method the broker has refused: AMQPClient's error does not tell. */
  #noteRefusal(view: Parameters<AMQPBaseClient["parseFrames"]>[0]): void {
    if (view.getUint8(0) !== 1) return;
    const method = view.getUint32(7);
    if (method !== channelClose && method !== connectionClose) return;
    const at = 14 + view.getUint8(13); // after the reply text
    this.#lastEnd = performance.now();
    this.refused.set(view.getUint16(1), `${view.getUint16(at)}.${view.getUint16(at + 2)}`);
  }

  /** Whether the socket is gone, so that nothing can be sent any more. */
  get #isEnded(): boolean {
    return this.socket === undefined || this.socket.destroyed;
  }

  #refuse(): Promise<never> {
    queueMicrotask(() => this.onDead()); // before the caller sees the rejection
    return Promise.reject(new Error("the connection is closed"));
  }

  override send(bytes: Uint8Array): Promise<void> {
    // Before it is connected, AMQPClient does not handle a rejection here; its socket's "close" tells it.
    if (this.#isEnded) return this.#isConnected ? this.#refuse() : sent;
    const room = this.reserve(bytes.length);
    room.bytes.set(bytes, room.at);
    return sent;
  }

  /** Reserves `size` bytes, which the caller fills at once. They leave at the end of this turn. */
  reserve(size: number): { readonly bytes: Uint8Array; readonly at: number } {
    if (this.#large !== undefined || this.#batched + size > batchSize) this.flush();
    this.#endTurn();
    if (size > batchSize) return { bytes: this.#large = new Uint8Array(size), at: 0 };
    const at = this.#batched;
    this.#batched += size;
    return { bytes: this.#batch, at };
  }

  /** Whether nothing was sent in this turn. The first bytes of a turn need not wait for others. */
  get isQuiet(): boolean {
    return this.#batched === 0 && this.#large === undefined && !this.#hasWritten;
  }

  /** Runs `work` at the end of this turn. The bytes that it sends leave in the same write as all others. */
  atEndOfTurn(work: () => void): void {
    this.#atEndOfTurn.push(work);
    this.#endTurn();
  }

  #endTurn(): void {
    if (this.#turnEnds) return;
    this.#turnEnds = true;
    // After all microtasks, because code that awaits a promise of this turn sends, too.
    queueMicrotask(() => process.nextTick(this.#onEndOfTurn));
  }

  readonly #onEndOfTurn = (): void => {
    for (const work of this.#atEndOfTurn.splice(0)) work();
    this.#turnEnds = false;
    this.flush();
    this.#hasWritten = false;
  };

  /** Writes the bytes that were to leave at the end of this turn. */
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

/** Milliseconds after which RabbitMQ no longer counts an AMQP channel that has ended. */
const countTime = 100;

/** Class and method of the frames by which the broker refuses a request (AMQP 0-9-1, section 1.2). */
const channelClose = 20 << 16 | 40;
const connectionClose = 10 << 16 | 50;

/** Bytes that are copied into one write. */
const batchSize = 16 * 1024;

/** Bytes. AMQP's minimum is 4,096, and AMQPClient's is 8,192. */
const sendFrameMax = 8192;

const receiveFrameMax = 128 * 1024;

function clientUrl(uri: AmqpUri, endpoint: Endpoint): string {
  const url = new URL(`${uri.tls ? "amqps" : "amqp"}://host`);
  url.host = shownEndpoint(endpoint);
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

/** Passes the socket's data to `read` if they are AMQP. An error ends the connection. */
function guard(socket: Socket, read: (chunk: Buffer) => void): void {
  let isAmqp = false;
  socket.on("data", (chunk: Buffer) => {
    try {
      if (!isAmqp) expectAmqp(chunk);
      isAmqp = true;
      read(chunk);
    } catch (error) {
      socket.destroy(error as Error);
    }
  });
}

/** Throws unless the chunk begins as AMQP does: with a method (type 1) on channel 0 (AMQP 0-9-1, section 2.3.5). */
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
