import { ChannelConfigError, ChannelConnectionError } from "../../shared/errors.ts";
import { parseWebSocketUri } from "../../transports/home/pipes/websocket_uri.ts";
import type { Acceptor } from "../acceptor.ts";
import { WebAcceptor, type WebAcceptorOptions } from "./web_acceptor.ts";

/** Options of a server for peers that use WebSockets. */
export interface WebServerOptions extends WebAcceptorOptions {
  /** The certificate of `wss:` in PEM format. */
  readonly cert?: string;
  /** The private key of `cert` in PEM format. */
  readonly key?: string;
}

/** A server that listens. */
export interface WebServer {
  /** The address for peers, with the real port. */
  readonly address: string;
  /** Stops listening. Resolves when the connections have ended, which the home closes. */
  close(): Promise<void>;
}

/**
 * Listens on a `ws:` or `wss:` URI, with the server of the runtime, and hands connections to a home. A path other than
 * that of the URI is not found.
 *
 * @throws {ChannelConfigError} if the URI cannot be used, and {ChannelConnectionError} if the system refuses
 */
export async function listenWeb(
  uri: string,
  options: WebServerOptions,
  acceptor: Acceptor,
): Promise<WebServer> {
  const { address, heartbeat = options.heartbeat } = parseWebSocketUri(uri, true);
  const url = new URL(address);
  const { cert, key } = options;
  if (url.protocol === "wss:" && (cert === undefined || key === undefined)) {
    throw new ChannelConfigError(
      `listen: ${address}: wss: needs a certificate; set the options "cert" and "key"`,
    );
  }
  const about = { url, ...url.protocol === "wss:" ? { cert: cert!, key: key! } : {} };
  const web = new WebAcceptor(acceptor, { ...options, heartbeat });
  try {
    const { port, close } = await serve(about, web);
    url.port = String(port);
    return { address: url.href, close };
  } catch (cause) {
    throw new ChannelConnectionError(
      `listen: cannot listen on ${address}: ${(cause as Error).message}`,
      { address, transient: false, cause },
    );
  }
}

/** Where a server listens. */
interface WebAddress {
  /** A `ws:` or `wss:` URL; port 0 is any free one. */
  readonly url: URL;
  /** The certificate and private key of `wss:`. */
  readonly cert?: string;
  readonly key?: string;
}

interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

async function serve(about: WebAddress, acceptor: WebAcceptor): Promise<Listening> {
  const { Deno, Bun } = globalThis as Globals;
  if (Deno?.serve !== undefined) return serveOnDeno(about, acceptor, Deno);
  if (Bun?.serve !== undefined) return serveOnBun(about, acceptor, Bun);
  return await serveOnNode(about, acceptor);
}

function serveOnDeno(about: WebAddress, acceptor: WebAcceptor, deno: DenoServing): Listening {
  const server = deno.serve(
    { ...listenOptions(about), ...tlsOf(about), onListen() {} },
    (request, info) => answer(about, acceptor, request, info)!,
  );
  return { port: server.addr.port, close: () => server.shutdown() };
}

function serveOnBun(about: WebAddress, acceptor: WebAcceptor, bun: BunServing): Listening {
  const server = bun.serve({
    ...listenOptions(about),
    ...about.cert === undefined ? {} : { tls: tlsOf(about) },
    idleTimeout: requestTimeout / 1000,
    fetch: (request, server) => answer(about, acceptor, request, server),
    websocket: acceptor.websocket,
  });
  return { port: server.port, close: () => server.stop() };
}

async function serveOnNode(about: WebAddress, acceptor: WebAcceptor): Promise<Listening> {
  const server = about.cert === undefined
    ? (await import("node:http")).createServer(nodeLimits)
    : (await import("node:https")).createServer({ ...nodeLimits, ...tlsOf(about) });
  server.on("request", (_, response) => {
    response.writeHead(426, { upgrade: "websocket" }).end("this address is for WebSockets");
  });
  server.on("upgrade", (request, socket, head) => {
    if (isAt(about, request.url ?? "/")) return acceptor.upgrade(request, socket, head);
    socket.on("error", () => socket.destroy());
    socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  });
  const { hostname, port } = listenOptions(about);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, resolve);
  });
  return {
    port: (server.address() as { readonly port: number }).port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Milliseconds in which a connection must have sent a request. `Deno.serve` has no option for it. */
const requestTimeout = 5000;

const nodeLimits = {
  headersTimeout: requestTimeout,
  requestTimeout,
  handshakeTimeout: requestTimeout,
  keepAliveTimeout: 1000,
  connectionsCheckingInterval: 1000,
};

function answer(
  about: WebAddress,
  acceptor: WebAcceptor,
  request: Request,
  server: unknown,
): Response | undefined {
  if (isAt(about, request.url)) return acceptor.fetch(request, server);
  return new Response("there is no home at this path", { status: 404 });
}

/** Reports whether the target of a request is the path of an address. It may be any text. */
function isAt({ url }: WebAddress, target: string): boolean {
  const base = "http://localhost";
  return URL.canParse(target, base) && new URL(target, base).pathname === url.pathname;
}

function listenOptions({ url }: WebAddress): { readonly hostname: string; readonly port: number } {
  const port = url.port === "" ? (url.protocol === "wss:" ? 443 : 80) : Number(url.port);
  return { hostname: url.hostname.replace(/^\[|\]$/g, ""), port };
}

function tlsOf({ cert, key }: WebAddress): { readonly cert?: string; readonly key?: string } {
  return { ...cert === undefined ? {} : { cert }, ...key === undefined ? {} : { key } };
}

interface DenoServing {
  serve(
    options: Readonly<Record<string, unknown>>,
    handler: (request: Request, info: unknown) => Response | Promise<Response>,
  ): { readonly addr: { readonly port: number }; shutdown(): Promise<void> };
}

interface BunServing {
  serve(options: {
    fetch(request: Request, server: unknown): Response | undefined;
    [name: string]: unknown;
  }): { readonly port: number; stop(): Promise<void> };
}

type Globals = { readonly Deno?: DenoServing; readonly Bun?: BunServing };
