/**
 * The contract between a channel and what carries it. Policy (waiting, timeouts, aborts, references,
 * closing rules) is the core's; a transport supplies mechanism. This file imports nothing.
 *
 * @module
 */

/** A value on its way: opaque bytes to every transport, with what it must carry beside them. */
export interface Message {
  /** The encoded value. It may be a part of a larger buffer: copy it before you transfer it to a thread. */
  readonly body: Uint8Array;
  /** MIME type of `body`; empty if its sender gave none. */
  readonly contentType: string;
  /** Unique among all messages of ChannelTS; absent where some other program has put it. */
  readonly id?: string;
  /** How often it was tried in vain before it was put here; absent: never. */
  readonly attempts?: number;
  /** Why it is a dead letter; absent where it is none. */
  readonly reason?: string;
  /** Milliseconds after the put before which it is not lent; absent: none. */
  readonly delay?: number;
  /** Milliseconds after the put from which on it is dropped; absent: never. */
  readonly expires?: number;
  /** A message with a higher one is lent earlier; absent: 0. */
  readonly priority?: number;
}

/** What a message may ask of a transport that offers it. */
export type PutTerm = "delay" | "expires" | "priority";

/**
 * Someone who wants a message put. Timeouts, aborts and closing are the core's: it withdraws the
 * offer, which succeeds until the message is on its way.
 */
export interface Offer {
  /** What is to be put. */
  readonly message: Message;
  /** Whether nobody waits for the outcome any more: what may not have arrived is not sent again. */
  readonly settled: boolean;
  /** Called at most once: the transport has taken responsibility for the message. */
  taken(): void;
  /** Called at most once, instead of `taken`. */
  reject(error: Error): void;
  /** Called at most once, instead of `taken`: the channel is full. Absent where the offer waits for room. */
  full?(): void;
}

/**
 * A message on loan. It is settled once, by `accept` or by `release`; later calls do nothing. Both
 * take effect without being awaited: a transport may batch them for a moment, and where the
 * connection is lost or the process killed before, the message is lent again, to anyone.
 */
export interface Loan {
  /** What was put. */
  readonly message: Message;
  /** Whether the message may have been lent before. */
  readonly redelivered: boolean;
  /**
   * How often it has been tried, this time included: 1, 2 …. A try ends by a `release` that counts, or
   * by the death of the process; a transport that cannot tell the latter says 2 at least.
   */
  readonly attempts: number;
  /**
   * Takes the message for good, and its bytes with it: the value may be made of them.
   *
   * @param isMoved whether it was put elsewhere under its id: one of that id that comes later is no copy of it
   */
  accept(isMoved?: boolean): void;
  /**
   * Gives the message back, to its old place in the queue where the transport can.
   *
   * @param counted whether it was tried, and the next loan's `attempts` is to say so
   */
  release(counted?: boolean): void;
}

/**
 * Someone who waits for one message. Timeouts, aborts and closing are the core's: it withdraws the
 * claim, and a loan that crosses the withdrawal is released, so nothing is lost.
 */
export interface Claim {
  /**
   * Whether `attempts` must tell the deaths of processes apart and count them, also where that costs
   * speed or a message its place.
   */
  readonly counted: boolean;
  /** Called at most once, possibly within `take`; never after `reject` or a `withdraw` that returned true. */
  deliver(loan: Loan): void;
  /**
   * Called where the claim is not served because no message is there, as far as the transport knows: within
   * `take`, or when it has asked. What is withdrawn then takes nothing with it.
   */
  waits?(): void;
  /** Called at most once, instead of `deliver`. */
  reject(error: Error): void;
  /** What it takes part in, if in something: a RoomWaiter of the same is not served by it. */
  readonly group?: object;
}

/** Someone who was told by `full` that there is no room, and is to offer again when there may be. */
export interface RoomWaiter {
  /** As a claim's. */
  readonly group?: object;
  /** Called at most once, possibly within `awaitRoom`: an offer may be taken, or rejected, now. */
  tryAgain(): void;
}

/** Someone who waits until no message waits in a channel. */
export interface EmptyWaiter {
  /** Called at most once, possibly within `awaitEmpty`. */
  empty(): void;
}

/** What a link tells its owner, from `open` until the link is closed. */
export interface LinkObserver {
  /** Some other link on the same channel announced `event`. */
  announced(event: Uint8Array): void;
  /** So many events were dropped, because this process did not take them for a while. */
  missed(count: number): void;
  /** The channel is no longer there. The core withdraws every claim and closes the link. */
  gone(): void;
}

/** How a link is opened. */
export interface LinkOptions {
  /** Whether to create a channel that is missing; otherwise `open` rejects with a ChannelClosedError. */
  readonly create: boolean;
  /**
   * Milliseconds for which a channel created now outlives its last link; the transport keeps it while
   * links are open. Absent: until it is deleted.
   */
  readonly lease?: number;
  /**
   * How many values a channel created now holds at most, those on loan included where the transport knows of
   * them: an offer beyond waits. 0: each waits until someone takes its value. Absent: any number.
   */
  readonly capacity?: number;
  /** Whether nobody else can have the channel yet. */
  readonly isNew?: boolean;
  /** Whether a channel created now is to be kept by a majority of a cluster's nodes, where there are such. */
  readonly quorum?: boolean;
  /** Milliseconds for which an operation outlasts that the broker cannot be reached. */
  readonly retryTimeout: number;
  /** Aborted when nobody wants the link any more; `open` rejects then, if it is not done. */
  readonly signal: AbortSignal;
  /** Who is told what happens to the channel. */
  readonly observer: LinkObserver;
}

/**
 * One process's attachment to one channel; the core opens at most one per name and transport. It
 * outlasts its connection: what is pending goes on when the broker is back.
 *
 * Every method rejects with a ChannelClosedError where the channel is gone, and with a
 * ChannelConnectionError where the broker cannot be reached for `retryTimeout` ms.
 */
export interface Link {
  /** Queues a message, in the order of the calls. */
  put(offer: Offer): void;
  /** Queues a claim on the next message. Claims are served in the order of the calls. */
  take(claim: Claim): void;
  /** Tells when there may be room. Absent: whoever was told `full` tries again by and by. */
  awaitRoom?(waiter: RoomWaiter): void;
  /** Tells when no message waits. Absent: whoever wants to know asks for the depth, again and again. */
  awaitEmpty?(waiter: EmptyWaiter): void;
  /** Whether the offer had not been sent, or the claim or waiter not been served, and never will be. */
  withdraw(one: Offer | Claim | RoomWaiter | EmptyWaiter): boolean;
  /**
   * A message that is there already, or undefined. It may take a moment to find out.
   *
   * @param counted as a claim's
   */
  tryTake(counted: boolean): Promise<Loan | undefined>;
  /**
   * Tells every other link on this channel of `event`.
   *
   * @param isControl whether it must reach who takes no events for a while; of others the oldest may be dropped
   */
  announce(event: Uint8Array, isControl?: boolean): Promise<void>;
  /** Resolves when every event that was announced before the call has been observed. */
  catchUp(): Promise<void>;
  /**
   * Closes the channel, until it is deleted: every offer is rejected from now on, with a ChannelClosedError of
   * reason `drain`, and so is every claim once nothing waits and nothing is on loan. Offers of this link that are
   * older come before.
   */
  drain(): Promise<void>;
  /** How many messages wait to be taken. */
  depth(): Promise<number>;
  /** Deletes the channel and its messages; every other link's observer hears `gone`. */
  delete(): Promise<void>;
  /**
   * Detaches: gives back what nobody claimed, and sends what was accepted. The core has withdrawn
   * every claim and offer, released every loan, and waited for what was sent before. Never rejects.
   */
  close(): Promise<void>;
}

/** How far a transport reaches. A reference travels no further than the channel that it names. */
export type Reach = "isolate" | "machine" | "network";

/** What the conformance suite may ask of a transport. */
export interface Features {
  /** Whether several transports on one address, in any process, share its channels. */
  readonly shared: boolean;
  /** What a message may ask for; what is not here is never sent. Absent: nothing. */
  readonly terms?: readonly PutTerm[];
  /** Whether a channel may have capacity 0, so that a put waits until its value is taken. Absent: no. */
  readonly rendezvous?: boolean;
}

/** What a transport has done since it was made; it counts on. */
export interface Stats {
  /** Values that were put. */
  puts: number;
  /** Puts that have been confirmed. */
  confirms: number;
  /** Values that were got, or received and accepted. */
  gets: number;
  /** Values handed out that may have been handed out before. */
  redeliveries: number;
  /** Connections made after one was lost. */
  reconnects: number;
  /** Puts that are not settled now. */
  outstanding: number;
}

/** Who is told what happens to a transport's connection. */
export interface ConnectionWatcher {
  /** It is there, for the first time or after a loss. */
  connected(isAgain: boolean): void;
  /** It is lost, and being made again. */
  disconnected(error: Error): void;
  /** An attempt has failed; the next is `pause` ms away, or there is none (`Infinity`). */
  failed(error: Error, pause: number): void;
  /** The broker takes no messages for this reason, or takes them again. */
  blocked(reason: string | undefined): void;
  /** Something may go wrong, as where a channel that is there may drop values. */
  warned?(problem: string): void;
}

/** What carries channels: memory, a file, a broker. */
export interface Transport {
  /** Canonical and without credentials: what references carry. */
  readonly address: string;
  /** How far its channels reach. */
  readonly reach: Reach;
  /** What the conformance suite may ask of it. */
  readonly features: Features;
  /** Why the broker cannot be reached at the moment; undefined while all is well. */
  readonly trouble: Error | undefined;
  /** Why the broker takes no messages at the moment, although it can be reached. */
  readonly blocked?: string | undefined;
  /** What it counts, if it counts. */
  readonly stats?: Readonly<Stats>;
  /** Attaches to the channel of this name. */
  open(name: string, options: LinkOptions): Promise<Link>;
  /**
   * Called when nothing is attached any more, to give back what costs, such as sockets; a later `open`
   * works again. Absent where nothing costs. Never rejects.
   */
  rest?(): void;
}
