/**
 * The contract between a channel and what carries it. Policy (waiting, timeouts, retry, references,
 * closing rules) is the core's; a transport supplies mechanism. This file imports nothing.
 *
 * @module
 */

/** A value on its way: opaque bytes to every transport. */
export interface Message {
  readonly body: Uint8Array;
  /** MIME type of `body`; empty if its sender gave none. */
  readonly contentType: string;
}

/**
 * A message on loan. It is settled once, by `accept` or by `release`; later calls do nothing. Both
 * take effect without being awaited: a transport may batch them for a moment, and where the
 * connection is lost or the process killed before, the message is delivered again, to anyone.
 */
export interface Delivery {
  readonly message: Message;
  /** Whether the message may have been delivered before. */
  readonly redelivered: boolean;
  /** Takes the message for good. */
  accept(): void;
  /** Gives the message back, to its old place in the queue where the transport can. */
  release(): void;
}

/** What a link tells its owner, from `open` until the link is closed. Neither method may throw. */
export interface LinkObserver {
  /** Some other link on the same channel announced `event`. */
  announced(event: Uint8Array): void;
  /** The channel is no longer there. Called at most once; the link is of no more use. */
  gone(): void;
}

export interface LinkOptions {
  /** Whether to create a channel that is missing; otherwise `open` rejects with a ChannelClosedError. */
  readonly create: boolean;
  /** Milliseconds for which a channel created now outlives its last link. Absent: until it is deleted. */
  readonly lease?: number;
  /** Milliseconds for which a broker that cannot be reached is tried again. */
  readonly retryTimeout: number;
  readonly observer: LinkObserver;
}

/**
 * One process's attachment to one channel; the core opens at most one per name and transport.
 *
 * Every method rejects with a ChannelClosedError where the channel is gone, with a
 * ChannelConnectionError where the broker cannot be reached, and with the signal's reason where the
 * signal aborts first.
 */
export interface Link {
  /** Resolves when the transport has taken responsibility. Puts are sent in the order of the calls. */
  put(message: Message, signal?: AbortSignal): Promise<void>;
  /** The next message; competing calls are served in their order. An aborted call takes none. */
  take(signal?: AbortSignal): Promise<Delivery>;
  /** A message that is there already, or undefined. */
  tryTake(signal?: AbortSignal): Promise<Delivery | undefined>;
  /** Resolves when every other link on this channel will hear of `event`. */
  announce(event: Uint8Array): Promise<void>;
  /** How many messages wait to be taken. */
  depth(): Promise<number>;
  /** Deletes the channel and its messages. */
  delete(): Promise<void>;
  /** Detaches: sends what was accepted and put, gives back what was not. Idempotent; never rejects. */
  close(): Promise<void>;
}

/** How far a transport reaches. A reference may travel no further than the channel it names. */
export type Reach = "isolate" | "machine" | "network";

/** What the conformance suite may ask of a transport. */
export interface Features {
  /** Whether several transports on one address, in any process, share its channels. */
  readonly shared: boolean;
}

/** What carries channels: memory, a file, a broker. */
export interface Transport {
  /** Canonical and without credentials: what references carry. */
  readonly address: string;
  readonly reach: Reach;
  readonly features: Features;
  /** Why the broker cannot be reached at the moment; undefined while all is well. */
  readonly trouble: Error | undefined;
  /** Attaches to the channel of this name. */
  open(name: string, options: LinkOptions): Promise<Link>;
  /** Gives back what costs while nothing is attached, such as sockets. A later `open` works again. */
  rest(): Promise<void>;
}
