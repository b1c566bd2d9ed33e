import { clearTimeout, setTimeout } from "node:timers";
import type { ChannelError } from "../../../shared/errors.ts";
import { backOff } from "../../../shared/backoff.ts";
import type { Offer, Stats } from "../../transport.ts";
import type { Route } from "../connection/frames.ts";
import { PendingPublish, Pile, type Sender } from "../connection/pending_publish.ts";
import type { ProcessRef } from "../connection/process_ref.ts";
import { Deadlines } from "./deadlines.ts";
import type { Publisher } from "../connection/publisher.ts";

/** What the outbox does not decide by itself. */
export interface OutboxOwner {
  /** The error for a put that has waited too long for a connection. */
  outage(wasSent: boolean, id: string | undefined): ChannelError;
  /** The error for a put during which so many connections were lost. */
  lost(count: number, id: string | undefined): ChannelError;
  /** No queue took a message: resolves with the put's error where there is none, else with nothing. */
  returned(): Promise<ChannelError | undefined>;
  /** The error for a message that the broker does not take. */
  refusal(error: Error): ChannelError;
  /** Whether the broker refuses messages because the queue is full. */
  isFull(): Promise<boolean>;
}

/** Makes an error for a put: whether the message was sent, and may have arrived, and its id. */
type Make = (wasSent: boolean, id: string | undefined) => ChannelError;

/**
 * The puts of one channel that the broker has not confirmed, over all connections.
 *
 * Invariants: in the order of the puts, and so they are sent, on each connection anew; what was sent on
 * an earlier one may arrive twice, and says so. While there is no connection, each loses patience in
 * time. The process is held alive for each.
 *
 * To a channel with a capacity they are sent one by one, for RabbitMQ may refuse (basic.nack) one and take the next.
 * What it refuses because the queue is full is tried again, after pauses that grow to a quarter of a second, and at
 * once where this process takes a message of that queue.
 */
export class Outbox implements Sender {
  readonly #route: Route;
  readonly #stats: Stats;
  readonly #processRef: ProcessRef;
  readonly #retryTimeout: number;
  readonly #owner: OutboxOwner;
  readonly #letters = new Map<Offer, PendingPublish>();
  /** The same: those that are put again, which go first where the channel has a capacity, and all others. */
  readonly #putAgain = new Pile();
  readonly #put = new Pile();
  /** Those that are told that the channel is full, and do not wait. */
  readonly #impatient = new Set<PendingPublish>();
  readonly #waiting: Deadlines<PendingPublish>;
  #publisher: Publisher | undefined;
  #isBounded = false;
  /** How many letters a publisher has. */
  #flying = 0;
  /** How often in a row the queue was full. */
  #fullness = 0;
  /** Runs while a full queue is left alone. */
  #room: ReturnType<typeof setTimeout> | undefined;
  /** Set where no more is put. */
  #refuse: Make | undefined;
  /** How many letters were put again. */
  #again = 0;
  readonly #onAllPutAgain: (() => void)[] = [];

  constructor(
    route: Route,
    stats: Stats,
    processRef: ProcessRef,
    retryTimeout: number,
    owner: OutboxOwner,
  ) {
    this.#route = route;
    this.#stats = stats;
    this.#processRef = processRef;
    this.#retryTimeout = retryTimeout;
    this.#owner = owner;
    this.#waiting = new Deadlines(retryTimeout, processRef, (letter) => {
      this.#reject(letter, owner.outage(letter.wasSent, letter.message.id));
    });
  }

  get size(): number {
    return this.#letters.size;
  }

  /** Whether the channel has a capacity, as far as is known. */
  get isBounded(): boolean {
    return this.#isBounded;
  }

  set isBounded(isBounded: boolean) {
    this.#isBounded = isBounded;
  }

  get #isFull(): boolean {
    return this.#fullness > 0;
  }

  /** A message has left the queue. */
  onRoom(): void {
    if (this.#room === undefined) return;
    this.#fullness = 1;
    this.#next();
  }

  put(offer: Offer): void {
    if (offer.full !== undefined && this.#isFull) return offer.full();
    this.#stats.puts++;
    this.#add(new PendingPublish(this, this.#route, offer, false));
  }

  /** Whether the broker takes so many bytes in a message, as far as is known. */
  fits(size: number): boolean {
    return this.#publisher?.fits(size) ?? true;
  }

  /** Puts a message that was lent by this channel, and counts as no put. */
  republish(offer: Offer): void {
    this.#again++;
    this.#add(new PendingPublish(this, this.#route, offer, true));
  }

  #add(letter: PendingPublish): void {
    this.#letters.set(letter.offer, letter);
    this.#pileOf(letter).add(letter);
    if (letter.offer.full !== undefined) this.#impatient.add(letter);
    this.#stats.outstanding++;
    this.#processRef.ref();
    if (this.#publisher === undefined) this.#waiting.add(letter);
    else if (!this.#isBounded) this.#send(letter, this.#publisher);
    else if (this.#room === undefined) this.#next();
  }

  /** Sends the next letter to a channel with a capacity. */
  #next(): void {
    clearTimeout(this.#room);
    this.#room = undefined;
    if (this.#publisher === undefined || this.#flying > 0) return;
    // What is put again has its place already, and whoever released it waits.
    for (let next; (next = this.#putAgain.oldest ?? this.#put.oldest) !== undefined;) {
      if (!next.offer.settled) return this.#send(next, this.#publisher);
      this.#remove(next);
    }
    this.#fullness = 0;
  }

  #pileOf({ isAgain }: PendingPublish): Pile {
    return isAgain ? this.#putAgain : this.#put;
  }

  /** Whether the message was never sent, and will not be. */
  withdraw(offer: Offer): boolean {
    const letter = this.#letters.get(offer);
    if (letter === undefined || letter.wasSent) return false;
    if (this.#publisher?.withdraw(letter)) this.#landed(letter);
    this.#waiting.delete(letter);
    this.#remove(letter);
    if (this.#letters.size === 0) {
      clearTimeout(this.#room);
      this.#room = undefined;
      this.#fullness = 0;
    } else if (this.#isBounded && this.#room === undefined) this.#next();
    return true;
  }

  /** Resolves when every message that was lent by this channel, and put again, is settled. */
  allRepublished(): Promise<void> {
    if (this.#again === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onAllPutAgain.push(resolve));
  }

  /** There is a connection: sends all, in order. */
  open(publisher: Publisher): void {
    this.#publisher = publisher;
    this.#waiting.takeAll();
    const now = performance.now();
    for (const letter of [...this.#letters.values()]) {
      if (letter.losses < mostLosses || now - letter.lostSince < this.#retryTimeout) continue;
      this.#reject(letter, this.#owner.lost(letter.losses, letter.message.id));
    }
    if (this.#isBounded) return this.#next();
    for (const letter of [...this.#letters.values()]) {
      // Its put was given up, and has told that it may have arrived.
      if (letter.offer.settled) this.#remove(letter);
      else this.#send(letter, publisher);
    }
  }

  /** The connection is lost. */
  close(): void {
    this.#publisher = undefined;
    this.#flying = this.#fullness = 0;
    clearTimeout(this.#room);
    this.#room = undefined;
    for (const letter of this.#letters.values()) {
      letter.isDoubtful ||= letter.wasSent;
      this.#waiting.add(letter);
    }
  }

  /** An attempt to connect has failed, and the next is `pause` ms away: too late for some. */
  expire(pause: number): void {
    this.#waiting.expire(pause);
  }

  /** @param make an error for each; whether the message was sent, and its id */
  rejectAll(make: Make): void {
    for (const letter of [...this.#letters.values()]) {
      this.#reject(letter, make(letter.wasSent, letter.message.id));
    }
  }

  /**
   * No more is put: rejects what waits for room, or for a connection; what is put again stays.
   *
   * @param make as for `rejectAll`
   */
  drain(make: Make): void {
    this.#refuse = make;
    if (this.#publisher === undefined || this.#isFull) this.#refuseWaiting(make);
  }

  #refuseWaiting(make: Make): void {
    for (const letter of [...this.#letters.values()]) {
      const isFlying = this.#publisher !== undefined && letter.publisher === this.#publisher;
      if (letter.isAgain || isFlying) continue;
      this.#reject(letter, make(letter.wasSent, letter.message.id));
    }
  }

  confirmed(letter: PendingPublish): void {
    this.#landed(letter);
    this.#fullness = 0;
    if (this.#remove(letter)) { // else it was given up meanwhile
      if (!letter.isAgain) this.#stats.confirms++;
      letter.offer.taken();
    }
    if (this.#isBounded) this.#next();
  }

  /** The broker has answered. */
  #landed(letter: PendingPublish): void {
    letter.publisher = undefined;
    this.#flying--;
  }

  async returned(letter: PendingPublish): Promise<void> {
    this.#landed(letter);
    letter.wasSent = letter.isDoubtful;
    const error = await this.#owner.returned();
    if (error !== undefined) this.#reject(letter, error);
    else this.#onRefused(letter, backOff(letter.refusals, shortestPause, longestPause));
  }

  async nacked(letter: PendingPublish): Promise<void> {
    this.#landed(letter);
    letter.wasSent = letter.isDoubtful;
    // It may have been full when it was asked, and no more.
    const pause = letter.refusals === 0
      ? 0
      : backOff(letter.refusals - 1, shortestPause, longestPause);
    const publisher = this.#publisher;
    const isFull =
      await (this.#asking ??= this.#owner.isFull().finally(() => this.#asking = undefined));
    if (this.#publisher !== publisher || !this.#letters.has(letter.offer)) return;
    if (isFull) this.#onFull(letter);
    else this.#onRefused(letter, pause);
  }

  /** The answer to whether the queue is full, where that was asked. */
  #asking: Promise<boolean> | undefined;

  #onFull(letter: PendingPublish): void {
    this.#isBounded = true;
    letter.refusedSince = undefined;
    letter.refusals = 0;
    for (const each of [...this.#impatient]) {
      const { offer, publisher, isDoubtful } = each;
      if (publisher !== undefined) continue; // it is on its way, and answered by the broker
      if (isDoubtful) { // it may have arrived before, and must not wait
        this.#reject(each, this.#owner.outage(true, each.message.id));
      } else {
        this.#remove(each);
        offer.full!();
      }
    }
    if (this.#refuse !== undefined) this.#refuseWaiting(this.#refuse);
    if (this.#room !== undefined || this.#letters.size === 0) return;
    this.#room = setTimeout(() => this.#next(), backOff(this.#fullness++, 4, 250));
  }

  /** The broker cannot store the message: not because the queue is full. */
  #onRefused(letter: PendingPublish, pause: number): void {
    if (!this.#letters.has(letter.offer)) return; // it was given up meanwhile
    letter.refusals++;
    const since = letter.refusedSince ??= performance.now();
    const waited = performance.now() - since;
    if (waited > this.#retryTimeout) {
      return this.#reject(
        letter,
        this.#owner.refusal(new Error("it cannot store the message now")),
      );
    }
    if (waited > nacksEnough) this.#publisher?.renew();
    setTimeout(() => this.#resend(letter), pause);
  }

  refused(letter: PendingPublish, error: Error): void {
    this.#landed(letter);
    this.#reject(letter, this.#owner.refusal(error));
    if (this.#isBounded && this.#room === undefined) this.#next();
  }

  #send(letter: PendingPublish, publisher: Publisher): void {
    letter.publisher = publisher;
    this.#flying++;
    publisher.publish(letter);
  }

  /** Sends a message again, unless that was done on a new connection meanwhile. */
  #resend(letter: PendingPublish): void {
    if (!this.#letters.has(letter.offer) || this.#publisher === undefined) return;
    if (letter.publisher === this.#publisher) return;
    if (this.#isBounded) return this.#room === undefined ? this.#next() : undefined;
    if (letter.offer.settled) this.#remove(letter);
    else this.#send(letter, this.#publisher);
  }

  #reject(letter: PendingPublish, error: ChannelError): void {
    if (!this.#remove(letter)) return;
    this.#waiting.delete(letter);
    if (this.#publisher?.withdraw(letter)) this.#landed(letter);
    letter.offer.reject(error);
  }

  #remove(letter: PendingPublish): boolean {
    if (!this.#letters.delete(letter.offer)) return false;
    this.#pileOf(letter).remove(letter);
    this.#impatient.delete(letter);
    this.#stats.outstanding--;
    this.#processRef.unref();
    if (letter.isAgain && --this.#again === 0) {
      for (const resolve of this.#onAllPutAgain.splice(0)) resolve();
    }
    return true;
  }
}

/** So many connections are lost for one put, and for `retryTimeout`, before it is given up. */
const mostLosses = 8;

/** Milliseconds after which a message is sent again that the broker could not store. */
const shortestPause = 150;
const longestPause = 1000;
/** Milliseconds of such refusals after which another AMQP channel is tried. */
const nacksEnough = 500;
