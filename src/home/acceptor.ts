import type { Pipe, PipeObserver } from "../transports/home/pipes/pipe.ts";

/** What a server knows of a peer. */
export interface PeerInfo {
  /** The kind of pipe that the peer uses. */
  readonly transport: "zmq" | "ws" | "port";
  /** The network address of the peer, without its port; for a port, what the program says, or an empty text. */
  readonly address: string;
  /** The origin of the page, if a browser has named one. */
  readonly origin?: string;
  /** The public key that the peer has proved to own, in base64url. */
  readonly key?: string;
  /** The user name of the peer, if the pipe has checked a password. */
  readonly username?: string;
}

/** A connection that a server has accepted, as the home sees it. */
export interface Newcomer {
  /** The size in bytes of the largest frame that may be read now. It grows when the peer is admitted. */
  readonly maxFrame: number;
  /** Called when the connection is closed, in any way. Later calls do nothing. */
  gone(): void;
}

/** What the servers of a home hand connections to: the home. */
export interface Acceptor {
  /**
   * Registers a connection, before anything is read from it. If the result is undefined, the server closes the
   * connection at once: too many others of its address are not admitted yet.
   *
   * @param address the network address of the other end, without its port
   * @param expire closes the connection; called if it is not admitted in time, or when the home closes
   */
  arrived(address: string, expire: () => void): Newcomer | undefined;
  /**
   * Takes the pipe of a connection.
   *
   * @param open returns the open pipe, which calls the observer from then on
   * @param newcomer what `arrived` has returned; absent if the pipe has no server, as that of a port
   */
  accept(info: PeerInfo, open: (observer: PipeObserver) => Pipe, newcomer?: Newcomer): void;
}
