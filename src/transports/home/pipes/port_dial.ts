import { dialError } from "./websocket_dial.ts";
import type { Dial } from "./pipe.ts";
import { PortEnd } from "./port_end.ts";
import type { Port } from "./port_pipe.ts";

/** Returns a dial of pipes over one port, one after the other. */
export function dialPort(port: Port, address: string): Dial {
  let end: PortEnd | undefined;
  return async (observer, signal) => {
    end ??= new PortEnd(port);
    await end.rests();
    signal.throwIfAborted();
    if (end.isLost) throw dialError(address, "the port is closed", false);
    return end.open(observer);
  };
}
