import {
  deletedError,
  drainedError,
  missingError,
  undelayableError,
} from "../../shared/closed_errors.ts";
import { Fifo } from "../../shared/fifo.ts";
import { Schedule } from "../../shared/schedule.ts";
import { now, setOptionalTimeout, unref } from "../../shared/timers.ts";
import type {
  ChannelStats,
  Claim,
  EmptyWaiter,
  Link,
  LinkObserver,
  LinkOptions,
  Message,
  Offer,
  RoomWaiter,
  Stats,
} from "../transport.ts";
import { type LoanOwner, MemoryLoan, withOwnBytes } from "./loan.ts";
import { MemoryQueue } from "./queue.ts";
import { recentMessages } from "./recent_messages.ts";

/**
 * A channel in memory.
 *
 * Invariants:
 * - Messages and claims never wait at the same time, nor do offers and claims.
 * - Offers wait only while there is no room.
 * - A delayed message does not wait yet. It counts toward the capacity, and so does a message on loan.
 * - The schedule has a task for each delayed message, and for each waiting message that expires.
 *
 * An operation takes O(log n) steps of the messages that are delayed, expire, were released or have a priority.
 */
export class MemoryChannel implements LoanOwner {
  readonly name: string;
  readonly #claims: Fifo<Claim> = new Fifo();
  readonly #offers: Fifo<Offer> = new Fifo();
  readonly #roomWaiters: Fifo<RoomWaiter> = new Fifo();
  readonly #emptyWaiters: Fifo<EmptyWaiter> = new Fifo();
  readonly #messages: MemoryQueue<MemoryLoan> = new MemoryQueue();
  readonly #links = new Map<Link, LinkObserver>();
  readonly #lease: number | undefined;
  readonly #capacity: number;
  readonly #stats: Stats;
  readonly #forget: () => void;
  #leaseTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #schedule: Schedule = new Schedule(() =>
    this.#claims.size + this.#offers.size + this.#roomWaiters.size + this.#emptyWaiters.size > 0
  );
  /** The number of messages on loan. */
  #lent = 0;
  /** The number of messages whose delay is not over. */
  #delayed = 0;
  #isDrained = false;
  #isDeleted = false;
  #puts = 0;

  /** @param forget removes the channel from its transport, when it is deleted or its lease ends */
  constructor(
    name: string,
    { lease, capacity = Infinity }: LinkOptions,
    stats: Stats,
    forget: () => void,
  ) {
    this.name = name;
    this.#stats = stats;
    this.#lease = lease;
    this.#capacity = capacity;
    this.#forget = forget;
  }

  get isDeleted(): boolean {
    return this.#isDeleted;
  }

  get depth(): number {
    this.#schedule.runDue();
    return this.#messages.size;
  }

  get stats(): ChannelStats {
    return {
      depth: this.depth,
      loans: this.#lent,
      consumers: this.#claims.size,
      delayed: this.#delayed,
      ...this.#capacity < Infinity && { capacity: this.#capacity },
      closed: this.#isDrained,
    };
  }

  /** The number of waiting claims. */
  get claims(): number {
    return this.#claims.size;
  }

  attach(link: Link, observer: LinkObserver): void {
    this.#links.set(link, observer);
    clearTimeout(this.#leaseTimer);
  }

  detach(link: Link): void {
    this.#links.delete(link);
    if (this.#links.size > 0 || this.#lease === undefined || this.#isDeleted) return;
    this.#leaseTimer = setOptionalTimeout(() => this.#end(), this.#lease);
    if (this.#leaseTimer !== undefined) unref(this.#leaseTimer);
  }

  announce(event: Uint8Array, sender: Link): void {
    for (const [link, observer] of [...this.#links]) {
      if (link !== sender) observer.announced(event);
    }
  }

  offer(offer: Offer): void {
    if (this.#isDeleted) return offer.reject(missingError(this.name));
    if (this.#isDrained) return offer.reject(drainedError(this.name));
    if (this.#capacity === 0 && offer.message.delay !== undefined) {
      return offer.reject(undelayableError(this.name));
    }
    this.#stats.puts++;
    if (this.#capacity < Infinity) this.#schedule.runDue();
    if (this.#offers.size === 0 && this.#hasRoom) return this.#put(offer);
    if (offer.full !== undefined) return offer.full();
    this.#stats.outstanding++;
    this.#offers.push(offer);
    this.#schedule.update();
  }

  get #hasRoom(): boolean {
    if (this.#capacity === Infinity) return true;
    if (this.#capacity === 0) return this.#claims.size > 0;
    return this.#messages.size + this.#lent + this.#delayed < this.#capacity;
  }

  awaitRoom(waiter: RoomWaiter): void {
    if (this.#mayOffer(waiter)) return waiter.tryAgain();
    this.#roomWaiters.push(waiter);
    this.#schedule.update();
  }

  /** Reports whether an offer of this group would be taken, or rejected, now. */
  #mayOffer({ group }: { readonly group?: object }): boolean {
    if (this.#isDrained || this.#isDeleted) return true;
    if (this.#offers.size > 0) return false;
    if (this.#capacity > 0 || group === undefined) return this.#hasRoom;
    return this.#claims.all.some((claim) => claim.group !== group);
  }

  /** Calls the room waiters, while there is room. */
  #notifyRoomWaiters(): void {
    if (this.#capacity === 0 && !this.#isDrained) return this.#notifyRendezvousWaiters();
    while (this.#roomWaiters.size > 0 && this.#mayOffer({})) this.#roomWaiters.shift()!.tryAgain();
  }

  /** Calls the room waiters of a rendezvous, each of which needs a claim of another group. */
  #notifyRendezvousWaiters(): void {
    for (const waiter of this.#roomWaiters.all) {
      if (this.#claims.size === 0) return;
      if (this.#mayOffer(waiter) && this.#roomWaiters.remove(waiter)) waiter.tryAgain();
    }
  }

  #put(offer: Offer): void {
    const { message } = offer;
    this.#stats.confirms++;
    if (message.delay === undefined) this.#add(message, endOf(message));
    else {
      const end = endOf(message);
      this.#delayed++;
      const kept = withOwnBytes(message);
      this.#schedule.add(now() + message.delay, () => {
        this.#delayed--;
        this.#add(kept, end);
      });
    }
    offer.taken();
  }

  #add(message: Message, end: number): void {
    if (end < Infinity && end <= now()) return this.#messageLeft(); // it expired while the process was busy
    const loan = this.#loanOf(message, end);
    if (!this.#serve(loan)) this.#enqueue(loan);
  }

  /** Lends a message to the oldest claim, and reports whether there is a claim. */
  #serve(loan: MemoryLoan): boolean {
    const claim = this.#claims.shift();
    if (claim === undefined) return false;
    this.#schedule.update();
    this.#lend(loan);
    claim.deliver(loan);
    return true;
  }

  #enqueue(loan: MemoryLoan): void {
    this.#messages.push(loan);
    recentMessages.add(loan);
    if (loan.end === Infinity) return;
    loan.expiry = this.#schedule.add(loan.end, () => {
      if (!this.#messages.remove(loan)) return;
      recentMessages.remove(loan);
      this.#messageLeft();
      this.#notifyEmptyWaiters();
    });
  }

  #loanOf(message: Message, end: number): MemoryLoan {
    return new MemoryLoan(this, message, this.#puts++, (message.attempts ?? 0) + 1, false, end);
  }

  claim(claim: Claim): void {
    if (this.#isDeleted) return claim.reject(missingError(this.name));
    const loan = this.take();
    if (loan !== undefined) return claim.deliver(loan);
    if (this.isOver) return claim.reject(drainedError(this.name));
    this.#claims.push(claim);
    this.#schedule.update();
    claim.waits?.();
    if (this.#capacity === 0) this.#notifyRoomWaiters();
  }

  take(): MemoryLoan | undefined {
    this.#schedule.runDue();
    const loan = this.#dequeue() ?? (this.#capacity === 0 ? this.#takeOffered() : undefined);
    if (loan !== undefined) this.#lend(loan);
    return loan;
  }

  #lend({ redelivered }: MemoryLoan): void {
    if (redelivered) this.#stats.redeliveries++;
    this.#lent++;
    this.#stats.loans++;
  }

  #dequeue(): MemoryLoan | undefined {
    const loan = this.#messages.shift();
    if (loan !== undefined) {
      recentMessages.remove(loan);
      if (loan.expiry !== undefined) this.#schedule.remove(loan.expiry);
    }
    this.#notifyEmptyWaiters();
    return loan;
  }

  /** Takes the message of the oldest offer, in a rendezvous. */
  #takeOffered(): MemoryLoan | undefined {
    const offer = this.#shiftOffer();
    if (offer === undefined) return undefined;
    this.#stats.confirms++;
    const loan = this.#loanOf(offer.message, endOf(offer.message));
    offer.taken();
    return loan;
  }

  #shiftOffer(): Offer | undefined {
    const offer = this.#offers.shift();
    if (offer !== undefined) this.#stats.outstanding--;
    return offer;
  }

  awaitEmpty(waiter: EmptyWaiter): void {
    this.#emptyWaiters.push(waiter);
    if (this.depth > 0) this.#schedule.update();
    else this.#notifyEmptyWaiters();
  }

  /** Calls the empty waiters if no message waits. */
  #notifyEmptyWaiters(): void {
    if (this.#messages.size > 0) return;
    for (let waiter; (waiter = this.#emptyWaiters.shift()) !== undefined;) waiter.empty();
  }

  withdraw(one: Offer | Claim | RoomWaiter | EmptyWaiter): boolean {
    const isOffer = this.#offers.remove(one as Offer);
    if (isOffer) {
      this.#stats.outstanding--;
      this.#notifyRoomWaiters();
    } else if (
      !this.#claims.remove(one as Claim) && !this.#roomWaiters.remove(one as RoomWaiter) &&
      !this.#emptyWaiters.remove(one as EmptyWaiter)
    ) {
      return false;
    }
    this.#schedule.update();
    return true;
  }

  accepted(): void {
    this.#stats.gets++;
    this.#returned();
    this.#messageLeft();
  }

  takeBack(loan: MemoryLoan, attempts: number): void {
    this.#returned();
    if (this.#isDeleted) return;
    const { message, position, end } = loan;
    if (end <= now()) return this.#messageLeft();
    const again = new MemoryLoan(this, message, position, attempts, true, end);
    if (!this.#serve(again)) this.#enqueue(again);
  }

  #returned(): void {
    this.#lent--;
    this.#stats.loans--;
  }

  /** Takes offers into the room of a message that has left. If the channel is drained, it may be over now. */
  #messageLeft(): void {
    while (this.#offers.size > 0 && this.#hasRoom) this.#put(this.#shiftOffer()!);
    this.#notifyRoomWaiters();
    this.#endIfOver();
  }

  drain(): void {
    this.#isDrained = true;
    this.#rejectOffers(drainedError);
    this.#notifyRoomWaiters();
    this.#endIfOver();
  }

  #rejectOffers(errorFor: (name: string) => Error): void {
    for (let offer; (offer = this.#shiftOffer()) !== undefined;) offer.reject(errorFor(this.name));
  }

  /** Whether the channel is drained, and has nothing left to get. */
  get isOver(): boolean {
    return this.#isDrained && this.#messages.size + this.#lent + this.#delayed === 0;
  }

  #endIfOver(): void {
    if (!this.isOver) return;
    for (let claim; (claim = this.#claims.shift()) !== undefined;) {
      claim.reject(drainedError(this.name));
    }
  }

  /** Deletes the channel, and tells the observers of all links but the one that deletes it. */
  delete(deleter: Link): void {
    this.#isDeleted = true;
    this.#end();
    this.#messages.clear();
    this.#rejectOffers(deletedError);
    for (const [link, observer] of [...this.#links]) if (link !== deleter) observer.gone();
  }

  #end(): void {
    this.#forget();
    this.#schedule.clear();
    recentMessages.removeAll((message) => (message as MemoryLoan).isOf(this));
  }
}

/** Returns when a message that is put now expires: a time of `now()`, or Infinity. */
function endOf({ expires }: Message): number {
  return expires === undefined ? Infinity : now() + expires;
}
