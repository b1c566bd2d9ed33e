import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { Frames, type Framing } from "./framing.ts";

/** The direction of data: to the broker or from it. */
export type Direction = "to" | "from";

/** A TCP proxy to a broker or home that can cut its connections. The client sees the proxy's port as the broker's. */
export interface Proxy extends AsyncDisposable {
  /** The port of 127.0.0.1 to connect to instead of the broker's. */
  readonly port: number;
  /** How many connections are open through the proxy. */
  readonly connections: number;
  /** How many connections have been opened in all. */
  readonly opened: number;
  /** How many of the connections that drop all bytes the client has closed. */
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
  dropAll(): void;
  /** Cuts the connections that drop all bytes, and serves new ones. */
  recover(): void;
}

/** Starts a proxy to a port of 127.0.0.1, at which a server speaks this protocol. */
export async function startProxy(target: number, framing: Framing = "amqp"): Promise<Proxy> {
  const proxy = new CuttingProxy(target, framing);
  await proxy.listen();
  return proxy;
}

class CuttingProxy implements Proxy {
  readonly #target: number;
  readonly #framing: Framing;
  readonly #server: Server;
  readonly #open = new Set<ProxiedConnection>();
  #each: { readonly direction: Direction; readonly n: number } | undefined;
  #drops = false;
  opened = 0;
  abandoned = 0;

  constructor(target: number, framing: Framing) {
    this.#target = target;
    this.#framing = framing;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#open.size;
  }

  async cutInFrame(direction: Direction, n: number): Promise<void> {
    await Promise.all([...this.#open].map((connection) => {
      connection.cutIn(direction, n);
      return connection.ended;
    }));
  }

  cutEachIn(direction: Direction, n: number | undefined): void {
    this.#each = n === undefined ? undefined : { direction, n };
  }

  cut(): void {
    for (const connection of [...this.#open]) connection.cut();
  }

  dropAll(): void {
    this.#drops = true;
    for (const connection of this.#open) connection.dropAll();
  }

  recover(): void {
    this.#drops = false;
    for (const connection of [...this.#open]) if (connection.isDropping) connection.cut();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(client: Socket): void {
    this.opened++;
    const broker = connect({ host: "127.0.0.1", port: this.#target, noDelay: true });
    const connection = new ProxiedConnection(client, broker, this.#framing);
    this.#open.add(connection);
    client.once("close", () => {
      if (connection.isDropping) this.abandoned++;
    });
    connection.ended.then(() => this.#open.delete(connection));
    if (this.#each !== undefined) connection.cutIn(this.#each.direction, this.#each.n);
    if (this.#drops) connection.dropAll();
  }
}

/** One connection. It passes bytes on at once and tracks where frames begin and end. */
class ProxiedConnection {
  readonly ended: Promise<void>;
  readonly #sockets: Record<Direction, Socket>;
  readonly #frames: Record<Direction, Frames>;
  /** Whether the connection drops all bytes and does not report to one end that the other has closed. */
  isDropping = false;
  #isCut = false;

  constructor(client: Socket, broker: Socket, framing: Framing) {
    this.#sockets = { from: client, to: broker };
    this.#frames = { from: new Frames(framing, "from"), to: new Frames(framing, "to") };
    const closed = (socket: Socket) =>
      new Promise<void>((resolve) => {
        socket.on("error", () => {}).once("close", () => {
          resolve();
          if (!this.isDropping) this.cut();
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

  dropAll(): void {
    this.isDropping = true;
  }

  #pass(direction: Direction, bytes: Uint8Array): void {
    if (this.isDropping || this.#isCut) return;
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
