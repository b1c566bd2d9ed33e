import type { ChannelError } from "../../shared/errors.ts";
import { putError } from "../remote/outage.ts";
import { Deadlines } from "../remote/deadlines.ts";
import type { ProcessRef } from "../remote/process_ref.ts";
import { RepeatedLosses } from "../remote/repeated_losses.ts";
import type { Message, Offer, Stats } from "../transport.ts";
import type { Frame } from "./protocol/frame.ts";
import { booleanField } from "./protocol/fields.ts";
import { messageFields } from "./protocol/message_fields.ts";
import type { BudgetWaiter } from "./put_budget.ts";
import type { Answerer, HomeSession } from "./session.ts";

/** The part of a link that makes errors. */
export interface HomeOutboxOwner {
  /** Returns the error for a put that has waited too long for a connection. */
  outageError(wasSent: boolean, id: string | undefined): ChannelError;
  /** Returns the error for a frame of a number of bytes if the home does not read so many; otherwise undefined. */
  sizeError(size: number, session: HomeSession): ChannelError | undefined;
  /** Returns the error that the home has answered. */
  refusal(frame: Frame): ChannelError;
  /** Called when no put waits for room any more. */
  foundRoom(): void;
}

/** Where the puts of a link are sent. */
interface Destination {
  readonly session: HomeSession;
  /** The number of the link. */
  readonly link: number;
  /** Reports whether earlier claims of the link have not been sent yet, so that puts must wait. */
  hasClaimsHere(): boolean;
}

/**
 * The puts of one link that the home has not taken, over all connections.
 *
 * They are sent at once, within the budget of the connection. If the channel is full, the home refuses a put, and with
 * it those that follow, until it is asked for room. When there is room, one put is sent again; each put that is taken
 * doubles the number that may be sent next.
 *
 * Invariants: puts are sent in the order of the calls, and in the same order again on each new connection. A put that
 * may have arrived on an earlier connection is sent with the number of its first request, by which the home knows a
 * copy; if the home does not remember that connection, the message itself says that it is a copy. While room is awaited,
 * no put is sent. Each pending put keeps the process alive.
 */
export class HomeOutbox implements BudgetWaiter {
  readonly #stats: Stats;
  readonly #processRef: ProcessRef;
  readonly #owner: HomeOutboxOwner;
  readonly #retryTimeout: number;
  readonly #puts = new Map<Offer, PendingPut>();
  readonly #unsent = new Set<PendingPut>();
  readonly #waiting: Deadlines<PendingPut>;
  #destination: Destination | undefined;
  /** How many puts may be in flight: few after the channel was full. */
  #window = Infinity;
  #inFlight = 0;
  /** The number of the request for room, while room is awaited. */
  #room: number | undefined;
  #onFlushed: (() => void)[] = [];

  constructor(
    stats: Stats,
    processRef: ProcessRef,
    retryTimeout: number,
    owner: HomeOutboxOwner,
  ) {
    this.#stats = stats;
    this.#processRef = processRef;
    this.#owner = owner;
    this.#retryTimeout = retryTimeout;
    this.#waiting = new Deadlines(retryTimeout, processRef, (put) => {
      put.reject(owner.outageError(put.mayHaveArrived, put.offer.message.id));
    });
  }

  get size(): number {
    return this.#puts.size;
  }

  /** Whether puts wait for room. */
  get isFull(): boolean {
    return this.#room !== undefined;
  }

  put(offer: Offer): void {
    if (offer.full !== undefined && this.isFull) return offer.full();
    const put = new PendingPut(offer, this);
    this.#puts.set(offer, put);
    this.#unsent.add(put);
    this.#stats.puts++;
    this.#stats.outstanding++;
    this.#processRef.ref();
    if (this.#destination === undefined) this.#waiting.add(put);
    else this.#sendAll(this.#destination);
  }

  /** Withdraws a put. Reports whether its message was never sent, and will not be. */
  withdraw(offer: Offer): boolean {
    const put = this.#puts.get(offer);
    if (put === undefined || !this.#unsent.has(put)) return false;
    const { mayHaveArrived } = put;
    this.remove(put);
    return !mayHaveArrived;
  }

  /** Sends all, in order, on a new connection. */
  open(destination: Destination): void {
    this.#destination = destination;
    this.#waiting.takeAll();
    for (const put of [...this.#puts.values()]) {
      if (put.offer.settled) this.remove(put); // its put was rejected with an unknown outcome
    }
    this.#sendAll(destination);
  }

  /** Notes that the connection is lost. */
  close(): void {
    if (this.#destination === undefined) return;
    this.#destination = undefined;
    this.#inFlight = 0;
    this.#room = undefined;
    this.#unsent.clear();
    for (const put of [...this.#puts.values()]) {
      const isOver = put.lose(this.#retryTimeout);
      this.#unsent.add(put);
      this.#waiting.add(put);
      if (isOver) put.reject(this.#owner.outageError(true, put.offer.message.id));
    }
  }

  mayPut(): void {
    if (this.#destination !== undefined) this.#sendAll(this.#destination);
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
      put.reject(make(put.wasSent, put.offer.message.id));
    }
  }

  get #isFlushed(): boolean {
    return this.#unsent.size === 0 || this.isFull;
  }

  #sendAll(destination: Destination): void {
    for (const put of this.#unsent) {
      if (this.isFull || this.#inFlight >= this.#window || destination.hasClaimsHere()) break;
      if (!this.#send(put, destination)) break;
    }
    this.#updateFlushed();
  }

  /** Reports whether the put was sent, or refused for its size. */
  #send(put: PendingPut, { session, link }: Destination): boolean {
    const { message: { body }, full } = put.offer;
    const fields = messageFields(put.copyFor(session), put.first, full !== undefined);
    const size = fields.length + body.length;
    const error = this.#owner.sizeError(size, session);
    if (error !== undefined) {
      put.reject(error);
      return true;
    }
    if (!session.budget.take(size, this)) return false;
    this.#unsent.delete(put);
    this.#inFlight++;
    const number = put.sent(session, size);
    session.send(`PUT ${link} ${number} ${fields}`, body);
    return true;
  }

  /** Returns the error of a `NO`. */
  refusal(frame: Frame): ChannelError {
    return this.#owner.refusal(frame);
  }

  /** The home has answered a put that was sent in a session. */
  answered(put: PendingPut, word: string, refusal: ChannelError | undefined): void {
    this.#inFlight--;
    if (word === "FULL") this.#onFull(put);
    else if (!this.remove(put)) {
      // Its put was given up meanwhile.
    } else if (refusal === undefined) {
      this.#window *= 2;
      this.#stats.confirms++;
      put.offer.taken();
    } else {
      put.offer.reject(refusal);
    }
    this.mayPut();
    if (!this.isFull) this.#owner.foundRoom();
  }

  #onFull(put: PendingPut): void {
    const { offer } = put;
    if (offer.settled) return void this.remove(put);
    if (offer.full !== undefined) return this.#refuse(put);
    // The earlier puts were answered before, so this one precedes all that are unsent but those refused just now.
    this.#returnToUnsent(put);
    this.#window = 1;
    this.#awaitRoom();
  }

  /** Ends a put that does not wait for room. An earlier home may have taken it all the same. */
  #refuse(put: PendingPut): void {
    const { offer } = put;
    if (put.mayHaveArrived) put.reject(this.#owner.outageError(true, offer.message.id));
    else if (this.remove(put)) offer.full!();
  }

  /** A refused put is sent again in its place. */
  #returnToUnsent(put: PendingPut): void {
    this.#unsent.add(put);
    if (this.#unsent.size === 1) return;
    const all = [...this.#puts.values()].filter((each) => this.#unsent.has(each));
    this.#unsent.clear();
    for (const each of all) this.#unsent.add(each);
  }

  #awaitRoom(): void {
    for (const each of [...this.#unsent]) if (each.offer.full !== undefined) this.#refuse(each);
    if (this.#room !== undefined || this.#unsent.size === 0) return;
    const { session, link } = this.#destination!;
    const number = session.newRequest({
      answer: () => {
        session.endRequest(number);
        this.#room = undefined;
        this.mayPut();
      },
    });
    this.#room = number;
    session.send(`ROOM ${link} ${number}`);
  }

  /** Removes a put, and reports whether it was pending. */
  remove(put: PendingPut): boolean {
    if (!this.#puts.delete(put.offer)) return false;
    this.#unsent.delete(put);
    this.#waiting.delete(put);
    this.#stats.outstanding--;
    this.#processRef.unref();
    if (this.#unsent.size === 0) this.#endRoom();
    this.#updateFlushed();
    return true;
  }

  /** Awaits room no more. */
  #endRoom(): void {
    if (this.#room === undefined) return;
    const { session } = this.#destination!;
    session.endRequest(this.#room);
    session.send(`DROP ${this.#room}`);
    this.#room = undefined;
    this.#owner.foundRoom();
  }

  #updateFlushed(): void {
    if (this.#onFlushed.length === 0 || !this.#isFlushed) return;
    for (const resolve of this.#onFlushed.splice(0)) resolve();
  }
}

/** A put that the home has not taken. */
class PendingPut implements Answerer {
  readonly offer: Offer;
  readonly #outbox: HomeOutbox;
  #session: HomeSession | undefined;
  #number = 0;
  #size = 0;
  #losses: RepeatedLosses | undefined;
  /** How often it was sent to a home that has forgotten that. */
  #copies = 0;
  /** The number of the request in which it was sent first, if it may have arrived. */
  first: number | undefined;

  constructor(offer: Offer, outbox: HomeOutbox) {
    this.offer = offer;
    this.#outbox = outbox;
  }

  /** Whether it was sent on a lost connection, so that it may have arrived. */
  get mayHaveArrived(): boolean {
    return this.#copies > 0 || this.first !== undefined && this.#session === undefined;
  }

  /** Whether it may have arrived. */
  get wasSent(): boolean {
    return this.#copies > 0 || this.first !== undefined;
  }

  /** Returns the message as it is sent on a session: with the number of the copy, if it may have been put before. */
  copyFor(session: HomeSession): Message {
    const { message } = this.offer;
    const copies = (message.copy ?? 0) + this.#copies + (this.#isForgottenBy(session) ? 1 : 0);
    return copies === 0 ? message : { ...message, copy: copies };
  }

  /** Whether it may have arrived, and the home does not know that: it has restarted, or has forgotten the earlier connection. */
  #isForgottenBy(session: HomeSession): boolean {
    return this.first !== undefined && !session.welcome.resumed;
  }

  /** Notes that it is sent, and returns the number of the request. */
  sent(session: HomeSession, size: number): number {
    if (this.#isForgottenBy(session)) this.#copies++;
    this.#session = session;
    this.#size = size;
    this.#number = session.newRequest(this);
    this.first ??= this.#number;
    return this.#number;
  }

  /** The connection is lost. Reports whether many were lost while the put was in flight, so that it is not repeated. */
  lose(retryTimeout: number): boolean {
    if (this.#session === undefined) return false;
    this.#session = undefined;
    this.#losses ??= new RepeatedLosses();
    return this.#losses.add(retryTimeout);
  }

  answer(frame: Frame): void {
    const session = this.#session!;
    let refusal = frame.word === "NO" ? this.#outbox.refusal(frame) : undefined;
    if (refusal !== undefined) {
      const isUnknown = this.#copies > 0 || booleanField(frame.fields, "unknown") === true;
      refusal = putError(refusal, isUnknown, this.offer.message.id);
    }
    this.#session = undefined;
    session.endRequest(this.#number);
    session.budget.give(this.#size);
    if (frame.word === "FULL") this.first = undefined; // it was not put
    this.#outbox.answered(this, frame.word, refusal);
  }

  reject(error: ChannelError): void {
    if (this.#outbox.remove(this)) this.offer.reject(error);
  }
}
