import {
  deletedError,
  drainedError,
  missingError,
  undelayableError,
} from "../../shared/closed_errors.ts";
import { Schedule, type ScheduledTask } from "../../shared/schedule.ts";
import { Fifo } from "../../shared/fifo.ts";
import { newStats } from "../stats.ts";
import { now, unref } from "../../shared/timers.ts";
import { nursery, type Resident } from "./recent_messages.ts";
import { MemoryQueue, type Waiting } from "./queue.ts";
import type {
  Claim,
  EmptyWaiter,
  Features,
  Link,
  LinkOptions,
  Loan,
  Message,
  Offer,
  Reach,
  RoomWaiter,
  Stats,
  Transport,
} from "../transport.ts";

/** Channels between the tasks of one isolate; the reference that other transports are held against. */
export class MemoryTransport implements Transport {
  readonly address: string;
  readonly reach: Reach = "isolate";
  readonly features: Features = {
    shared: false,
    terms: ["delay", "expires", "priority"],
    rendezvous: true,
  };
  readonly trouble = undefined;
  readonly stats: Stats = newStats();
  readonly #channels = new Map<string, MemoryChannel>();
  readonly #isShared: boolean;

  /** @param isShared whether it stays the engine of its address while it has channels */
  constructor(address = "memory:", isShared = false) {
    this.address = address;
    this.#isShared = isShared;
  }

  /** The engine of this address in this isolate. It outlasts all who refer to it while it has channels. */
  static at(address: string): MemoryTransport {
    return engines.get(address) ?? new MemoryTransport(address, true);
  }

  /** How many claims wait at a channel: for tests. */
  claimsAt(name: string): number {
    return this.#channels.get(name)?.claims ?? 0;
  }

  // deno-lint-ignore require-await -- so that a missing channel rejects
  async open(name: string, options: LinkOptions): Promise<Link> {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      if (!options.create) throw missingError(name);
      const created = new MemoryChannel(name, options, this.stats, () => {
        if (this.#channels.get(name) === created) this.#channels.delete(name);
        if (this.#channels.size === 0 && this.#isShared) engines.delete(this.address);
      });
      this.#channels.set(name, channel = created);
      if (this.#isShared) engines.set(this.address, this);
    }
    return new MemoryLink(channel, options);
  }
}

/** The engines that have channels, by their address. */
const engines = new Map<string, MemoryTransport>();

/**
 * Invariants: claims or messages wait, never both, and no claim beside an offer; what is not due does
 * not wait, and counts toward the capacity as what is on loan does. Offers wait only where there is no
 * room. Whatever the time will change is in the agenda: what is delayed, and what expires while it waits.
 *
 * Every operation takes O(log n) steps of what is delayed, expires, was released or has a priority.
 */
class MemoryChannel {
  readonly name: string;
  readonly #claims: Fifo<Claim> = new Fifo();
  readonly #offers: Fifo<Offer> = new Fifo();
  readonly #roomWaiters: Fifo<RoomWaiter> = new Fifo();
  readonly #emptyWaiters: Fifo<EmptyWaiter> = new Fifo();
  readonly #messages: MemoryQueue<MemoryLoan> = new MemoryQueue();
  readonly #links = new Set<MemoryLink>();
  readonly #lease: number | undefined;
  readonly #capacity: number;
  readonly stats: Stats;
  readonly #forget: () => void;
  #expiry: ReturnType<typeof setTimeout> | undefined;
  readonly #schedule: Schedule = new Schedule(() =>
    this.#claims.size + this.#offers.size + this.#roomWaiters.size + this.#emptyWaiters.size > 0
  );
  /** How many messages are on loan. */
  #lent = 0;
  /** How many messages are not due. */
  #delayed = 0;
  #isClosed = false;
  #isDeleted = false;
  #puts = 0;

  constructor(
    name: string,
    { lease, capacity = Infinity }: LinkOptions,
    stats: Stats,
    forget: () => void,
  ) {
    this.name = name;
    this.stats = stats;
    this.#lease = lease;
    this.#capacity = capacity;
    this.#forget = forget;
  }

  get depth(): number {
    this.#schedule.ring();
    return this.#messages.size;
  }

  get claims(): number {
    return this.#claims.size;
  }

  get links(): MemoryLink[] {
    return [...this.#links];
  }

  attach(link: MemoryLink): void {
    this.#links.add(link);
    clearTimeout(this.#expiry);
  }

  detach(link: MemoryLink): void {
    this.#links.delete(link);
    if (this.#links.size > 0 || this.#lease === undefined || this.#isDeleted) return;
    this.#expiry = setTimeout(() => this.#end(), this.#lease);
    unref(this.#expiry);
  }

  offer(offer: Offer): void {
    if (this.#isClosed) return offer.reject(drainedError(this.name));
    if (this.#capacity === 0 && offer.message.delay !== undefined) {
      return offer.reject(undelayableError(this.name));
    }
    this.stats.puts++;
    if (this.#capacity < Infinity) this.#schedule.ring();
    if (this.#offers.size === 0 && this.#hasRoom) return this.#put(offer);
    if (offer.full !== undefined) return offer.full();
    this.stats.outstanding++;
    this.#offers.push(offer);
    this.#schedule.update();
  }

  get #hasRoom(): boolean {
    if (this.#capacity === Infinity) return true;
    if (this.#capacity === 0) return this.#claims.size > 0;
    return this.#messages.size + this.#lent + this.#delayed < this.#capacity;
  }

  awaitRoom(waiter: RoomWaiter): void {
    if (this.#mayTry(waiter)) return waiter.tryAgain();
    this.#roomWaiters.push(waiter);
    this.#schedule.update();
  }

  #mayTry({ group }: { readonly group?: object }): boolean {
    if (this.#isClosed) return true;
    if (this.#offers.size > 0) return false;
    if (this.#capacity > 0 || group === undefined) return this.#hasRoom;
    return this.#claims.all.some((claim) => claim.group !== group);
  }

  /** Has those try again who wait for room, while there is some. */
  #tellRoom(): void {
    if (this.#capacity === 0 && !this.#isClosed) return this.#tellOthers();
    while (this.#roomWaiters.size > 0 && this.#mayTry({})) this.#roomWaiters.shift()!.tryAgain();
  }

  /** The same for a rendezvous, where each has room only for others. */
  #tellOthers(): void {
    for (const waiter of this.#roomWaiters.all) {
      if (this.#claims.size === 0) return;
      if (this.#mayTry(waiter) && this.#roomWaiters.remove(waiter)) waiter.tryAgain();
    }
  }

  #put(offer: Offer): void {
    const { message } = offer;
    this.stats.confirms++;
    if (message.delay === undefined) this.#add(message, endOf(message));
    else {
      const end = endOf(message);
      this.#delayed++;
      const own = withOwnBytes(message);
      this.#schedule.add(now() + message.delay, () => {
        this.#delayed--;
        this.#add(own, end);
      });
    }
    offer.taken();
  }

  #add(message: Message, end: number): void {
    if (end < Infinity && end <= now()) return this.#left(); // the process was busy
    const loan = this.#loanOf(message, end);
    if (!this.#serve(loan)) this.#keep(loan);
  }

  /** Lends to whoever has waited longest; whether anyone has. */
  #serve(loan: MemoryLoan): boolean {
    const claim = this.#claims.shift();
    if (claim === undefined) return false;
    this.#schedule.update();
    if (loan.redelivered) this.stats.redeliveries++;
    this.#lent++;
    claim.deliver(loan);
    return true;
  }

  #keep(loan: MemoryLoan): void {
    this.#messages.push(loan);
    nursery.add(loan);
    if (loan.end === Infinity) return;
    loan.expiry = this.#schedule.add(loan.end, () => {
      if (!this.#messages.remove(loan)) return;
      nursery.remove(loan);
      this.#left();
      this.#tellEmpty();
    });
  }

  #loanOf(message: Message, end: number): MemoryLoan {
    return new MemoryLoan(this, message, this.#puts++, (message.attempts ?? 0) + 1, false, end);
  }

  claim(claim: Claim): void {
    const loan = this.take();
    if (loan !== undefined) return claim.deliver(loan);
    if (this.isOver) return claim.reject(drainedError(this.name));
    this.#claims.push(claim);
    this.#schedule.update();
    claim.waits?.();
    if (this.#capacity === 0) this.#tellRoom();
  }

  take(): MemoryLoan | undefined {
    this.#schedule.ring();
    const loan = this.#first() ?? (this.#capacity === 0 ? this.#meet() : undefined);
    if (loan === undefined) return undefined;
    if (loan.redelivered) this.stats.redeliveries++;
    this.#lent++;
    return loan;
  }

  #first(): MemoryLoan | undefined {
    const loan = this.#messages.shift();
    if (loan !== undefined) {
      nursery.remove(loan);
      if (loan.expiry !== undefined) this.#schedule.remove(loan.expiry);
    }
    this.#tellEmpty();
    return loan;
  }

  awaitEmpty(waiter: EmptyWaiter): void {
    this.#emptyWaiters.push(waiter);
    if (this.depth > 0) this.#schedule.update();
    else this.#tellEmpty();
  }

  /** Tells those who wait for it where nothing waits any more. */
  #tellEmpty(): void {
    if (this.#messages.size > 0) return;
    for (let waiter; (waiter = this.#emptyWaiters.shift()) !== undefined;) waiter.empty();
  }

  /** The message of whoever waits for a receiver longest. */
  #meet(): MemoryLoan | undefined {
    const offer = this.#shiftOffer();
    if (offer === undefined) return undefined;
    this.stats.confirms++;
    const loan = this.#loanOf(offer.message, endOf(offer.message));
    offer.taken();
    return loan;
  }

  #shiftOffer(): Offer | undefined {
    const offer = this.#offers.shift();
    if (offer !== undefined) this.stats.outstanding--;
    return offer;
  }

  withdraw(one: Offer | Claim | RoomWaiter | EmptyWaiter): boolean {
    const isOffer = this.#offers.remove(one as Offer);
    if (isOffer) {
      this.stats.outstanding--;
      this.#tellRoom();
    } else if (
      !this.#claims.remove(one as Claim) && !this.#roomWaiters.remove(one as RoomWaiter) &&
      !this.#emptyWaiters.remove(one as EmptyWaiter)
    ) {
      return false;
    }
    this.#schedule.update();
    return true;
  }

  /** A loan was accepted. */
  settled(): void {
    this.stats.gets++;
    this.#lent--;
    this.#left();
  }

  takeBack(loan: MemoryLoan, attempts: number): void {
    if (this.#isDeleted) return;
    this.#lent--;
    const { message, position, end } = loan;
    if (end <= now()) return this.#left();
    const again = new MemoryLoan(this, message, position, attempts, true, end);
    if (!this.#serve(again)) this.#keep(again);
  }

  /** A message has left: there may be room, or nothing any more. */
  #left(): void {
    while (this.#offers.size > 0 && this.#hasRoom) this.#put(this.#shiftOffer()!);
    this.#tellRoom();
    this.#endIfOver();
  }

  drain(): void {
    this.#isClosed = true;
    for (let offer; (offer = this.#shiftOffer()) !== undefined;) {
      offer.reject(drainedError(this.name));
    }
    this.#tellRoom();
    this.#endIfOver();
  }

  /** Whether there is nothing to get, and never will be. */
  get isOver(): boolean {
    return this.#isClosed && this.#messages.size + this.#lent + this.#delayed === 0;
  }

  #endIfOver(): void {
    if (!this.isOver) return;
    for (let claim; (claim = this.#claims.shift()) !== undefined;) {
      claim.reject(drainedError(this.name));
    }
  }

  delete(): void {
    this.#isDeleted = true;
    this.#end();
    this.#messages.clear();
    for (let offer; (offer = this.#shiftOffer()) !== undefined;) {
      offer.reject(deletedError(this.name));
    }
  }

  #end(): void {
    this.#forget();
    this.#schedule.clear();
    nursery.removeAll((one) => (one as MemoryLoan).isOf(this));
  }
}

/** The message with bytes of its own, where they are a small part of a buffer. */
function withOwnBytes(message: Message): Message {
  const { body } = message;
  if (2 * body.length >= body.buffer.byteLength) return message;
  return { ...message, body: body.slice() };
}

/** When a message that is put now is dropped, as `now()` has it. */
function endOf({ expires }: Message): number {
  return expires === undefined ? Infinity : now() + expires;
}

class MemoryLoan implements Loan, Waiting, Resident {
  place = -1;
  young = -1;
  /** When it is dropped, while it waits. */
  expiry: ScheduledTask | undefined;
  message: Message;
  readonly position: number;
  readonly attempts: number;
  readonly redelivered: boolean;
  /** When it is dropped, as `now()` has it. */
  readonly end: number;
  readonly #channel: MemoryChannel;
  #settled = false;

  constructor(
    channel: MemoryChannel,
    message: Message,
    position: number,
    attempts: number,
    redelivered: boolean,
    end: number,
  ) {
    this.#channel = channel;
    this.message = message;
    this.position = position;
    this.attempts = attempts;
    this.redelivered = redelivered;
    this.end = end;
  }

  isOf(channel: MemoryChannel): boolean {
    return this.#channel === channel;
  }

  settle(): void {
    this.message = withOwnBytes(this.message);
  }

  get priority(): number {
    return this.message.priority ?? 0;
  }

  accept(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#channel.settled();
  }

  release(counted = false): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#channel.takeBack(this, this.attempts + (counted ? 1 : 0));
  }
}

class MemoryLink implements Link {
  readonly #channel: MemoryChannel;
  readonly #options: LinkOptions;
  #gone = false;

  constructor(channel: MemoryChannel, options: LinkOptions) {
    this.#channel = channel;
    this.#options = options;
    channel.attach(this);
  }

  put(offer: Offer): void {
    if (this.#gone) return offer.reject(missingError(this.#channel.name));
    this.#channel.offer(offer);
  }

  take(claim: Claim): void {
    if (this.#gone) return claim.reject(missingError(this.#channel.name));
    this.#channel.claim(claim);
  }

  awaitRoom(waiter: RoomWaiter): void {
    if (this.#gone) return waiter.tryAgain();
    this.#channel.awaitRoom(waiter);
  }

  awaitEmpty(waiter: EmptyWaiter): void {
    this.#channel.awaitEmpty(waiter);
  }

  withdraw(one: Offer | Claim | RoomWaiter | EmptyWaiter): boolean {
    return this.#channel.withdraw(one);
  }

  tryTake(): Promise<Loan | undefined> {
    const loan = this.#channel.take();
    if (loan !== undefined || !this.#channel.isOver) return Promise.resolve(loan);
    return Promise.reject(drainedError(this.#channel.name));
  }

  announce(event: Uint8Array): Promise<void> {
    for (const link of this.#channel.links) {
      if (link !== this) link.#options.observer.announced(event);
    }
    return done;
  }

  catchUp(): Promise<void> {
    return done;
  }

  drain(): Promise<void> {
    if (this.#gone) return Promise.reject(missingError(this.#channel.name));
    this.#channel.drain();
    return done;
  }

  depth(): Promise<number> {
    return Promise.resolve(this.#channel.depth);
  }

  delete(): Promise<void> {
    this.#channel.delete();
    for (const link of this.#channel.links) {
      link.#gone = true;
      if (link !== this) link.#options.observer.gone();
    }
    return done;
  }

  close(): Promise<void> {
    this.#channel.detach(this);
    return done;
  }
}

const done: Promise<void> = Promise.resolve();
