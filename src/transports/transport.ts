/**
 * The contract between a channel and the transport that carries it. The core decides policy (waiting, timeouts, aborts,
 * references, closing rules); a transport provides mechanism. This file imports nothing.
 *
 * @module
 */

/** An encoded value with its properties. To a transport, the body is opaque. */
export interface Message {
  /** The encoded value. It may be a part of a larger buffer: copy it before transferring it to a thread. */
  readonly body: Uint8Array;
  /** The MIME type of `body`; empty if the sender gave none. */
  readonly contentType: string;
  /** An id that no other message of ChannelTS has. Absent if another program has put the message. */
  readonly id?: string;
  /** The number of failed attempts before the message was put here. Absent: none. */
  readonly attempts?: number;
  /** Why the message is a dead letter. Absent if it is none. */
  readonly reason?: string;
  /**
   * How often the sender had sent the message before, each time without learning whether it was put: so many copies of it may be
   * in the channel. Absent: never.
   */
  readonly copy?: number;
  /** For how many milliseconds after the put the message is not lent. Absent: none. */
  readonly delay?: number;
  /** After how many milliseconds from the put a waiting message is dropped. Absent: never. */
  readonly expires?: number;
  /** A message of higher priority is lent earlier. Absent: 0. */
  readonly priority?: number;
  /**
   * Short texts about the message, such as `traceparent`: at most 16, with names of `a` to `z`, `0` to `9`, `_`, `.` and
   * `-`, values of printable ASCII, and at most 2,048 characters in all. Absent: none.
   */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A property of a message that a transport may or may not support. */
export type PutTerm = "delay" | "expires" | "priority";

/**
 * A request to put a message. The core implements timeouts, aborts and closing: it withdraws the offer, which succeeds
 * until the transport has sent the message.
 */
export interface Offer {
  /** The message to put. */
  readonly message: Message;
  /** Whether nobody waits for the outcome any more. A message that may not have arrived is not sent again then. */
  readonly settled: boolean;
  /** Called at most once, when the transport has taken responsibility for the message. */
  taken(): void;
  /** Called at most once, instead of `taken`. */
  reject(error: Error): void;
  /** Called at most once, instead of `taken`, when the channel is full. Absent if the offer waits for room. */
  full?(): void;
}

/**
 * A message on loan. It is settled once, by `accept` or `release`; later calls do nothing. Both return at once: a
 * transport may batch them for a moment. If the connection is lost or the process killed before they have reached the
 * broker, the message is lent again, possibly to another process.
 */
export interface Loan {
  /** The message. */
  readonly message: Message;
  /** Whether the message may have been lent before. */
  readonly redelivered: boolean;
  /**
   * The number of attempts, including this one: 1, 2 …. An attempt ends with a counted `release` or the death of the
   * process. A transport that cannot count the deaths reports at least 2 after one.
   */
  readonly attempts: number;
  /**
   * Takes the message out of the channel. Its bytes then belong to the caller, whose value may be made of them.
   *
   * @param isMoved whether the message was put elsewhere under its id, so that a later message of this id is no
   * duplicate
   */
  accept(isMoved?: boolean): void;
  /**
   * Returns the message, to its old place in the queue if the transport can.
   *
   * @param counted whether the next loan's `attempts` counts this attempt
   */
  release(counted?: boolean): void;
}

/**
 * A request for one message. The core implements timeouts, aborts and closing: it withdraws the claim, and releases a
 * loan that arrives nevertheless, so that no message is lost.
 */
export interface Claim {
  /** Whether `attempts` must count the deaths of processes exactly, even if that costs speed or a message its place. */
  readonly counted: boolean;
  /** Called at most once, possibly during `take`; never after `reject` or a `withdraw` that returned true. */
  deliver(loan: Loan): void;
  /**
   * Called when no message is there, as far as the transport knows: during `take`, or once it has asked the broker. A
   * claim that is withdrawn then takes no message with it.
   */
  waits?(): void;
  /** Called at most once, instead of `deliver`. */
  reject(error: Error): void;
  /** The operation that the claim belongs to, if any: a `RoomWaiter` of the same group is not served by it. */
  readonly group?: object;
}

/** A request to be told of room, made after `full`. */
export interface RoomWaiter {
  /** The operation that the waiter belongs to, if any: a `Claim` of the same group does not serve it. */
  readonly group?: object;
  /** Called at most once, possibly during `awaitRoom`, when an offer may be taken, or would be rejected. */
  tryAgain(): void;
}

/** A request to be told when no message waits in a channel. */
export interface EmptyWaiter {
  /** Called at most once, possibly during `awaitEmpty`. */
  empty(): void;
  /** Called at most once, instead of `empty`. */
  reject(error: Error): void;
}

/** What a link reports to its owner, from `open` until the link is closed. */
export interface LinkObserver {
  /** Another link on the same channel announced `event`. */
  announced(event: Uint8Array): void;
  /** The transport dropped this many events, because this process did not read them in time. */
  missed(count: number): void;
  /** The channel no longer exists. The core withdraws all claims and closes the link. */
  gone(): void;
}

/** Options of `Transport.open`. */
export interface LinkOptions {
  /** Whether to create a missing channel. If false, `open` rejects with a ChannelClosedError for one. */
  readonly create: boolean;
  /**
   * For how many milliseconds a channel that is created now exists after its last link is closed. Absent: until it is
   * deleted.
   */
  readonly lease?: number;
  /**
   * How many values a channel that is created now holds at most, including those on loan if the transport can count
   * them. Further offers wait. With 0, each offer waits until its value is taken. Absent: any number.
   */
  readonly capacity?: number;
  /**
   * Whether the name is new, so that no other process can know the channel. `open` may then resolve before the transport has
   * created the channel, if all that is sent through the transport afterwards comes after it; `catchUp` resolves after it.
   */
  readonly isNew?: boolean;
  /** Whether a majority of a cluster's nodes keeps a channel that is created now, if the transport has clusters. */
  readonly quorum?: boolean;
  /** For how many milliseconds an operation waits for a broker that cannot be reached. */
  readonly retryTimeout: number;
  /** Aborted when the link is no longer needed. A pending `open` rejects then. */
  readonly signal: AbortSignal;
  /** The observer of the channel. */
  readonly observer: LinkObserver;
}

/**
 * The attachment of a process to a channel. The core opens at most one per name and transport. A link outlasts its
 * connection: pending operations continue when the broker is reachable again.
 *
 * Every method rejects with a ChannelClosedError if the channel no longer exists, and with a ChannelConnectionError if
 * the broker cannot be reached for `retryTimeout` milliseconds.
 */
export interface Link {
  /** Adds an offer. The messages of offers are put in the order of the calls. */
  put(offer: Offer): void;
  /** Adds a claim on the next message. Claims are served in the order of the calls. */
  take(claim: Claim): void;
  /** Adds a waiter for room. Absent: after `full`, the core offers again with growing pauses. */
  awaitRoom?(waiter: RoomWaiter): void;
  /** Adds a waiter for an empty channel. Absent: the core asks for the depth with growing pauses. */
  awaitEmpty?(waiter: EmptyWaiter): void;
  /**
   * Withdraws an offer that has not been sent, or a claim or waiter that has not been served, and reports whether it
   * was one.
   */
  withdraw(one: Offer | Claim | RoomWaiter | EmptyWaiter): boolean;
  /**
   * Resolves with a message that is already there, or undefined. It may take a round-trip to find out.
   *
   * @param counted as in {@linkcode Claim}
   */
  tryTake(counted: boolean): Promise<Loan | undefined>;
  /**
   * Sends an event to all other links on this channel.
   *
   * @param isControl whether the event must also reach a process that reads no events for a time; the oldest of the
   * other events may be dropped for such a process
   */
  announce(event: Uint8Array, isControl?: boolean): Promise<void>;
  /** Resolves when every event that was announced before the call has been observed. */
  catchUp(): Promise<void>;
  /**
   * Closes the channel until it is deleted. From now on every offer is rejected with a ChannelClosedError of reason
   * `drain`, and so is every claim once no message waits or is on loan. Earlier offers of this link are put first.
   */
  drain(): Promise<void>;
  /** Resolves with the number of waiting messages. */
  depth(): Promise<number>;
  /** Resolves with what is known of the channel. Absent: only the depth is. */
  stats?(): Promise<ChannelStats>;
  /** Deletes the channel and its messages, and reports `gone` to the observers of all other links. */
  delete(): Promise<void>;
  /**
   * Detaches: returns the messages that nobody claimed, and sends the acceptances. Before, the core has withdrawn all
   * claims and offers, released all loans, and waited for the offers that were sent. Never rejects.
   */
  close(): Promise<void>;
}

/** How far the channels of a transport reach. A reference travels no further than the channel that it names. */
export type Reach = "isolate" | "machine" | "network";

/** The features of a transport, which the conformance suite reads. */
export interface Features {
  /** Whether transports of one address share its channels, in any process. */
  readonly shared: boolean;
  /** The terms that the transport supports; a message with another term is never offered. Absent: none. */
  readonly terms?: readonly PutTerm[];
  /** Whether a channel may have capacity 0, so that a put waits until its value is taken. Absent: no. */
  readonly rendezvous?: boolean;
}

/**
 * What is known of a channel at a moment, over all processes. A member is absent if the transport cannot tell it, or if
 * there is nothing to tell.
 */
export interface ChannelStats {
  /** The number of values that wait. */
  readonly depth: number;
  /** The number of values on loan, those included that a process has read ahead for its consumers. */
  readonly loans?: number;
  /**
   * The number of consumers: on `memory:` and Redis the operations that wait for a value; on `sqlite:` the threads and
   * processes that do; on RabbitMQ the consumers of the queue, which a process also has while it handles values.
   */
  readonly consumers?: number;
  /** The number of values whose delay is not over. */
  readonly delayed?: number;
  /** The capacity of the channel. Absent if it has none. */
  readonly capacity?: number;
  /** Whether the channel was closed by a drain. */
  readonly closed?: boolean;
}

/** Counts of a transport's operations since it was created. The object is live. */
export interface Stats {
  /** Values that were put. */
  puts: number;
  /** Puts that were confirmed. */
  confirms: number;
  /** Values that were got, or received and accepted. */
  gets: number;
  /** Values that were delivered and may have been delivered before. */
  redeliveries: number;
  /** Connections that were opened after one was lost. */
  reconnects: number;
  /** Puts that are pending now. */
  outstanding: number;
  /** Values on loan to this process now: received, and neither accepted nor released. */
  loans: number;
}

/** An observer of a transport's connection. */
export interface ConnectionWatcher {
  /** The connection is open, for the first time or again. */
  connected(isAgain: boolean): void;
  /** The connection is lost, and is being opened again. */
  disconnected(error: Error): void;
  /** An attempt to connect failed. The next one begins in `pause` milliseconds; with `Infinity` there is none. */
  failed(error: Error, pause: number): void;
  /** The broker accepts no messages for this reason; without a reason, it accepts them again. */
  blocked(reason: string | undefined): void;
  /** A condition that may lose values, such as a queue that drops them. */
  warned?(problem: string): void;
  /** Something that explains what is seen elsewhere, such as a copy of a message that was dropped. */
  noted?(event: string): void;
}

/** A carrier of channels: memory, a file, or a broker. */
export interface Transport {
  /** The canonical address without credentials, which references contain. */
  readonly address: string;
  /** How far the channels reach. */
  readonly reach: Reach;
  /** The features of the transport. */
  readonly features: Features;
  /** Why the broker cannot be reached now; undefined if it can. */
  readonly trouble: Error | undefined;
  /** Why the broker accepts no messages now, although it can be reached. */
  readonly blocked?: string | undefined;
  /** The counts of the transport. Absent if it does not count. */
  readonly stats?: Readonly<Stats>;
  /** Attaches to the channel of a name. */
  open(name: string, options: LinkOptions): Promise<Link>;
  /**
   * Called when no link is open any more, to release resources such as sockets. A later `open` works again. Absent if
   * there is nothing to release. Never rejects.
   */
  rest?(): void;
}

/**
 * The options of a connection that its transport reads. `ca`, `cert`, `key` and `servername` are those of TLS: for `amqps:` and
 * `rediss:`, and for `wss:` on Deno, Bun and Node. Keys and certificates are in PEM format.
 */
export interface TransportOptions {
  /** The user name; it replaces that of the URI. */
  readonly username?: string;
  /** The password, or the secret of a home; it replaces that of the URI. */
  readonly password?: string;
  /**
   * The connection's name in RabbitMQ's management interface or in `CLIENT LIST` of Redis; default: `ChannelTS`, host name and
   * process id. Also the peer's name in the log of a home; default: none.
   */
  readonly name?: string;
  /** The certificates of the trusted authorities; they replace the system's. */
  readonly ca?: string | readonly string[];
  /** The client certificate. */
  readonly cert?: string;
  /** The private key of `cert`; for `zmq:`, the secret key of this peer, in base64url. */
  readonly key?: string;
  /** The name that the certificate of the other end must have; default: the host of the URI. */
  readonly servername?: string;
}

/** What a URI says. The other members differ by scheme; a member that is a credential belongs to them. */
export interface ParsedUri {
  /** The canonical address: a URI of the same scheme, without credentials, whose own address it is. */
  readonly address: string;
}

/** A URI scheme, and how a transport is made for a URI of it. */
export interface Scheme {
  /** How far the channels of the transport reach. */
  readonly reach: Reach;
  /** The names of the {@linkcode TransportOptions} that the transport takes. Absent: none. */
  readonly options?: readonly (keyof TransportOptions)[];
  /**
   * Parses a URI, without I/O. URIs whose results are equal as JSON share a connection.
   *
   * @throws {ChannelConfigError} if the URI is invalid; the message contains no credential
   */
  parse(uri: string): ParsedUri;
  /**
   * Makes the transport of a URI that {@linkcode Scheme.parse} has accepted. It is called when a channel first
   * attaches, and may load code, but connects to nothing: the transport connects when a channel is opened.
   */
  load(
    uri: string,
    options?: TransportOptions,
    watcher?: ConnectionWatcher,
  ): Transport | Promise<Transport>;
}
