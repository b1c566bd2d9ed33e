import { setTimeout } from "node:timers";
import type { ChannelError } from "../../../shared/errors.ts";
import { backOff } from "../../../shared/backoff.ts";
import type { Offer, Stats } from "../../transport.ts";
import type { Route } from "../connection/frames.ts";
import {
  PendingPublish,
  PublishList,
  type PublishObserver,
} from "../connection/pending_publish.ts";
import type { ProcessRef } from "../../remote/process_ref.ts";
import type { Publisher } from "../connection/publisher.ts";
import { Deadlines } from "../../remote/deadlines.ts";
import { type SendPolicy, Unbounded } from "./send_policy.ts";

/** The part of a link that knows the broker's queue and makes errors. */
export interface OutboxOwner {
  /** Returns the error for a put that has waited too long for a connection. */
  outageError(wasSent: boolean, id: string | undefined): ChannelError;
  /** Returns the error for a put during which `count` connections were lost. */
  lossError(count: number, id: string | undefined): ChannelError;
  /** Returns the error for a message that the broker does not accept. */
  refusalError(error: Error, wasSent: boolean, id: string | undefined): ChannelError;
  /** Resolves with the error for a message that no queue took if the queue is gone; otherwise with undefined. */
  checkQueue(): Promise<ChannelError | undefined>;
  /** Resolves with whether the broker refuses messages because the queue is full. */
  isFull(): Promise<boolean>;
}

/** Makes an error for a put. `wasSent` tells whether the message, whose id is `id`, may have arrived. */
type MakeError = (wasSent: boolean, id: string | undefined) => ChannelError;

/**
 * The puts of one channel that the broker has not confirmed, over all connections, and the released values that are
 * published again because their attempt counts.
 *
 * A {@linkcode SendPolicy} decides when they are sent on an open connection. While no connection is open, each waits at
 * most for `retryTimeout`.
 *
 * Invariants: publishes are sent in the order of the puts, and in the same order again on each new connection. A
 * publish that was sent on an earlier connection may arrive twice, and its message says so. Each pending publish keeps
 * the process alive.
 */
export class Outbox implements PublishObserver {
  readonly #route: Route;
  readonly #stats: Stats;
  readonly #processRef: ProcessRef;
  readonly #retryTimeout: number;
  readonly #owner: OutboxOwner;
  readonly #publishes = new Map<Offer, PendingPublish>();
  /** The same publishes in two lists: released values, which a bounded channel gets first, and puts. */
  readonly #released = new PublishList();
  readonly #puts = new PublishList();
  /** The puts that fail at once if the channel is full (`tryPut`). */
  readonly #tries = new Set<PendingPublish>();
  readonly #waiting: Deadlines<PendingPublish>;
  #policy: SendPolicy;
  /** Undefined while no connection is open. */
  #publisher: Publisher | undefined;
  /** The number of publishes that the publisher has. */
  #inFlight = 0;
  /** Makes the errors of a channel that is closed, and takes no more puts. */
  #drainError: MakeError | undefined;
  #releasedCount = 0;
  readonly #onAllRepublished: (() => void)[] = [];
  /** The broker's pending answer to whether the queue is full. */
  #isFull: Promise<boolean> | undefined;

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
    this.#waiting = new Deadlines(retryTimeout, processRef, (publish) => {
      this.#reject(publish, owner.outageError(publish.wasSent, publish.message.id));
    });
    this.#policy = new Unbounded({
      isEmpty: () => this.#publishes.size === 0,
      inFlight: () => this.#inFlight,
      send: (publish) => this.#send(publish, this.#publisher!),
      sendAll: () => this.#sendAll(this.#publisher!),
      next: () => this.#next(),
      refuseWaiting: () => this.#refuseWaiting(),
    });
  }

  get size(): number {
    return this.#publishes.size;
  }

  /** Whether the channel is known to have a capacity. */
  get isBounded(): boolean {
    return this.#policy.isBounded;
  }

  /** Notes that the channel has a capacity. */
  bound(): void {
    this.#policy = this.#policy.bound();
  }

  /** The policy, while a connection is open. */
  get #activePolicy(): SendPolicy | undefined {
    return this.#publisher === undefined ? undefined : this.#policy;
  }

  /** Notes that a message has left the queue. */
  onRoom(): void {
    this.#activePolicy?.onRoom();
  }

  put(offer: Offer): void {
    if (offer.full !== undefined && this.#policy.isFull) return offer.full();
    this.#stats.puts++;
    this.#add(new PendingPublish(this, this.#route, offer, false));
  }

  /** Publishes a message again that this channel had on loan. It does not count as a put. */
  republish(offer: Offer): void {
    this.#releasedCount++;
    this.#add(new PendingPublish(this, this.#route, offer, true));
  }

  /** Resolves when every message that was published again is settled. */
  allRepublished(): Promise<void> {
    if (this.#releasedCount === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onAllRepublished.push(resolve));
  }

  /** Reports whether the broker, as far as is known, accepts a message of `size` bytes. */
  fits(size: number): boolean {
    return this.#publisher?.fits(size) ?? true;
  }

  #add(publish: PendingPublish): void {
    this.#publishes.set(publish.offer, publish);
    this.#listOf(publish).add(publish);
    if (publish.offer.full !== undefined) this.#tries.add(publish);
    this.#stats.outstanding++;
    this.#processRef.ref();
    if (this.#publisher === undefined) this.#waiting.add(publish);
    else this.#policy.ready(publish);
  }

  #listOf({ isReleased }: PendingPublish): PublishList {
    return isReleased ? this.#released : this.#puts;
  }

  /** Returns the oldest publish that a caller still waits for. */
  #next(): PendingPublish | undefined {
    for (let next; (next = this.#released.oldest ?? this.#puts.oldest) !== undefined;) {
      if (!next.offer.settled) return next;
      this.#remove(next);
    }
    return undefined;
  }

  #sendAll(publisher: Publisher): void {
    for (const publish of [...this.#publishes.values()]) {
      if (publish.offer.settled) this.#remove(publish); // its put was rejected with an unknown outcome
      else this.#send(publish, publisher);
    }
  }

  #send(publish: PendingPublish, publisher: Publisher): void {
    publish.publisher = publisher;
    this.#inFlight++;
    publisher.publish(publish);
  }

  /** Withdraws a put. Reports whether its message was never sent, and will not be. */
  withdraw(offer: Offer): boolean {
    const publish = this.#publishes.get(offer);
    if (publish === undefined || publish.wasSent) return false;
    if (this.#publisher?.withdraw(publish)) this.#answered(publish);
    this.#waiting.delete(publish);
    this.#remove(publish);
    this.#activePolicy?.removed();
    return true;
  }

  /** Sends all, in order, on a new connection. */
  open(publisher: Publisher): void {
    this.#publisher = publisher;
    this.#waiting.takeAll();
    const now = performance.now();
    for (const publish of [...this.#publishes.values()]) {
      const { losses, lostSince, message } = publish;
      if (losses < maxLosses || now - lostSince < this.#retryTimeout) continue;
      this.#reject(publish, this.#owner.lossError(losses, message.id));
    }
    this.#policy.open();
  }

  /** Notes that the connection is lost. */
  close(): void {
    this.#publisher = undefined;
    this.#inFlight = 0;
    this.#policy.reset();
    for (const publish of this.#publishes.values()) {
      publish.mayHaveArrived ||= publish.wasSent;
      this.#waiting.add(publish);
    }
  }

  /** Rejects the publishes whose time is over before the next attempt to connect, in `pause` ms. */
  expire(pause: number): void {
    this.#waiting.expire(pause);
  }

  rejectAll(makeError: MakeError): void {
    for (const publish of [...this.#publishes.values()]) {
      this.#reject(publish, makeError(publish.wasSent, publish.message.id));
    }
  }

  /** Closes the outbox to puts. Rejects the puts that wait for a connection now, and for room now or later. */
  drain(makeError: MakeError): void {
    this.#drainError = makeError;
    this.#policy = this.#policy.drain();
    if (this.#publisher === undefined) this.#refuseWaiting();
  }

  #refuseWaiting(): void {
    for (const publish of [...this.#publishes.values()]) {
      const isInFlight = this.#publisher !== undefined && publish.publisher === this.#publisher;
      if (publish.isReleased || isInFlight) continue;
      this.#reject(publish, this.#drainError!(publish.wasSent, publish.message.id));
    }
  }

  confirmed(publish: PendingPublish): void {
    this.#answered(publish);
    const isPending = this.#remove(publish);
    this.#activePolicy?.confirmed();
    if (!isPending) return; // its put was rejected meanwhile
    if (!publish.isReleased) this.#stats.confirms++;
    publish.offer.taken();
  }

  async returned(publish: PendingPublish): Promise<void> {
    this.#answered(publish);
    publish.wasSent = publish.mayHaveArrived;
    const error = await this.#owner.checkQueue();
    if (error !== undefined) this.#reject(publish, error);
    else this.#onFailure(publish, backOff(publish.failures, minPause, maxPause));
  }

  async nacked(publish: PendingPublish): Promise<void> {
    this.#answered(publish);
    publish.wasSent = publish.mayHaveArrived;
    // At first without a pause: the queue may have been full, and not be full when the broker answers.
    const { failures } = publish;
    const pause = failures === 0 ? 0 : backOff(failures - 1, minPause, maxPause);
    const publisher = this.#publisher;
    this.#isFull ??= this.#owner.isFull().finally(() => this.#isFull = undefined);
    const isFull = await this.#isFull;
    if (this.#publisher !== publisher || !this.#publishes.has(publish.offer)) return;
    if (isFull) this.#onFull(publish);
    else this.#onFailure(publish, pause);
  }

  refused(publish: PendingPublish, error: Error): void {
    this.#answered(publish);
    publish.wasSent = publish.mayHaveArrived;
    this.#refuse(publish, error);
    this.#activePolicy?.removed();
  }

  /** Notes that the publisher has the publish no more. */
  #answered(publish: PendingPublish): void {
    if (publish.publisher === this.#publisher) this.#inFlight--;
    publish.publisher = undefined;
  }

  #onFull(publish: PendingPublish): void {
    this.bound();
    publish.failingSince = undefined;
    publish.failures = 0;
    const refused: Offer[] = [];
    for (const each of [...this.#tries]) {
      const { offer, publisher, mayHaveArrived } = each;
      if (publisher !== undefined) continue; // in flight: the broker answers it
      if (mayHaveArrived) {
        this.#reject(each, this.#owner.outageError(true, each.message.id));
      } else if (this.#remove(each)) refused.push(offer);
    }
    // All are removed before the first is told, because it may withdraw others, and then the next one would be sent.
    for (const offer of refused) offer.full!();
    this.#policy.onFull();
  }

  /** Handles a message that the broker could not store, although the queue is not full. */
  #onFailure(publish: PendingPublish, pause: number): void {
    if (!this.#publishes.has(publish.offer)) return; // its put was rejected meanwhile
    publish.failures++;
    const since = publish.failingSince ??= performance.now();
    const waited = performance.now() - since;
    if (waited > this.#retryTimeout) {
      return this.#refuse(publish, new Error("it cannot store the message now"));
    }
    if (waited > channelTimeout) this.#publisher?.replaceChannel();
    setTimeout(() => this.#resend(publish), pause);
  }

  /** Sends a publish again, unless a new connection has done so. */
  #resend(publish: PendingPublish): void {
    if (!this.#publishes.has(publish.offer) || this.#publisher === undefined) return;
    if (publish.publisher === this.#publisher) return;
    if (publish.offer.settled) {
      this.#remove(publish);
      this.#policy.removed();
    } else this.#policy.ready(publish);
  }

  /** Rejects a publish that has not arrived on this connection. */
  #refuse(publish: PendingPublish, error: Error): void {
    const { wasSent, message } = publish;
    this.#reject(publish, this.#owner.refusalError(error, wasSent, message.id));
  }

  #reject(publish: PendingPublish, error: ChannelError): void {
    if (!this.#remove(publish)) return;
    this.#waiting.delete(publish);
    if (this.#publisher?.withdraw(publish)) this.#answered(publish);
    publish.offer.reject(error);
  }

  #remove(publish: PendingPublish): boolean {
    if (!this.#publishes.delete(publish.offer)) return false;
    this.#listOf(publish).remove(publish);
    this.#tries.delete(publish);
    this.#stats.outstanding--;
    this.#processRef.unref();
    if (publish.isReleased && --this.#releasedCount === 0) {
      for (const resolve of this.#onAllRepublished.splice(0)) resolve();
    }
    return true;
  }
}

/** The number of connections lost during one put, and for `retryTimeout`, after which the put is rejected. */
const maxLosses = 8;

/** Milliseconds before a message that the broker could not store is sent again. */
const minPause = 150;
const maxPause = 1000;
/** Milliseconds of such failures after which another AMQP channel is tried. */
const channelTimeout = 500;
