import { PortEnd } from "../transports/home/pipes/port_end.ts";
import type { Port } from "../transports/home/pipes/port_pipe.ts";
import type { Acceptor } from "./acceptor.ts";

/**
 * Takes a port, whose other end a peer has. One peer after the other may use it.
 *
 * @returns closes the port
 */
export function acceptPort(
  acceptor: Acceptor,
  port: Port,
  about: { readonly address?: string; readonly origin?: string } = {},
): () => void {
  const { address = "", origin } = about;
  const info = { transport: "port", address, ...origin === undefined ? {} : { origin } } as const;
  const end = new PortEnd(port, (open) => acceptor.accept(info, open));
  return () => end.close();
}
