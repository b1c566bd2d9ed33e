import { OncePerTurn } from "../../../shared/once_per_turn.ts";
import type { Buffer } from "node:buffer";
import { drainedError, undelayableError } from "../../../shared/closed_errors.ts";
import type { ChannelError } from "../../../shared/errors.ts";
import { Deadlines } from "../../remote/deadlines.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";
import { RepeatedLosses } from "../../remote/repeated_losses.ts";
import type { Offer, Stats } from "../../transport.ts";
import { storedBytes } from "../stored_message.ts";

/** The part of a link that sends, and makes errors. */
export interface RedisOutboxOwner {
  /** The name of the channel. */
  readonly name: string;
  /** Returns the error for a put that has waited too long for a connection. */
  outageError(wasSent: boolean, id: string | undefined): ChannelError;
  /**
   * Returns the error for a put that the server has refused; undefined if the connection is lost, so that the put is repeated.
   *
   * @param wasSent whether it was sent before, so that the refused one may be a copy
   */
  refusal(error: unknown, wasSent: boolean, id: string | undefined): ChannelError | undefined;
  /** Returns the error for a message that the server would not deliver. */
  tooLarge(size: number, limit: number): ChannelError;
  /** Returns the error for a put that too few replicas have confirmed. */
  unreplicated(id: string | undefined): ChannelError;
  /** Called when no put waits for room any more. */
  foundRoom(): void;
}

/** Where the puts of a link go: the attachment on one connection. */
export interface RedisDestination {
  /** The capacity of the channel, if it has one. */
  readonly capacity: number | undefined;
  /** The bytes of the largest message that the server delivers. */
  readonly largest: number;
  /** Reports whether earlier claims of the link have not been sent, so that puts must wait. */
  hasClaimsHere(): boolean;
  /**
   * Runs the script `put`, after what was settled and claimed before. An outcome is also `unreplicated`: the message is put,
   * and too few replicas have it.
   */
  put(args: readonly (string | Buffer)[]): Promise<number[]>;
  /** Waits for room no more. */
  unask(): void;
  /** Something is due in a number of milliseconds. */
  noteDue(ms: number): void;
  /** The outbox waits for room, or does so no more. */
  fullChanged(): void;
}

/**
 * The puts of one link that the server has not taken, over all connections. The puts of one turn of the event loop are one script.
 * If the channel is full, the server refuses a put, and those that follow, and notes that the link asks for room. When it
 * tells of room, one put is sent; each put that is taken doubles the number that may be sent next.
 *
 * Invariants: puts are sent in the order of the calls, with growing numbers, and in the same order and with the same numbers on
 * each new connection, so that the server knows a copy. While room is awaited, no put is sent. A channel with a
 * capacity has one script in flight. A script that follows one that the server refuses has no effect, and its puts are sent
 * again. Each pending put keeps the process alive.
 */
export class RedisOutbox {
  readonly #stats: Stats;
  readonly #processRef: ProcessRef;
  readonly #owner: RedisOutboxOwner;
  readonly #retryTimeout: number;
  readonly #puts = new Map<Offer, PendingPut>();
  readonly #unsent = new Set<PendingPut>();
  readonly #waiting: Deadlines<PendingPut>;
  #destination: RedisDestination | undefined;
  readonly #flushing = new OncePerTurn(() => this.flush());
  #lastNumber = 0;
  /** The number of the last put that was sent on this connection. */
  #lastSent = 0;
  /** How many puts one script has at most: few after the channel was full. */
  #window = most;
  /** How many scripts are in flight. */
  #inFlight = 0;
  /** Whether room is awaited. */
  #isFull = false;
  /** Whether room was told of since the last script was sent. */
  #wasNotified = false;
  #isClosed = false;
  #onFlushed: (() => void)[] = [];

  constructor(
    stats: Stats,
    processRef: ProcessRef,
    retryTimeout: number,
    owner: RedisOutboxOwner,
  ) {
    this.#stats = stats;
    this.#processRef = processRef;
    this.#retryTimeout = retryTimeout;
    this.#owner = owner;
    this.#waiting = new Deadlines(retryTimeout, processRef, (put) => {
      put.mayHaveArrived ||= put.number > 0;
      this.#reject(put, owner.outageError(put.mayHaveArrived, put.offer.message.id));
    });
  }

  /** The number of pending puts. */
  get size(): number {
    return this.#puts.size;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  put(offer: Offer): void {
    if (this.#isClosed) return offer.reject(drainedError(this.#owner.name));
    if (offer.full !== undefined && this.#isFull) return offer.full();
    const put: PendingPut = { offer, number: 0, isInFlight: false, mayHaveArrived: false };
    this.#puts.set(offer, put);
    this.#unsent.add(put);
    this.#stats.puts++;
    this.#stats.outstanding++;
    this.#processRef.ref();
    if (this.#destination === undefined) this.#waiting.add(put);
    else this.#flushing.schedule();
  }

  /** Withdraws a put. Reports whether its message was never sent, and will not be. */
  withdraw(offer: Offer): boolean {
    const put = this.#puts.get(offer);
    if (put === undefined || !this.#unsent.has(put) || put.mayHaveArrived) return false;
    this.#remove(put);
    return true;
  }

  /** Sends all, in order, on a new connection. */
  open(destination: RedisDestination): void {
    this.#destination = destination;
    this.#lastSent = 0;
    this.#waiting.takeAll();
    for (const put of [...this.#puts.values()]) {
      if (put.offer.settled) this.#remove(put); // its put was rejected with an unknown outcome
    }
    this.flush();
  }

  /** The connection is lost. */
  lost(): void {
    if (this.#destination === undefined) return;
    this.#destination = undefined;
    this.#inFlight = 0;
    this.#isFull = this.#wasNotified = false;
    this.#unsent.clear();
    for (const put of [...this.#puts.values()]) {
      const wasInFlight = put.isInFlight;
      if (wasInFlight) put.mayHaveArrived = true;
      put.isInFlight = false;
      this.#unsent.add(put);
      this.#waiting.add(put);
      if (wasInFlight && (put.losses ??= new RepeatedLosses()).add(this.#retryTimeout)) {
        this.#reject(put, this.#owner.outageError(true, put.offer.message.id));
      }
    }
  }

  /** The server has told of room. */
  notifiedOfRoom(): void {
    this.#wasNotified = true;
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#window = 1;
    this.flush();
  }

  /** The channel is closed by a drain: puts that were not sent are rejected. */
  closed(): void {
    this.#isClosed = true;
    this.#isFull = false;
    for (const put of [...this.#unsent]) {
      if (!put.mayHaveArrived) this.#reject(put, drainedError(this.#owner.name));
    }
    this.flush();
    this.#owner.foundRoom();
  }

  /** Resolves when every put was sent that does not wait for room. */
  sent(): Promise<void> {
    if (this.#isFlushed) return Promise.resolve();
    return new Promise((resolve) => this.#onFlushed.push(resolve));
  }

  /** Rejects the puts whose time is over before the next attempt to connect, in `pause` ms. */
  expire(pause: number): void {
    this.#waiting.expire(pause);
  }

  rejectAll(make: (wasSent: boolean, id: string | undefined) => ChannelError): void {
    for (const put of [...this.#puts.values()]) {
      this.#reject(put, make(put.isInFlight || put.mayHaveArrived, put.offer.message.id));
    }
  }

  get #isFlushed(): boolean {
    return this.#unsent.size === 0 || this.#isFull;
  }

  /** Whether puts of this turn have not been sent. */
  get isPending(): boolean {
    return this.#flushing.isScheduled;
  }

  /** Sends puts, as many as may be sent. */
  flush(): void {
    const destination = this.#destination;
    while (destination !== undefined && destination === this.#destination) {
      if (this.#unsent.size === 0 || this.#isFull || destination.hasClaimsHere()) break;
      if (this.#inFlight >= (destination.capacity === undefined ? mostScripts : 1)) break;
      this.#sendNext(destination);
    }
    this.#updateFlushed();
  }

  #sendNext(destination: RedisDestination): void {
    const batch: PendingPut[] = [];
    const args: (string | Buffer)[] = [];
    let size = 0;
    for (const put of this.#unsent) {
      if (batch.length >= this.#window || size > mostBytes) break;
      const { message, full } = put.offer;
      if (destination.capacity === 0 && message.delay !== undefined) {
        this.#reject(put, undelayableError(this.#owner.name));
        continue;
      }
      const bytes = storedBytes(message);
      if (bytes.length > destination.largest) {
        this.#reject(put, this.#owner.tooLarge(bytes.length, destination.largest));
        continue;
      }
      if (put.number === 0) put.number = ++this.#lastNumber;
      const { priority = 0, delay = "", expires = "" } = message;
      const waits = full === undefined ? "1" : "0";
      args.push(String(put.number), waits, `${priority}`, `${delay}`, `${expires}`, bytes);
      put.isInFlight = true;
      size += bytes.length;
      batch.push(put);
    }
    if (batch.length === 0) return;
    const isAgain = batch.some(({ mayHaveArrived }) => mayHaveArrived);
    for (const put of batch) this.#unsent.delete(put);
    const previous = this.#inFlight === 0 ? 0 : this.#lastSent;
    this.#lastSent = batch.at(-1)!.number;
    this.#inFlight++;
    const again = this.#wasNotified ? "1" : "0";
    this.#wasNotified = false;
    destination.put([isAgain ? "1" : "0", again, String(previous), ...args]).then(
      (outcomes) => this.#destination === destination && this.#answered(batch, outcomes),
      (error) => this.#destination === destination && this.#refused(batch, error),
    );
  }

  #answered(batch: readonly PendingPut[], outcomes: readonly number[]): void {
    this.#inFlight--;
    const refused: PendingPut[] = [];
    const due = outcomes[batch.length];
    if (due !== undefined && due >= 0) this.#destination!.noteDue(due);
    batch.forEach((put, i) => {
      put.isInFlight = false;
      const outcome = outcomes[i];
      if (outcome === 1) this.#taken(put);
      else if (outcome === unreplicated) {
        this.#reject(put, this.#owner.unreplicated(put.offer.message.id));
      } else if (outcome === -1) this.#reject(put, drainedError(this.#owner.name));
      else this.#onFull(put, refused);
    });
    if (refused.length === 0) this.#window = Math.min(2 * this.#window, most);
    else this.#awaitRoom(refused);
    this.flush();
    if (!this.#isFull) this.#owner.foundRoom();
  }

  #taken(put: PendingPut): void {
    if (!this.#remove(put)) return; // it was given up meanwhile
    this.#stats.confirms++;
    put.offer.taken();
  }

  #onFull(put: PendingPut, refused: PendingPut[]): void {
    put.number = 0;
    put.mayHaveArrived = false;
    const { offer } = put;
    if (offer.full !== undefined || offer.settled) {
      if (offer.full === undefined) refused.push(put); // the server takes it for an asker
      if (this.#remove(put)) offer.full?.();
    } else refused.push(put);
  }

  /** The server has noted that the link asks for room, for these puts. */
  #awaitRoom(refused: readonly PendingPut[]): void {
    const later = [...this.#unsent];
    this.#unsent.clear();
    for (const put of refused) if (this.#puts.has(put.offer)) this.#unsent.add(put);
    for (const put of later) this.#unsent.add(put);
    this.#window = 1;
    if (this.#wasNotified || this.#isClosed) return; // before its answer was read
    this.#isFull = true;
    this.#destination?.fullChanged();
    for (const put of [...this.#unsent]) {
      if (put.offer.full !== undefined && this.#remove(put)) put.offer.full();
    }
    if (this.#unsent.size === 0) this.#endRoom();
  }

  #endRoom(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#destination?.unask();
    this.#owner.foundRoom();
  }

  /** The server has refused a script, so nothing of it was put, unless it was a copy. */
  #refused(batch: readonly PendingPut[], error: unknown): void {
    const { refusal } = this.#owner;
    if (refusal(error, false, undefined) === undefined) return; // `lost` follows, or has been called
    this.#inFlight--;
    for (const put of batch) {
      put.isInFlight = false;
      if (!this.#puts.has(put.offer)) continue;
      this.#reject(put, refusal(error, put.mayHaveArrived, put.offer.message.id)!);
    }
    this.flush();
  }

  #reject(put: PendingPut, error: ChannelError): void {
    if (this.#remove(put)) put.offer.reject(error);
  }

  /** Removes a put, and reports whether it was pending. */
  #remove(put: PendingPut): boolean {
    if (!this.#puts.delete(put.offer)) return false;
    this.#unsent.delete(put);
    this.#waiting.delete(put);
    this.#stats.outstanding--;
    this.#processRef.unref();
    if (this.#unsent.size === 0) this.#endRoom();
    this.#updateFlushed();
    return true;
  }

  #updateFlushed(): void {
    if (this.#onFlushed.length === 0 || !this.#isFlushed) return;
    for (const resolve of this.#onFlushed.splice(0)) resolve();
  }
}

/** A put that the server has not taken. */
interface PendingPut {
  readonly offer: Offer;
  /** The number under which it was sent; 0 if it was not, or was refused. */
  number: number;
  isInFlight: boolean;
  /** Whether it was sent on a lost connection, so that it may have arrived. */
  mayHaveArrived: boolean;
  /** The connections that were lost while it was in flight. */
  losses?: RepeatedLosses;
}

/** How many messages one script puts: while it runs, the server serves nobody else. */
const most = 200;

/** The bytes of the messages that one script puts, except the last one. */
const mostBytes = 1 << 20;

/** How many scripts are in flight at a time. */
const mostScripts = 16;

/** How many arguments of the script `put` belong to all its messages, and how many to each. */
export const putParameters = 3;
export const messageParameters = 6;

/** The outcome of a put that is put, and that too few replicas have. */
export const unreplicated = 2;
