import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** Which way bytes go: to the broker, or from it. */
export type Direction = "to" | "from";

/** A cable to a broker that can be cut at will. Connections through it know the broker by its port. */
export interface Proxy extends AsyncDisposable {
  /** What to connect to on 127.0.0.1 instead of the broker's port. */
  readonly port: number;
  /** Connections that are open through it. */
  readonly connections: number;
  /** How many were ever opened. */
  readonly opened: number;
  /** How many that swallow everything the client has given up. */
  readonly abandoned: number;
  /**
   * Cuts each open connection in the middle of the `n`th frame that begins from now on (1: the next);
   * resolves when all of those are cut.
   */
  cutInFrame(direction: Direction, n: number): Promise<void>;
  /** Has every connection that is opened from now on cut in the middle of the `n`th frame; undefined: none. */
  cutEachIn(direction: Direction, n: number | undefined): void;
  /** Cuts what is open, at once. */
  cut(): void;
  /** Passes no byte on, yet keeps connections open, as a network does that has lost its way. */
  swallow(): void;
  /** Cuts the connections that were swallowed, and serves new ones. */
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

/** One connection. It passes bytes on as they come, but knows where frames begin and end. */
class Cable {
  readonly ended: Promise<void>;
  readonly #sockets: Record<Direction, Socket>;
  readonly #frames: Record<Direction, Frames>;
  /** Passes nothing on, and does not tell one end that the other has gone. */
  isSwallowed = false;
  #isCut = false;

  constructor(client: Socket, broker: Socket) {
    this.#sockets = { from: client, to: broker };
    // A client begins with "AMQP" and a version, which are no frame.
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
      // What is before the cut must arrive, so that it is a part of a frame that does.
      this.#isCut = true;
      if (passed === 0 || socket.destroyed) this.cut();
      else socket.write(bytes.subarray(0, passed), () => this.cut());
    }
  }
}

/** Frames of AMQP 0-9-1 (section 4.2.3): type, channel (2 bytes), size (4), payload, end. */
class Frames {
  /** Bytes until the next frame begins. */
  #rest: number;
  /** The beginning of a frame whose size is not known yet. */
  #head: number[] = [];
  /** Frames until the one to stop in. */
  #left: number | undefined;

  constructor(before: number) {
    this.#rest = before;
  }

  stopIn(n: number): void {
    this.#left = n;
  }

  /** How many of these bytes come before the stop; undefined where it is not among them. */
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
