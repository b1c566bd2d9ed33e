import { parseUri } from "../connection/schemes.ts";
import { ChannelConfigError, ChannelConnectionError } from "../shared/errors.ts";
import { none, Signature, text } from "../shared/options.ts";
import { newStats } from "../transports/stats.ts";
import type {
  Features,
  Link,
  LinkOptions,
  Reach,
  Stats,
  Transport,
} from "../transports/transport.ts";
import { configureHome } from "./configure_home.ts";
import { type HomeOptions, homeSignature } from "./home_options.ts";
import type { MessagePortLike } from "../transports/home/from_port.ts";
import type { Port } from "../transports/home/pipes/port_pipe.ts";
import { acceptPort } from "./port_acceptor.ts";
import { Reception, setReception } from "./reception.ts";
import type { UpgradeRequest, UpgradeSocket } from "./websocket/upgrade_request.ts";
import { WebAcceptor, webOptions } from "./websocket/web_acceptor.ts";

const signature: Signature = /* @__PURE__ */ homeSignature(
  "new Home",
  1,
  'new Home({ connection: "sqlite:jobs.db" })',
);

/** A `WebSocket`, as browsers, Workers and runtimes have it, or one of the npm package `ws`. */
export interface WebSocketLike {
  /** 0 before it is open, and 1 while it is. */
  readonly readyState: number;
  /** Sends a message. */
  send(data: Uint8Array<ArrayBuffer>): void;
  /** Closes it. */
  close(code?: number): void;
}

/** What {@linkcode Home.websocket} is: handlers and settings for the WebSockets of `Bun.serve`. */
export interface HomeWebSocketHandlers {
  /** Seconds without a sign of life after which a connection is closed. */
  readonly idleTimeout: number;
  /** The largest message in bytes that is read. */
  readonly maxPayloadLength: number;
  /** How many bytes may wait to be sent. */
  readonly backpressureLimit: number;
  /** Whether messages are compressed. */
  readonly perMessageDeflate: boolean;
  /** A connection is open. */
  open(socket: never): void;
  /** A message has arrived. */
  message(socket: never, data: never): void;
  /** What waited to be sent has left. */
  drain(socket: never): void;
  /** The other end has answered a ping. */
  pong(socket: never): void;
  /** The other end has sent a ping. */
  ping(socket: never): void;
  /** A connection is closed. */
  close(socket: never, code: number, reason: string): void;
}
const acceptSignature: Signature = /* @__PURE__ */ new Signature(
  "accept",
  2,
  { address: text, origin: text },
  'accept(port, { address: "a thread" })',
);

/**
 * A home lends its channels to peers. {@linkcode listen} makes one that has listeners.
 *
 * A home is a transport, too: a channel whose `connection` is the home is one of the home's, and a reference to it can be
 * used by the peers.
 *
 * @example
 * ```ts
 * import { Channel, Home } from "@channelts/channel/home";
 * import { equal } from "node:assert/strict";
 *
 * await using home = new Home();
 * const jobs = new Channel<string>({ name: "jobs", connection: home });
 * await jobs.put("render");
 * equal(await jobs.get(), "render"); // here, or at a peer
 * ```
 */
export class Home implements Transport, AsyncDisposable {
  readonly reach: Reach = "network";
  readonly #reception: Reception;
  readonly #address: string;
  readonly #web: WebAcceptor;
  /** Close the ports that were accepted. */
  readonly #ports: (() => void)[] = [];
  #closing: Promise<void> | undefined;

  /**
   * Makes a home without a listener.
   *
   * @throws {ChannelConfigError} if an option is invalid
   */
  constructor(options: HomeOptions = none) {
    signature.check(options, arguments.length);
    this.#reception = new Reception(options);
    this.#address = options.address === undefined ? "" : parseUri(options.address).parsed.address;
    this.#web = new WebAcceptor(this.#reception, webOptions(options, this.#reception));
    setReception(this, this.#reception);
    configureHome(this, options);
  }

  /** The first address under which peers reach the home; without a listener, `home:` and an id. */
  get address(): string {
    return this.#address || this.#reception.servers[0]?.address || `home:${this.#reception.id}`;
  }

  /** The addresses of the listeners, in the order in which they were given. */
  get addresses(): readonly string[] {
    return this.#reception.servers.map(({ address }) => address);
  }

  /** The features of the connection that the home serves. */
  get features(): Features {
    // Until the transport is loaded, which opening a channel does, capacity 0 is not refused.
    const { terms, rendezvous = false } = this.#reception.features ?? { rendezvous: true };
    return { shared: true, rendezvous, ...terms === undefined ? {} : { terms } };
  }

  /** Why the connection that the home serves cannot be reached now; undefined if it can. */
  get trouble(): Error | undefined {
    return this.#reception.served?.trouble;
  }

  /** Why the connection that the home serves accepts no messages now. */
  get blocked(): string | undefined {
    return this.#reception.served?.blocked;
  }

  /** The counts of the connection that the home serves. */
  get stats(): Readonly<Stats> {
    return this.#reception.served?.stats ?? noStats;
  }

  /** Attaches to a channel of the home, as {@linkcode Transport.open} says. */
  async open(name: string, options: LinkOptions): Promise<Link> {
    this.#checkOpen();
    const link = await this.#reception.openOwn(name, options);
    try {
      this.#checkOpen();
      return link;
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  #checkOpen(): void {
    if (!this.#reception.isClosed) return;
    const { address } = this;
    throw new ChannelConnectionError(`connect: ${address}: the home is closed; make another`, {
      address,
      transient: false,
    });
  }

  /**
   * Takes a connection to a peer: one end of a `MessageChannel` whose other end a thread or a page has, or an open
   * WebSocket. The home closes it when it is closed itself.
   *
   * @param about what the function `authorize` is told of the peer
   * @throws {ChannelConfigError} if `end` is neither
   *
   * @example
   * ```ts
   * import { Channel, fromPort, Home } from "@channelts/channel/home";
   *
   * await using home = new Home();
   * const { port1, port2 } = new MessageChannel();
   * home.accept(port1, { address: "a thread" }); // and pass port2 to the thread
   * const jobs = new Channel({ name: "jobs", connection: fromPort(port2) }); // there
   * console.log(jobs.name); // nothing is sent yet
   * port2.close(); // the example is over
   * ```
   */
  accept(
    end: MessagePortLike | WebSocketLike,
    about: { readonly address?: string; readonly origin?: string } = none,
  ): void {
    acceptSignature.check(about, arguments.length);
    if (typeof (end as Partial<MessagePortLike> | undefined)?.postMessage === "function") {
      this.#ports.push(acceptPort(this.#reception, end as Port, about));
    } else if (typeof (end as Partial<WebSocketLike> | undefined)?.send === "function") {
      this.#web.accept(end as WebSocket, about.address ?? "", about.origin);
    } else {
      throw new ChannelConfigError(
        "accept: the connection is neither a MessagePort nor a WebSocket; pass one of the two",
      );
    }
  }

  /**
   * Answers a request of a peer for a WebSocket, in a handler of `Deno.serve`, `Bun.serve` or a Cloudflare Worker, or in
   * one of Hono on these. On Bun, {@linkcode Home.websocket} is needed, too. The answer to another request says that the
   * address is for WebSockets.
   *
   * @param server the second argument of the handler, which tells the address of the peer
   *
   * @example
   * ```ts ignore
   * Deno.serve((request, info) => home.fetch(request, info));
   * Bun.serve({ fetch: (request, server) => home.fetch(request, server), websocket: home.websocket });
   * ```
   */
  // deno-lint-ignore require-await -- so that an error rejects
  async fetch(request: Request, server?: unknown): Promise<Response> {
    return this.#web.fetch(request, server) as Response; // Bun awaits none of a request that it has upgraded
  }

  /** The option `websocket` of `Bun.serve`. */
  get websocket(): HomeWebSocketHandlers {
    return this.#web.websocket;
  }

  /**
   * Answers a request of a peer for a WebSocket: the listener of the event `upgrade` of a server of `node:http`. It needs
   * the npm package `ws`, except on Bun.
   *
   * @example
   * ```ts
   * import { Home } from "@channelts/channel/home";
   * import { createServer } from "node:http";
   *
   * await using home = new Home();
   * const server = createServer((_, response) => response.end("a page"));
   * server.on("upgrade", (request, socket, head) => home.upgrade(request, socket, head));
   * ```
   */
  upgrade(request: UpgradeRequest, socket: UpgradeSocket, head: Uint8Array): void {
    this.#web.upgrade(request, socket, head);
  }

  /**
   * Closes the home: its listeners, its own channels, whose loops end, and then the connections of its peers. Resolves within
   * a bounded time.
   */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    await this.#reception.close();
    for (const close of this.#ports) close();
  }

  /** Closes the home. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const noStats: Readonly<Stats> = newStats();
