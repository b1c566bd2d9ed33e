import { ChannelConnectionError } from "../../../shared/errors.ts";
import type { TransportOptions } from "../../transport.ts";
import { pinging } from "./pinging.ts";
import type { Dial } from "./pipe.ts";
import { type OpenWebSocket, subprotocol, WebSocketPipe } from "./websocket_pipe.ts";

/**
 * Makes the dials of a home.
 *
 * @param heartbeat milliseconds between pings; 0 for none
 */
export type WebSocketDial = (
  address: string,
  options: TransportOptions,
  heartbeat?: number,
) => Dial;

/** Returns a dial that uses the `WebSocket` of the runtime. */
export function dialWebSocket(
  address: string,
  _options: TransportOptions,
  heartbeat?: number,
): Dial {
  return pinging(async (observer, signal) => {
    const { WebSocket } = globalThis;
    if (WebSocket === undefined) {
      throw dialError(address, "this runtime has no WebSocket; use Node 22 or later", false);
    }
    signal.throwIfAborted();
    const socket: OpenWebSocket = new WebSocket(address, [subprotocol]);
    await new Promise<void>((resolve, reject) => {
      const give = (result: () => void) => {
        signal.removeEventListener("abort", onAbort);
        result();
      };
      const onAbort = () => {
        socket.close();
        give(() => reject(signal.reason));
      };
      signal.addEventListener("abort", onAbort);
      socket.addEventListener("open", () => give(resolve));
      socket.addEventListener("error", (event) => {
        const { message } = event as Partial<ErrorEvent>;
        give(() =>
          reject(dialError(address, message || "the WebSocket was refused, or there is no server"))
        );
      });
      socket.addEventListener("close", () => {
        give(() => reject(dialError(address, "the WebSocket was closed")));
      });
    });
    if (socket.protocol !== subprotocol) {
      socket.close();
      throw otherProtocol(address);
    }
    return new WebSocketPipe(socket, observer);
  }, heartbeat);
}

/** Returns the error of a connection that could not be made. */
export function dialError(
  address: string,
  problem: string,
  transient = true,
  cause?: unknown,
): ChannelConnectionError {
  return new ChannelConnectionError(`cannot connect to ${address}: ${problem}`, {
    address,
    transient,
    ...cause === undefined ? {} : { cause },
  });
}

/** Returns the error of a server that is no home. */
export function otherProtocol(address: string): ChannelConnectionError {
  return dialError(
    address,
    `the server does not speak the protocol ${subprotocol} of homes; check the path of the URI`,
    false,
  );
}
