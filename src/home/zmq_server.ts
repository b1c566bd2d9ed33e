import { createServer, type Server, type Socket } from "node:net";
import { clearTimeout, setTimeout } from "node:timers";
import { ChannelConfigError, ChannelConnectionError } from "../shared/errors.ts";
import { bytesOf, isEqual } from "../transports/home/pipes/zmtp/commands.ts";
import { defaultHeartbeat } from "../transports/home/pipes/pipe.ts";
import { withSodium } from "../transports/home/pipes/zmtp/optional_package.ts";
import type { Mechanism } from "../transports/home/pipes/zmtp/mechanism.ts";
import { NullMechanism } from "../transports/home/pipes/zmtp/null_mechanism.ts";
import { PlainServer } from "../transports/home/pipes/zmtp/plain.ts";
import { parseZmqUri, type ZmqUri } from "../transports/home/pipes/zmtp/uri.ts";
import { ZmtpPipe } from "../transports/home/pipes/zmtp/zmtp_pipe.ts";
import type { Acceptor } from "./acceptor.ts";

/** Options of a server for peers that use ZeroMQ. */
export interface ZmqServerOptions {
  /** The key pair of the home, in base64url. With it, and with a secret alone, connections are encrypted by CURVE. */
  readonly keys?: { readonly publicKey: string; readonly secretKey: string };
  /** The secret. Without `keys`, the key pair is made from it. With `mechanism=plain` it is the password. */
  readonly secret?: string;
  /** The public keys of the peers that are admitted, in base64url. Absent: any. */
  readonly peers?: readonly string[];
  /** Milliseconds between pings; 0 for none. */
  readonly heartbeat?: number;
  /** Called when a connection has ended before it was accepted. */
  readonly failed?: (address: string, error: Error) => void;
}

/** A server that listens. */
export interface ZmqServer {
  /** The address for peers: the host and the real port, with the public key if it is needed. */
  readonly address: string;
  /** Stops listening, and resolves when the connections have ended, which the home closes, or after a bounded time. */
  close(): Promise<void>;
}

/**
 * Listens on a `zmq:` URI and hands connections to a home.
 *
 * @throws {ChannelConfigError} if the URI or an option cannot be used, and {ChannelConnectionError} if the system refuses
 */
export async function listenZmq(
  uri: string,
  options: ZmqServerOptions,
  acceptor: Acceptor,
): Promise<ZmqServer> {
  const parsed = parseZmqUri(uri, true);
  const secret = options.secret ?? parsed.secret;
  const { mechanism, key } = await serverMechanism(parsed, secret, options);
  const heartbeat = parsed.heartbeat ?? options.heartbeat ?? defaultHeartbeat;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    welcome(socket, mechanism(), heartbeat, acceptor, options);
  });
  const port = await listening(server, parsed);
  const shown = parsed.host.includes(":") ? `[${parsed.host}]` : parsed.host;
  return {
    address: `zmq://${shown}:${port}${key === undefined ? "" : `?key=${key}`}`,
    close: () => closing(server, sockets),
  };
}

/** Returns how connections are protected, and the public key that peers must know from the address. */
async function serverMechanism(
  { key, isPlain }: ZmqUri,
  secret: string | undefined,
  { keys, peers }: ZmqServerOptions,
): Promise<{ readonly mechanism: () => Mechanism; readonly key?: string }> {
  if (isPlain) {
    if (secret === undefined) {
      throw new ChannelConfigError(
        'listen: mechanism=plain needs a secret; set the option "secret"',
      );
    }
    const password = bytesOf(secret);
    return { mechanism: () => new PlainServer((_, given) => isEqual(given, password)) };
  }
  if (key !== undefined && key !== keys?.publicKey) {
    throw new ChannelConfigError(
      'listen: the key of the address is not the public key of the option "keys"; leave it out',
    );
  }
  if (keys === undefined && secret === undefined) {
    return { mechanism: () => new NullMechanism("ROUTER") };
  }
  const { curveServer } = await withSodium(
    import("../transports/home/pipes/zmtp/curve_server.ts"),
  );
  const mechanism = await curveServer(keys, secret, peers);
  return { mechanism, ...keys === undefined ? {} : { key: keys.publicKey } };
}

/** Does the handshake with a new connection, and hands it to the home. */
function welcome(
  socket: Socket,
  mechanism: Mechanism,
  heartbeat: number,
  acceptor: Acceptor,
  { failed }: ZmqServerOptions,
): void {
  const address = socket.remoteAddress ?? "";
  const newcomer = acceptor.arrived(address, () => socket.destroy());
  if (newcomer === undefined) {
    socket.on("error", () => {}); // the connection is closed, whatever happens to it
    return void socket.destroy();
  }
  socket.once("close", () => newcomer.gone());
  new ZmtpPipe(socket, { mechanism, expected: "DEALER", limit: newcomer, heartbeat }, {
    opened(pipe, { key, username }) {
      const info = {
        transport: "zmq" as const,
        address,
        ...key === undefined ? {} : { key },
        ...username === undefined ? {} : { username },
      };
      const open = (observer: Parameters<typeof pipe.start>[0]) => {
        pipe.start(observer);
        return pipe;
      };
      acceptor.accept(info, open, newcomer);
    },
    failed: (error) => error !== undefined && failed?.(address, error),
  });
}

function listening(server: Server, { host, port, address }: ZmqUri): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      const message = `listen: cannot listen on ${address}: ${cause.message}`;
      reject(new ChannelConnectionError(message, { address, transient: false, cause }));
    });
    server.listen({ host, port }, () => {
      server.on("error", () => {}); // such as too many open files: the system drops the connection
      resolve((server.address() as { readonly port: number }).port);
    });
  });
}

function closing(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, closeTimeout);
    timer.unref();
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Milliseconds for the connections of a server that is closed. */
const closeTimeout = 2000;
