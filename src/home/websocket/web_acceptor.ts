import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { defaultHeartbeat } from "../../transports/home/pipes/pipe.ts";
import {
  type OpenWebSocket,
  subprotocol,
  WebSocketPipe,
} from "../../transports/home/pipes/websocket_pipe.ts";
import { importWs } from "../../transports/home/pipes/ws_package.ts";
import {
  type PackageSocket,
  PackageSocketPipe,
  type RawSocket,
} from "../../transports/home/pipes/ws_package_pipe.ts";
import type { Acceptor, Newcomer, PeerInfo } from "../acceptor.ts";
import { type BunHandlers, type BunSocket, BunSocketPipe } from "./bun_socket_pipe.ts";
import { ClosingSockets } from "./closing_sockets.ts";
import type { UpgradeRequest, UpgradeSocket } from "./upgrade_request.ts";
import { isAllowedOrigin } from "./origins.ts";

/** The options of a {@linkcode WebAcceptor}. */
export interface WebAcceptorOptions {
  /** The origins of the pages that may use the home, besides those of its own host. */
  readonly origins?: readonly string[];
  /** The largest frame of an admitted peer, in bytes. */
  readonly maxFrame: number;
  /** Milliseconds between two pings; 0 for none. */
  readonly heartbeat: number;
  /** Called with a reason why a peer was refused. */
  refused(problem: string): void;
}

/** What the home itself knows. */
interface Owner {
  readonly limits: { readonly frame: number };
  log(level: "warn", text: string): void;
}

/** Returns the options of a home's {@linkcode WebAcceptor}. */
export function webOptions(
  { origins, heartbeat = defaultHeartbeat }: {
    readonly origins?: readonly string[];
    readonly heartbeat?: number;
  },
  owner: Owner,
): WebAcceptorOptions {
  return {
    ...origins === undefined ? {} : { origins },
    heartbeat,
    maxFrame: owner.limits.frame,
    refused: (problem) => owner.log("warn", `a WebSocket is refused: ${problem}`),
  };
}

/** Takes the WebSockets of a home: from the handlers of HTTP servers, or open ones. */
export class WebAcceptor {
  /** For `Bun.serve`. */
  readonly websocket: BunHandlers;
  readonly #acceptor: Acceptor;
  readonly #options: WebAcceptorOptions;
  readonly #ofDeno = new ClosingSockets();
  /** Node's server of WebSockets, which is loaded when it is first used. */
  #server: Promise<PackageServer> | undefined;

  constructor(acceptor: Acceptor, options: WebAcceptorOptions) {
    this.#acceptor = acceptor;
    this.#options = options;
    this.websocket = bunHandlers(options);
  }

  /**
   * Answers a request for a WebSocket, on Deno, Bun and Cloudflare Workers.
   *
   * @param server the second argument of the server's handler
   */
  fetch(request: Request, server?: unknown): Response | undefined {
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return refusal(426, "this address is for WebSockets", { upgrade: "websocket" });
    }
    const { headers } = request;
    const offered = (headers.get("sec-websocket-protocol") ?? "").split(/\s*,\s*/);
    const problem = this.#check(headers.get("origin"), headers.get("host"), offered);
    if (problem !== undefined) return refusal(...problem);
    const origin = headers.get("origin") ?? undefined;
    const { Deno, WebSocketPair } = globalThis as Globals;
    if (isBunServer(server)) return this.#upgradeOnBun(request, server, origin);
    if (Deno?.upgradeWebSocket !== undefined) {
      return this.#upgradeOnDeno(request, server, origin, Deno);
    }
    if (WebSocketPair !== undefined) return this.#upgradeOnWorkerd(request, origin, WebSocketPair);
    return refusal(501, "the server cannot upgrade a Request; use the home's method upgrade");
  }

  /** Answers a request for a WebSocket that `node:http` has read. */
  upgrade(request: UpgradeRequest, socket: UpgradeSocket, head: Uint8Array): void {
    this.#upgradeOnNode(request as IncomingMessage, socket as Duplex, head);
  }

  #upgradeOnNode(request: IncomingMessage, socket: Duplex, head: Uint8Array): void {
    const { headers } = request;
    const offered = (headers["sec-websocket-protocol"] ?? "").split(/\s*,\s*/);
    const problem = this.#check(headers.origin, headers.host, offered);
    if (problem !== undefined) return refuseSocket(socket, ...problem);
    const address = request.socket.remoteAddress ?? "";
    const end = () => void socket.destroy();
    const newcomer = this.#acceptor.arrived(address, end);
    if (newcomer === undefined) return refuseSocket(socket, 429, crowded);
    socket.once("close", () => newcomer.gone());
    socket.on("error", () => {}); // `close` follows
    const opened = (open: PackageSocket) => {
      this.#acceptor.accept(
        infoOf(address, headers.origin),
        (observer) => new PackageSocketPipe(open, socket as RawSocket, observer, newcomer),
        newcomer,
      );
      keepAlive(open, this.#options.heartbeat);
      boundFirstBytes(socket, newcomer, end);
    };
    this.#packageServer().then(
      (server) => server.handleUpgrade(request, socket, head, opened),
      (error) => {
        this.#options.refused(`the npm package ws cannot be loaded: ${error}`);
        refuseSocket(socket, 501, "the server has no WebSockets");
      },
    );
  }

  /** Takes a WebSocket that is open, or is about to open. */
  accept(socket: OpenWebSocket, address: string, origin?: string): void {
    if (socket.readyState === 0) {
      return socket.addEventListener("open", () => this.accept(socket, address, origin));
    }
    const end = () => socket.close(1008);
    const newcomer = this.#acceptor.arrived(address, end);
    if (newcomer === undefined) return end();
    this.#take(socket, newcomer, infoOf(address, origin));
  }

  #take(socket: OpenWebSocket, newcomer: Newcomer, info: PeerInfo): void {
    socket.addEventListener("close", () => newcomer.gone());
    this.#acceptor.accept(
      info,
      (observer) => new WebSocketPipe(socket, observer, newcomer),
      newcomer,
    );
  }

  /** Returns why a request is refused, with the status of the answer. */
  #check(
    origin: string | null | undefined,
    host: string | null | undefined,
    offered: readonly string[],
  ): [status: number, problem: string] | undefined {
    if (!isAllowedOrigin(origin, host, this.#options.origins)) {
      const problem = `pages of the origin ${origin} are not allowed; add it to the option origins`;
      this.#options.refused(problem);
      return [403, problem];
    }
    if (offered.includes(subprotocol)) return undefined;
    return [400, `the request does not offer the subprotocol ${subprotocol}`];
  }

  #upgradeOnDeno(
    request: Request,
    server: unknown,
    origin: string | undefined,
    deno: DenoServing,
  ): Response {
    const { remoteAddr } = (server ?? {}) as { remoteAddr?: { readonly hostname?: string } };
    const address = remoteAddr?.hostname ?? "";
    if (this.#ofDeno.areTooMany(address)) return tooMany();
    let open: WebSocket | undefined;
    const newcomer = this.#acceptor.arrived(address, () => open?.close(1008));
    if (newcomer === undefined) return tooMany();
    const { socket, response } = deno.upgradeWebSocket(request, {
      protocol: subprotocol,
      idleTimeout: 2 * this.#options.heartbeat / 1000, // it pings after half of the time
    });
    this.#ofDeno.add(address, socket);
    socket.addEventListener("close", () => newcomer.gone());
    socket.addEventListener("open", () => {
      open = socket;
      this.#take(socket, newcomer, infoOf(address, origin));
    });
    return response;
  }

  #upgradeOnBun(
    request: Request,
    server: BunServer,
    origin: string | undefined,
  ): Response | undefined {
    const address = server.requestIP(request)?.address ?? "";
    let socket: BunSocket | undefined;
    const newcomer = this.#acceptor.arrived(address, () => socket?.terminate());
    if (newcomer === undefined) return tooMany();
    const opened = (open: BunSocket) => {
      socket = open;
      this.#acceptor.accept(infoOf(address, origin), (observer) => {
        return open.data.pipe = new BunSocketPipe(open, observer, newcomer);
      }, newcomer);
      timer = pinging(open, this.#options.heartbeat);
    };
    let timer: ReturnType<typeof setInterval> | undefined;
    const gone = () => {
      clearInterval(timer);
      newcomer.gone();
    };
    const isUpgraded = server.upgrade(request, {
      headers: { "sec-websocket-protocol": subprotocol },
      data: { opened, gone, isAlive: true },
    });
    if (isUpgraded) return undefined;
    newcomer.gone();
    return refusal(400, "the request cannot become a WebSocket");
  }

  #upgradeOnWorkerd(
    request: Request,
    origin: string | undefined,
    Pair: NonNullable<Globals["WebSocketPair"]>,
  ): Response {
    const pair = new Pair();
    pair[1].accept();
    this.accept(pair[1], request.headers.get("cf-connecting-ip") ?? "", origin);
    return new Response(null, {
      status: 101,
      headers: { "sec-websocket-protocol": subprotocol },
      webSocket: pair[0],
    } as ResponseInit);
  }

  #packageServer(): Promise<PackageServer> {
    return this.#server ??= importWs<Package>().then(
      ({ WebSocketServer }) =>
        new WebSocketServer({
          noServer: true,
          perMessageDeflate: false,
          maxPayload: this.#options.maxFrame,
          handleProtocols: () => subprotocol,
        }),
    );
  }
}

function bunHandlers({ maxFrame }: WebAcceptorOptions): BunHandlers {
  const alive = (socket: BunSocket) => {
    socket.data.isAlive = true;
  };
  return {
    idleTimeout: 0, // Bun's shortest is 8 s
    maxPayloadLength: maxFrame,
    backpressureLimit: 2 ** 30, // the home itself bounds what it sends
    perMessageDeflate: false,
    open: (socket) => socket.data.opened(socket),
    message(socket, data) {
      alive(socket);
      socket.data.pipe?.message(data);
    },
    pong: alive,
    ping: alive,
    drain: (socket) => socket.data.pipe?.drain(),
    close(socket, code, reason) {
      socket.data.pipe?.closedWith(code, reason);
      socket.data.gone();
    },
  };
}

/** Pings the other end, and ends the connection if nothing comes back. */
function pinging(socket: BunSocket, heartbeat: number): ReturnType<typeof setInterval> | undefined {
  if (heartbeat === 0) return undefined;
  return setInterval(() => {
    if (socket.isPaused) return; // its pongs are not read
    if (!socket.data.isAlive) return socket.terminate();
    socket.data.isAlive = false;
    socket.ping();
  }, heartbeat);
}

/** Does the same for a socket of the package `ws`. */
function keepAlive(socket: PackageSocket, heartbeat: number): void {
  if (heartbeat === 0) return;
  let isAlive = true;
  const timer = setInterval(() => {
    if (socket.isPaused) return; // its pongs are not read
    if (!isAlive) return socket.terminate();
    isAlive = false;
    socket.ping();
  }, heartbeat);
  for (const event of ["pong", "ping"] as const) socket.on(event, () => isAlive = true);
  socket.on("message", () => isAlive = true);
  socket.on("close", () => clearInterval(timer));
}

/** Ends a connection that sends much before it is admitted: the package `ws` has one limit for all messages. */
function boundFirstBytes(socket: Duplex, newcomer: Newcomer, end: () => void): void {
  const { maxFrame } = newcomer;
  let bytes = 0;
  const count = (data: Uint8Array) => {
    if (newcomer.maxFrame > maxFrame) return void socket.off("data", count);
    bytes += data.length;
    if (bytes > 4 * maxFrame) end();
  };
  socket.on("data", count);
}

function infoOf(address: string, origin: string | undefined): PeerInfo {
  return { transport: "ws", address, ...origin === undefined ? {} : { origin } };
}

function refusal(status: number, problem: string, headers: Record<string, string> = {}): Response {
  return new Response(problem, { status, headers });
}

const crowded = "too many others of this address wait for admission";

function tooMany(): Response {
  return refusal(429, crowded);
}

function refuseSocket(socket: Duplex, status: number, problem: string): void {
  socket.on("error", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Type: text/plain\r\n` +
      `Content-Length: ${new TextEncoder().encode(problem).length}\r\n\r\n${problem}`,
  );
}

interface PackageServer {
  handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Uint8Array,
    opened: (socket: PackageSocket) => void,
  ): void;
}

interface Package {
  readonly WebSocketServer: new (options: Readonly<Record<string, unknown>>) => PackageServer;
}

interface BunServer {
  requestIP(request: Request): { readonly address: string } | null;
  upgrade(request: Request, options: Readonly<Record<string, unknown>>): boolean;
}

interface DenoServing {
  upgradeWebSocket(
    request: Request,
    options: { readonly protocol: string; readonly idleTimeout: number },
  ): { readonly socket: WebSocket; readonly response: Response };
}

type Globals = {
  readonly Deno?: DenoServing;
  readonly WebSocketPair?: new () => [WebSocket, WebSocket & { accept(): void }];
};

function isBunServer(server: unknown): server is BunServer {
  return typeof (server as Partial<BunServer> | undefined)?.requestIP === "function";
}
