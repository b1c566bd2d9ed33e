// What `node:http` passes to a listener of `upgrade`, without the types of Node, which a program may not have.

/** The request of a WebSocket: an `IncomingMessage` of `node:http`. */
export interface UpgradeRequest {
  /** The headers by their names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The connection. */
  readonly socket: { readonly remoteAddress?: string | undefined };
}

/** The socket of a request: a `Duplex` of `node:stream`. */
export interface UpgradeSocket {
  /** Closes it at once. */
  destroy(): unknown;
  /** Sends a text, and closes it. */
  end(text: string): unknown;
}
