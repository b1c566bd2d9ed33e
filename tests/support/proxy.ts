import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** The direction of data: to the broker or from it. */
export type Direction = "to" | "from";

/** A TCP proxy to a broker that can cut its connections. The client sees the proxy's port as the broker's. */
export interface Proxy extends AsyncDisposable {
  /** The port of 127.0.0.1 to connect to instead of the broker's. */
  readonly port: number;
  /** How many connections are open through the proxy. */
  readonly connections: number;
  /** How many connections have been opened in all. */
  readonly opened: number;
  /** How many swallowed connections the client has closed. */
  readonly abandoned: number;
  /**
   * Cuts each open connection in the middle of the `n`th frame that begins from now on (1 is the next one). Resolves
   * when all of them are cut.
   */
  cutInFrame(direction: Direction, n: number): Promise<void>;
  /** Cuts every connection opened from now on in the middle of its `n`th frame; undefined ends this. */
  cutEachIn(direction: Direction, n: number | undefined): void;
  /** Cuts all open connections at once. */
  cut(): void;
  /** Drops all bytes but keeps the connections open, as a broken network route does. */
  swallow(): void;
  /** Cuts the swallowed connections and serves new ones. */
  recover(): void;
}

/** Starts a proxy to a port of 127.0.0.1. */
export async function startProxy(target: number): Promise<Proxy> {
  const proxy = new CuttingProxy(target);
  await proxy.listen();
  return proxy;
}

class CuttingProxy implements Proxy {
  readonly #target: number;
  readonly #server: Server;
  readonly #cables = new Set<Cable>();
  #each: { readonly direction: Direction; readonly n: number } | undefined;
  #swallows = false;
  opened = 0;
  abandoned = 0;

  constructor(target: number) {
    this.#target = target;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#cables.size;
  }

  async cutInFrame(direction: Direction, n: number): Promise<void> {
    await Promise.all([...this.#cables].map((cable) => {
      cable.cutIn(direction, n);
      return cable.ended;
    }));
  }

  cutEachIn(direction: Direction, n: number | undefined): void {
    this.#each = n === undefined ? undefined : { direction, n };
  }

  cut(): void {
    for (const cable of [...this.#cables]) cable.cut();
  }

  swallow(): void {
    this.#swallows = true;
    for (const cable of this.#cables) cable.swallow();
  }

  recover(): void {
    this.#swallows = false;
    for (const cable of [...this.#cables]) if (cable.isSwallowed) cable.cut();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(client: Socket): void {
    this.opened++;
    const broker = connect({ host: "127.0.0.1", port: this.#target, noDelay: true });
    const cable = new Cable(client, broker);
    this.#cables.add(cable);
    client.once("close", () => {
      if (cable.isSwallowed) this.abandoned++;
    });
    cable.ended.then(() => this.#cables.delete(cable));
    if (this.#each !== undefined) cable.cutIn(this.#each.direction, this.#each.n);
    if (this.#swallows) cable.swallow();
  }
}

/** One connection. It passes bytes on at once and tracks where frames begin and end. */
class Cable {
  readonly ended: Promise<void>;
  readonly #sockets: Record<Direction, Socket>;
  readonly #frames: Record<Direction, Frames>;
  /** Whether the connection drops all bytes and does not report to one end that the other has closed. */
  isSwallowed = false;
  #isCut = false;

  constructor(client: Socket, broker: Socket) {
    this.#sockets = { from: client, to: broker };
    // A client begins with "AMQP" and a version, which are not a frame.
    this.#frames = { from: new Frames(0), to: new Frames(8) };
    const closed = (socket: Socket) =>
      new Promise<void>((resolve) => {
        socket.on("error", () => {}).once("close", () => {
          resolve();
          if (!this.isSwallowed) this.cut();
        });
      });
    this.ended = Promise.all([closed(client), closed(broker)]).then(() => {});
    client.on("data", (bytes: Uint8Array) => this.#pass("to", bytes));
    broker.on("data", (bytes: Uint8Array) => this.#pass("from", bytes));
  }

  cutIn(direction: Direction, n: number): void {
    this.#frames[direction].stopIn(n);
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of Object.values(this.#sockets)) socket.destroy();
  }

  swallow(): void {
    this.isSwallowed = true;
  }

  #pass(direction: Direction, bytes: Uint8Array): void {
    if (this.isSwallowed || this.#isCut) return;
    const passed = this.#frames[direction].until(bytes);
    const socket = this.#sockets[direction];
    if (passed === undefined) {
      socket.write(bytes);
    } else {
      // The bytes before the cut must arrive, so that the peer has received a part of a frame.
      this.#isCut = true;
      if (passed === 0 || socket.destroyed) this.cut();
      else socket.write(bytes.subarray(0, passed), () => this.cut());
    }
  }
}

/** Tracks AMQP 0-9-1 frames (section 4.2.3): type, channel (2 bytes), size (4 bytes), payload, end. */
class Frames {
  /** The number of bytes until the next frame begins. */
  #rest: number;
  /** The first bytes of a frame whose size is not known yet. */
  #head: number[] = [];
  /** The number of frames until the one to stop in. */
  #left: number | undefined;

  constructor(before: number) {
    this.#rest = before;
  }

  stopIn(n: number): void {
    this.#left = n;
  }

  /** Returns how many of these bytes come before the stop; undefined if the stop is not among them. */
  until(bytes: Uint8Array): number | undefined {
    for (let at = 0; at < bytes.length;) {
      if (this.#rest > 0) {
        const step = Math.min(this.#rest, bytes.length - at);
        this.#rest -= step;
        at += step;
        continue;
      }
      this.#head.push(bytes[at++]!);
      if (this.#head.length < headSize) continue;
      const size = this.#head.slice(3).reduce((size, byte) => size * 256 + byte);
      this.#head = [];
      this.#rest = size + 1;
      if (this.#left !== undefined && --this.#left === 0) {
        return Math.min(at + Math.floor(size / 2), bytes.length);
      }
    }
    return undefined;
  }
}

const headSize = 7;
