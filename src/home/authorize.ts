/**
 * What a peer may do with a channel:
 *
 * - `open`: use the channel at all, and receive its broadcasts; with `create`, the peer wants to create it if it is
 *   missing;
 * - `put`: put values;
 * - `get`: get and receive values;
 * - `announce`: broadcast;
 * - `depth`: read the number of waiting values and the other `stats`, and wait until no value waits;
 * - `close`: close the channel for all, with or without draining it;
 * - `delete`: delete the channel.
 */
export type PeerAction = "open" | "put" | "get" | "announce" | "depth" | "close" | "delete";

/** A peer, as {@linkcode HomeOptions.authorize} sees it. */
export interface PeerIdentity {
  /** The kind of pipe that the peer uses. */
  readonly transport: "zmq" | "ws" | "port";
  /** The network address of the peer, without its port. */
  readonly address: string;
  /** The origin of the page, if a browser has named one. */
  readonly origin?: string;
  /** The public key that the peer has proved to own. */
  readonly key?: string;
  /** The user name of the peer, if it has proved to know the password. */
  readonly username?: string;
  /** The token that the peer has sent. Not enumerable, so that logs do not print it. */
  readonly token?: string;
}

/** What a peer asks for. */
export interface PeerRequest {
  /** The peer. */
  readonly peer: PeerIdentity;
  /** What it wants to do. */
  readonly action: PeerAction;
  /** The name of the channel. */
  readonly channel: string;
  /** Whether the name is one of an anonymous channel, which nobody can guess. */
  readonly anonymous: boolean;
  /** Whether the peer wants to create the channel if it is missing. */
  readonly create: boolean;
}

/** Decides whether a peer may do something. */
export type Authorize = (request: PeerRequest) => boolean | Promise<boolean>;
