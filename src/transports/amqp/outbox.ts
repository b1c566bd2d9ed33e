import { setTimeout } from "node:timers";
import type { ChannelError } from "../../errors.ts";
import { varied } from "../../pauses.ts";
import type { Offer, Stats } from "../../transport.ts";
import type { Route } from "./frames.ts";
import { Letter, type Sender } from "./letter.ts";
import type { Lifeline } from "./lifeline.ts";
import { Patience } from "./patience.ts";
import type { Publisher } from "./publisher.ts";

/** What the outbox does not decide by itself. */
export interface OutboxOwner {
  /** The error for a put that has waited too long for a connection. */
  outage(wasSent: boolean, id: string | undefined): ChannelError;
  /** The broker returned a message: resolves with the put's error, or with nothing where it is resent. */
  returned(resend: () => void): Promise<ChannelError | undefined>;
  /** The error for a message that the broker does not take. */
  refusal(error: Error): ChannelError;
}

/**
 * The puts of one channel that the broker has not confirmed, over all connections.
 *
 * Invariants: in the order of the puts, and so they are sent, on each connection anew; what was sent on
 * an earlier one may arrive twice, and says so. While there is no connection, each loses patience in
 * time. The process is held alive for each.
 */
export class Outbox implements Sender {
  readonly #route: Route;
  readonly #stats: Stats;
  readonly #lifeline: Lifeline;
  readonly #retryTimeout: number;
  readonly #owner: OutboxOwner;
  readonly #letters = new Map<Offer, Letter>();
  readonly #waiting: Patience<Letter>;
  #publisher: Publisher | undefined;
  /** How many letters were put again. */
  #again = 0;
  readonly #onAllPutAgain: (() => void)[] = [];

  constructor(
    route: Route,
    stats: Stats,
    lifeline: Lifeline,
    retryTimeout: number,
    owner: OutboxOwner,
  ) {
    this.#route = route;
    this.#stats = stats;
    this.#lifeline = lifeline;
    this.#retryTimeout = retryTimeout;
    this.#owner = owner;
    this.#waiting = new Patience(retryTimeout, lifeline, (letter) => {
      this.#reject(letter, owner.outage(letter.wasSent, letter.message.id));
    });
  }

  get size(): number {
    return this.#letters.size;
  }

  /** Whether there is a connection. */
  get isOpen(): boolean {
    return this.#publisher !== undefined;
  }

  put(offer: Offer): void {
    this.#stats.puts++;
    this.#add(new Letter(this, this.#route, offer, false));
  }

  /** Puts a message that was lent by this channel, and counts as no put. */
  putAgain(offer: Offer): void {
    this.#again++;
    this.#add(new Letter(this, this.#route, offer, true));
  }

  #add(letter: Letter): void {
    this.#letters.set(letter.offer, letter);
    this.#stats.outstanding++;
    this.#lifeline.hold();
    if (this.#publisher === undefined) this.#waiting.add(letter);
    else this.#send(letter, this.#publisher);
  }

  /** Whether the message was never sent, and will not be. */
  withdraw(offer: Offer): boolean {
    const letter = this.#letters.get(offer);
    if (letter === undefined || letter.wasSent) return false;
    this.#publisher?.withdraw(letter);
    this.#waiting.delete(letter);
    this.#remove(letter);
    return true;
  }

  /** Resolves when every message that was lent by this channel, and put again, is settled. */
  allPutAgain(): Promise<void> {
    if (this.#again === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onAllPutAgain.push(resolve));
  }

  /** There is a connection: sends all, in order. */
  open(publisher: Publisher): void {
    this.#publisher = publisher;
    this.#waiting.takeAll();
    for (const letter of [...this.#letters.values()]) {
      // Its put was given up, and has told that it may have arrived.
      if (letter.offer.settled) this.#remove(letter);
      else this.#send(letter, publisher);
    }
  }

  /** The connection is lost. */
  close(): void {
    this.#publisher = undefined;
    for (const letter of this.#letters.values()) this.#waiting.add(letter);
  }

  /** An attempt to connect has failed, and the next is `pause` ms away: too late for some. */
  expire(pause: number): void {
    this.#waiting.expire(pause);
  }

  /** @param make an error for each; whether the message was sent, and its id */
  rejectAll(make: (wasSent: boolean, id: string | undefined) => ChannelError): void {
    for (const letter of [...this.#letters.values()]) {
      this.#reject(letter, make(letter.wasSent, letter.message.id));
    }
  }

  /** Rejects all puts; what is put again stays. */
  refusePuts(make: (wasSent: boolean, id: string | undefined) => ChannelError): void {
    for (const letter of [...this.#letters.values()]) {
      if (!letter.isAgain) this.#reject(letter, make(letter.wasSent, letter.message.id));
    }
  }

  confirmed(letter: Letter): void {
    if (!this.#remove(letter)) return; // it was given up meanwhile
    if (!letter.isAgain) this.#stats.confirms++;
    letter.offer.taken();
  }

  async returned(letter: Letter): Promise<void> {
    letter.publisher = undefined;
    const error = await this.#owner.returned(() => this.#resend(letter));
    if (error !== undefined) this.#reject(letter, error);
  }

  nacked(letter: Letter): void {
    letter.publisher = undefined;
    const since = letter.nackedSince ??= performance.now();
    const waited = performance.now() - since;
    if (waited > this.#retryTimeout) {
      return this.#reject(
        letter,
        this.#owner.refusal(new Error("it cannot store the message now")),
      );
    }
    if (waited > nacksEnough) this.#publisher?.renew();
    setTimeout(() => this.#resend(letter), varied(nackPause));
  }

  refused(letter: Letter, error: Error): void {
    this.#reject(letter, this.#owner.refusal(error));
  }

  #send(letter: Letter, publisher: Publisher): void {
    letter.publisher = publisher;
    publisher.publish(letter);
  }

  /** Sends a message again, unless that was done on a new connection meanwhile. */
  #resend(letter: Letter): void {
    if (!this.#letters.has(letter.offer) || this.#publisher === undefined) return;
    if (letter.publisher === this.#publisher) return;
    if (letter.offer.settled) this.#remove(letter);
    else this.#send(letter, this.#publisher);
  }

  #reject(letter: Letter, error: ChannelError): void {
    if (!this.#remove(letter)) return;
    this.#waiting.delete(letter);
    this.#publisher?.withdraw(letter);
    letter.offer.reject(error);
  }

  #remove(letter: Letter): boolean {
    if (!this.#letters.delete(letter.offer)) return false;
    this.#stats.outstanding--;
    this.#lifeline.unhold();
    if (letter.isAgain && --this.#again === 0) {
      for (const resolve of this.#onAllPutAgain.splice(0)) resolve();
    }
    return true;
  }
}

/** Milliseconds after which a message is sent again that the broker could not store. */
const nackPause = 150;
/** Milliseconds of such refusals after which another AMQP channel is tried. */
const nacksEnough = 500;
