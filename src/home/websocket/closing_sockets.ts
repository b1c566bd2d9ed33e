import { sourceOf } from "../admission.ts";

/**
 * The WebSockets of Deno's server. It cannot end one: after `close`, the connection stays open until the other end
 * answers, and a hostile one never does. So an address that has too many of them gets no more.
 */
export class ClosingSockets {
  readonly #sockets = new Map<string, Set<WebSocket>>();

  /** Adds a socket, which leaves when it is closed. */
  add(address: string, socket: WebSocket): void {
    const source = sourceOf(address);
    const sockets = this.#sockets.get(source) ?? new Set();
    this.#sockets.set(source, sockets.add(socket));
    socket.addEventListener("close", () => {
      if (sockets.delete(socket) && sockets.size === 0) this.#sockets.delete(source);
    });
  }

  /** Reports whether an address has left too many connections open that this end has closed. */
  areTooMany(address: string): boolean {
    let count = 0;
    for (const { readyState } of this.#sockets.get(sourceOf(address)) ?? []) {
      if (readyState === WebSocket.CLOSING) count++;
    }
    return count >= mostClosing;
  }
}

/** How many such connections an address may have. */
const mostClosing = 64;
