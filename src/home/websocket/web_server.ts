import { ChannelConnectionError } from "../../shared/errors.ts";
import type { WebAcceptor } from "./web_acceptor.ts";

/** Where a server listens. */
export interface WebAddress {
  /** A `ws:` or `wss:` URL; port 0 is any free one. */
  readonly url: URL;
  /** The certificate and private key of `wss:`, in PEM format. */
  readonly cert?: string;
  readonly key?: string;
}

/** A server that listens. */
export interface WebServer {
  /** The port on which it listens. */
  readonly port: number;
  /** Stops listening. The connections that were accepted stay open. */
  close(): Promise<void>;
}

/**
 * Listens for WebSockets, with the server of the runtime. A path other than that of the URL is not found.
 *
 * @throws {ChannelConnectionError} if the address is in use or not allowed
 */
export async function serveWebSockets(
  about: WebAddress,
  acceptor: WebAcceptor,
): Promise<WebServer> {
  const { Deno, Bun } = globalThis as Globals;
  try {
    if (Deno?.serve !== undefined) return serveOnDeno(about, acceptor, Deno);
    if (Bun?.serve !== undefined) return serveOnBun(about, acceptor, Bun);
    return await serveOnNode(about, acceptor);
  } catch (cause) {
    const { message } = cause as Error;
    throw new ChannelConnectionError(`listen: ${about.url}: ${message}`, {
      address: String(about.url),
      transient: false,
      cause,
    });
  }
}

function serveOnDeno(about: WebAddress, acceptor: WebAcceptor, deno: DenoServing): WebServer {
  const server = deno.serve(
    { ...listenOptions(about), ...tlsOf(about), onListen() {} },
    (request, info) => answer(about, acceptor, request, info)!,
  );
  return { port: server.addr.port, close: () => server.shutdown() };
}

function serveOnBun(about: WebAddress, acceptor: WebAcceptor, bun: BunServing): WebServer {
  const server = bun.serve({
    ...listenOptions(about),
    ...about.cert === undefined ? {} : { tls: tlsOf(about) },
    fetch: (request, server) => answer(about, acceptor, request, server),
    websocket: acceptor.websocket,
  });
  return { port: server.port, close: () => server.stop() };
}

async function serveOnNode(about: WebAddress, acceptor: WebAcceptor): Promise<WebServer> {
  const server = about.cert === undefined
    ? (await import("node:http")).createServer()
    : (await import("node:https")).createServer(tlsOf(about));
  server.on("request", (_, response) => {
    response.writeHead(426, { upgrade: "websocket" }).end("this address is for WebSockets");
  });
  server.on("upgrade", (request, socket, head) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname === about.url.pathname) return acceptor.upgrade(request, socket, head);
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

function answer(
  { url }: WebAddress,
  acceptor: WebAcceptor,
  request: Request,
  server: unknown,
): Response | undefined {
  if (new URL(request.url).pathname === url.pathname) return acceptor.fetch(request, server);
  return new Response("there is no home at this path", { status: 404 });
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
