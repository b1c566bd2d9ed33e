import type { TransportOptions } from "../../transport.ts";
import { connectAdvice } from "../../remote/connect_advice.ts";
import { pinging } from "./pinging.ts";
import { defaultMaxFrame, type Dial } from "./pipe.ts";
import { subprotocol } from "./websocket_pipe.ts";
import { dialError, otherProtocol } from "./websocket_dial.ts";
import { importWs } from "./ws_package.ts";
import { type PackageSocket, PackageSocketPipe, type RawSocket } from "./ws_package_pipe.ts";

type Socket = PackageSocket & {
  on(event: "upgrade", listener: (response: { readonly socket?: RawSocket }) => void): unknown;
  on(
    event: "unexpected-response",
    listener: (request: unknown, response: { readonly statusCode: number }) => void,
  ): unknown;
  /** Bun has no event `upgrade`. */
  readonly _socket?: RawSocket;
};

type Package = {
  readonly default: new (
    url: string,
    protocols: readonly string[],
    options: Readonly<Record<string, unknown>>,
  ) => Socket;
};

/**
 * Returns a dial that uses the npm package `ws`. Its sockets do what those of the runtimes cannot: they let the process
 * exit while they are open, stop reading, tell when they have sent, and take certificates.
 */
export function dialByPackage(
  address: string,
  { ca, cert, key, servername }: TransportOptions,
  heartbeat?: number,
): Dial {
  return pinging(async (observer, signal) => {
    const { default: WebSocket } = await importWs<Package>();
    signal.throwIfAborted();
    const socket = new WebSocket(address, [subprotocol], {
      ...ca === undefined ? {} : { ca },
      ...cert === undefined ? {} : { cert },
      ...key === undefined ? {} : { key },
      ...servername === undefined ? {} : { servername },
      perMessageDeflate: false,
      maxPayload: defaultMaxFrame,
    });
    let raw: RawSocket | undefined;
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => {
        reject(signal.reason);
        socket.terminate();
      };
      const fail = (error: Error) => {
        signal.removeEventListener("abort", onAbort);
        reject(error);
      };
      signal.addEventListener("abort", onAbort);
      socket.on("upgrade", (response) => raw = response.socket);
      socket.on("unexpected-response", (_, { statusCode }) => {
        fail(refused(address, statusCode));
        socket.terminate();
      });
      socket.on("error", (cause) => fail(failed(address, cause)));
      socket.on("close", () => fail(dialError(address, "the WebSocket was closed")));
      socket.on("open", () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
    });
    if (socket.protocol !== subprotocol) {
      socket.terminate();
      throw otherProtocol(address);
    }
    return new PackageSocketPipe(socket, raw ?? socket._socket, observer);
  }, heartbeat);
}

function failed(address: string, cause: Error): Error {
  const reason = (cause.message || String(cause)).trim().replace(/\s+/g, " ");
  const status = /Unexpected server response: (\d+)/.exec(reason)?.[1];
  if (status !== undefined) return refused(address, Number(status));
  const { hostname, host, protocol } = new URL(address);
  const known = connectAdvice(reason, hostname, host, {
    server: "the home",
    ...protocol === "wss:" ? { plain: "ws://" } : {},
  });
  const isNoHome = /^Parse Error|hang up|ECONNRESET|Expected 101|Malformed/i.test(reason);
  const advice = known.advice ??
    (isNoHome
      ? `${host} does not answer as a home; check the host, the port and the scheme`
      : undefined);
  const problem = advice === undefined ? reason : `${advice} (${reason})`;
  return dialError(address, problem, known.isTransient, cause);
}

function refused(address: string, status: number): Error {
  const advice = status === 404 ? "; check the path of the URI" : "";
  // A gateway answers so while the home behind it restarts.
  const isTransient = status >= 500 || status === 429 || status === 408;
  return dialError(address, `the server answered ${status}${advice}`, isTransient);
}
