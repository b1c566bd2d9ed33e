import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** The direction of data through a {@linkcode Gateway}. */
type Direction = "toBroker" | "toClient";

/** Starts a {@linkcode Gateway} to the broker with this URI. */
export async function startGateway(uri: string): Promise<Gateway> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return new Gateway(server, uri);
}

/** A TCP proxy before a broker that can withhold data and counts published messages. */
export class Gateway implements AsyncDisposable {
  /** The broker's URI through the gateway. */
  readonly uri: string;
  /** How many messages passed to the broker. */
  published = 0;
  /** How many bytes passed to the broker. */
  bytes = 0;
  /** How many connections have been made. */
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #held = new Set<Direction>();
  #withheld: [to: Socket, chunk: Uint8Array][] = [];
  #refuses = false;

  constructor(server: Server, uri: string) {
    this.#server = server;
    const url = new URL(uri);
    const target = { host: url.hostname, port: Number(url.port || 5672) };
    url.hostname = "127.0.0.1";
    url.port = String((server.address() as AddressInfo).port);
    url.username ||= "guest";
    url.password ||= "guest";
    this.uri = url.href;
    server.on("connection", (client) => this.#join(client, target));
  }

  /** Withholds data in these directions and keeps it. */
  hold(...directions: Direction[]): void {
    for (const direction of directions) this.#held.add(direction);
  }

  /** Passes all data, including the withheld data. */
  release(): void {
    this.#held.clear();
    for (const [to, chunk] of this.#withheld.splice(0)) if (!to.destroyed) to.write(chunk);
  }

  /** Ends every connection and drops its withheld data. New connections are refused until `open`. */
  cut(): void {
    this.#refuses = true;
    this.#held.clear();
    this.#withheld = [];
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Accepts connections again. */
  open(): void {
    this.#refuses = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, target: { host: string; port: number }): void {
    if (this.#refuses) return void client.destroy();
    this.connections++;
    const broker = connect(target);
    client.setNoDelay(true);
    broker.setNoDelay(true);
    const count = new Frames((isPublish) => isPublish && this.published++);
    this.#pass(client, broker, "toBroker", (chunk) => {
      this.bytes += chunk.length;
      count.read(chunk);
    });
    this.#pass(broker, client, "toClient", () => {});
  }

  #pass(from: Socket, to: Socket, direction: Direction, count: (chunk: Uint8Array) => void): void {
    this.#sockets.add(from);
    from.on("data", (chunk: Uint8Array) => {
      count(chunk);
      if (this.#held.has(direction)) this.#withheld.push([to, chunk]);
      else to.write(chunk);
    });
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}

/** Parses AMQP frames (AMQP 0-9-1, section 4.2.3) and reports for each whether it is a basic.publish. */
class Frames {
  readonly #onFrame: (isPublish: boolean) => void;
  #rest = new Uint8Array();
  #hasBegun = false;

  constructor(onFrame: (isPublish: boolean) => void) {
    this.#onFrame = onFrame;
  }

  read(chunk: Uint8Array): void {
    const bytes = new Uint8Array(this.#rest.length + chunk.length);
    bytes.set(this.#rest);
    bytes.set(chunk, this.#rest.length);
    const view = new DataView(bytes.buffer);
    let at = 0;
    if (!this.#hasBegun && bytes.length >= 8) {
      this.#hasBegun = true;
      at = 8; // the protocol header
    }
    while (this.#hasBegun && at + 11 <= bytes.length) {
      const end = at + 8 + view.getUint32(at + 3);
      if (end > bytes.length) break;
      this.#onFrame(bytes[at] === 1 && view.getUint32(at + 7) === basicPublish);
      at = end;
    }
    this.#rest = bytes.slice(at);
  }
}

/** Class 60, method 40. */
const basicPublish = 60 << 16 | 40;
