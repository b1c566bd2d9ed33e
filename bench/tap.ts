import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** What passed between a client and the broker (AMQP 0-9-1, section 2.3.5). */
export interface Traffic {
  published: number;
  /** Of those: mandatory, persistent, with a content type and a message id. */
  guaranteed: number;
  confirmed: number;
  delivered: number;
  /** Delivered to consumers, or got, without a required acknowledgement. */
  unaccounted: number;
  acked: number;
  released: number;
  /** Chunks of data from the client: at most as many as it wrote. */
  chunks: number;
  bytes: number;
}

const FRAME_METHOD = 1;
const FRAME_HEADER = 2;
const CONSUME = method(60, 20);
const PUBLISH = method(60, 40);
const DELIVER = method(60, 60);
const GET = method(60, 70);
const GET_OK = method(60, 71);
const ACK = method(60, 80);
const NACK = method(60, 120);
const HAS_TYPE_MODE_ID = 0x8000 | 0x1000 | 0x0080;
const MULTIPLE = 1;

/**
 * A proxy that counts what clients send to a broker, as evidence that they do the same work. For one broker without
 * TLS.
 */
export class Tap {
  traffic: Traffic = nothing();
  readonly #target: URL;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(uri: string) {
    this.#target = new URL(uri);
    this.#server = createServer((client) => this.#pass(client));
  }

  /** Resolves with the URI to connect to. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const url = new URL(this.#target);
    url.hostname = "127.0.0.1";
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.href;
  }

  /** Resets the counts. */
  reset(): void {
    this.traffic = nothing();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #pass(client: Socket): void {
    const { hostname, port } = this.#target;
    const broker = connect(Number(port || 5672), hostname);
    const confirms = new Tags();
    const loans = new Map<number, Tags>();
    const published = new Map<number, number>();
    const outgoing = new Frames(8, (frame) => this.#sent(frame, loans, confirms, published));
    const incoming = new Frames(0, (frame) => this.#received(frame, loans, confirms));
    client.on("data", (chunk: Uint8Array) => {
      this.traffic.chunks++;
      this.traffic.bytes += chunk.length;
      outgoing.read(chunk);
      broker.write(chunk);
    });
    broker.on("data", (chunk: Uint8Array) => {
      incoming.read(chunk);
      client.write(chunk);
    });
    for (const [socket, other] of [[client, broker], [broker, client]] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {}); // "close" follows
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }

  #sent(frame: DataView, loans: Map<number, Tags>, confirms: Tags, published: Map<number, number>) {
    const traffic = this.traffic;
    const channel = frame.getUint16(1);
    if (frame.getUint8(0) === FRAME_HEADER) {
      const isMandatory = published.get(channel) === 1;
      const flags = frame.getUint16(7 + 12);
      const type = 7 + 14;
      let at = type + 1 + frame.getUint8(type);
      if (flags & 0x4000) at += 1 + frame.getUint8(at); // content encoding
      if (flags & 0x2000) at += 4 + frame.getUint32(at); // headers
      const isPersistent = frame.getUint8(at) === 2;
      const hasAll = (flags & HAS_TYPE_MODE_ID) === HAS_TYPE_MODE_ID;
      if (isMandatory && hasAll && isPersistent) traffic.guaranteed++;
    }
    if (frame.getUint8(0) !== FRAME_METHOD) return;
    const what = frame.getUint32(7);
    if (what === PUBLISH) {
      traffic.published++;
      confirms.add(++confirms.last);
      const exchange = 7 + 6;
      const key = exchange + 1 + frame.getUint8(exchange);
      published.set(channel, frame.getUint8(key + 1 + frame.getUint8(key)) & 1);
    } else if (what === ACK || what === NACK) {
      const settled = loans.get(channel)?.settle(frame) ?? 0;
      if (what === ACK) traffic.acked += settled;
      else traffic.released += settled;
    } else if (what === CONSUME) {
      const queue = 7 + 6;
      const tag = queue + 1 + frame.getUint8(queue);
      if (frame.getUint8(tag + 1 + frame.getUint8(tag)) & 2) traffic.unaccounted++;
    } else if (what === GET) {
      const queue = 7 + 6;
      if (frame.getUint8(queue + 1 + frame.getUint8(queue)) & 1) traffic.unaccounted++;
    }
  }

  #received(frame: DataView, loans: Map<number, Tags>, confirms: Tags) {
    if (frame.getUint8(0) !== FRAME_METHOD) return;
    const channel = frame.getUint16(1);
    const what = frame.getUint32(7);
    if (what === ACK) this.traffic.confirmed += confirms.settle(frame);
    if (what !== DELIVER && what !== GET_OK) return;
    this.traffic.delivered++;
    const at = what === DELIVER ? 7 + 4 + 1 + frame.getUint8(7 + 4) : 7 + 4;
    let tags = loans.get(channel);
    if (!tags) loans.set(channel, tags = new Tags());
    tags.add(Number(frame.getBigUint64(at)));
  }
}

/** Delivery tags that are not settled yet. */
class Tags {
  last = 0;
  readonly #open = new Set<number>();

  add(tag: number): void {
    this.#open.add(tag);
  }

  /** Settles the tags of an ack or nack frame and returns their number. */
  settle(frame: DataView): number {
    const tag = Number(frame.getBigUint64(7 + 4));
    if (!(frame.getUint8(7 + 12) & MULTIPLE)) return this.#open.delete(tag) ? 1 : 0;
    let settled = 0;
    for (const each of this.#open) {
      if (each > tag && tag !== 0) break; // they are in order
      this.#open.delete(each);
      settled++;
    }
    return settled;
  }
}

/** Splits a stream of bytes into frames, after `skip` bytes that are not frames. */
class Frames {
  #rest: Uint8Array = new Uint8Array();
  #skip: number;
  readonly #take: (frame: DataView) => void;

  constructor(skip: number, take: (frame: DataView) => void) {
    this.#skip = skip;
    this.#take = take;
  }

  read(chunk: Uint8Array): void {
    const bytes = new Uint8Array(this.#rest.length + chunk.length);
    bytes.set(this.#rest);
    bytes.set(chunk, this.#rest.length);
    let at = Math.min(this.#skip, bytes.length);
    this.#skip -= at;
    while (at + 7 <= bytes.length) {
      const view = new DataView(bytes.buffer, at);
      const end = at + 7 + view.getUint32(3) + 1;
      if (end > bytes.length) break;
      this.#take(view);
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }
}

function method(classId: number, id: number): number {
  return classId * 0x10000 + id;
}

function nothing(): Traffic {
  return {
    published: 0,
    guaranteed: 0,
    confirmed: 0,
    delivered: 0,
    unaccounted: 0,
    acked: 0,
    released: 0,
    chunks: 0,
    bytes: 0,
  };
}
