import { ChannelClosedError, drainedError, undelayableError } from "../errors.ts";
import { Fifo } from "../fifo.ts";
import { newStats } from "../stats.ts";
import { unref } from "../timers.ts";
import type {
  Claim,
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
  readonly features: Features = { shared: false, terms: ["delay", "expires", "priority"] };
  readonly trouble = undefined;
  readonly stats: Stats = newStats();
  readonly #channels = new Map<string, MemoryChannel>();

  constructor(address = "memory:") {
    this.address = address;
  }

  // deno-lint-ignore require-await -- so that a missing channel rejects
  async open(name: string, options: LinkOptions): Promise<Link> {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      if (!options.create) throw missing(name);
      const created = new MemoryChannel(name, options, this.stats, () => {
        if (this.#channels.get(name) === created) this.#channels.delete(name);
      });
      this.#channels.set(name, channel = created);
    }
    return new MemoryLink(channel, options);
  }
}

/**
 * Invariants: claims or messages wait, never both, and no claim beside an offer; what is not due does
 * not wait, and counts toward the capacity as what is on loan does. Of the messages of one priority,
 * what was released is older than every other, for they leave in their order. Offers wait only where
 * there is no room. Whatever the time will change is among the alarms, and one timer is set for the
 * first of them.
 */
class MemoryChannel {
  readonly name: string;
  readonly #claims: Fifo<Claim> = new Fifo();
  readonly #offers: Fifo<Offer> = new Fifo();
  readonly #roomWaiters = new Set<RoomWaiter>();
  /** By priority, highest first; most channels have one. */
  readonly #levels: { readonly priority: number; readonly messages: Fifo<MemoryLoan> }[] = [];
  /** In the order in which they leave. */
  readonly #released: MemoryLoan[] = [];
  readonly #links = new Set<MemoryLink>();
  readonly #lease: number | undefined;
  readonly #capacity: number;
  readonly stats: Stats;
  readonly #forget: () => void;
  #expiry: ReturnType<typeof setTimeout> | undefined;
  /** Soonest first. */
  readonly #alarms: Alarm[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
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
    this.#ring();
    return this.#waiting;
  }

  get #waiting(): number {
    return this.#levels.reduce((sum, { messages }) => sum + messages.size, this.#released.length);
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
    if (this.#isClosed) return offer.reject(drainedError("put", this.name));
    if (this.#capacity === 0 && offer.message.delay !== undefined) {
      return offer.reject(undelayableError(this.name));
    }
    this.stats.puts++;
    if (this.#capacity < Infinity) this.#ring();
    if (this.#offers.size === 0 && this.#hasRoom) return this.#put(offer);
    if (offer.full !== undefined) return offer.full();
    this.stats.outstanding++;
    this.#offers.push(offer);
    this.#setTimer();
  }

  get #hasRoom(): boolean {
    if (this.#capacity === Infinity) return true;
    if (this.#capacity === 0) return this.#claims.size > 0;
    return this.#waiting + this.#lent + this.#delayed < this.#capacity;
  }

  awaitRoom(waiter: RoomWaiter): void {
    if (this.#mayTry(waiter)) return waiter.tryAgain();
    this.#roomWaiters.add(waiter);
    this.#setTimer();
  }

  #mayTry({ group }: RoomWaiter): boolean {
    if (this.#isClosed) return true;
    if (this.#offers.size > 0) return false;
    if (this.#capacity > 0 || group === undefined) return this.#hasRoom;
    return this.#claims.all.some((claim) => claim.group !== group);
  }

  #tellRoom(): void {
    for (const waiter of [...this.#roomWaiters]) {
      if (this.#mayTry(waiter) && this.#roomWaiters.delete(waiter)) waiter.tryAgain();
    }
  }

  #put(offer: Offer): void {
    const { message } = offer;
    this.stats.confirms++;
    if (message.delay === undefined) this.#add(message, endOf(message));
    else {
      const end = endOf(message);
      this.#delayed++;
      this.#alarm(performance.now() + message.delay, () => {
        this.#delayed--;
        this.#add(message, end);
      });
    }
    offer.taken();
  }

  #add(message: Message, end: number): void {
    const loan = this.#loanOf(message, end);
    const claim = this.#claims.shift();
    if (claim !== undefined) return this.#lend(loan, claim);
    const { messages } = this.#level(loan.priority);
    messages.push(loan);
    if (end < Infinity) this.#alarm(end, () => messages.remove(loan) && this.#left());
  }

  #loanOf(message: Message, end: number): MemoryLoan {
    return new MemoryLoan(this, message, this.#puts++, (message.attempts ?? 0) + 1, false, end);
  }

  #lend(loan: MemoryLoan, claim: Claim): void {
    this.#lent++;
    claim.deliver(loan);
  }

  #level(priority: number): { readonly messages: Fifo<MemoryLoan> } {
    if (this.#levels[0]?.priority === priority) return this.#levels[0]; // nearly always
    const at = this.#levels.findIndex((level) => level.priority <= priority);
    const found = this.#levels[at];
    if (found?.priority === priority) return found;
    const level = { priority, messages: new Fifo<MemoryLoan>() };
    this.#levels.splice(at === -1 ? this.#levels.length : at, 0, level);
    return level;
  }

  claim(claim: Claim): void {
    const loan = this.take();
    if (loan !== undefined) return claim.deliver(loan);
    if (this.isOver) return claim.reject(drainedError("get", this.name));
    this.#claims.push(claim);
    this.#setTimer();
    claim.waits?.();
    if (this.#capacity === 0) this.#tellRoom();
  }

  take(): MemoryLoan | undefined {
    this.#ring();
    const loan = this.#first() ?? (this.#capacity === 0 ? this.#meet() : undefined);
    if (loan === undefined) return undefined;
    if (loan.redelivered) this.stats.redeliveries++;
    this.#lent++;
    return loan;
  }

  #first(): MemoryLoan | undefined {
    const [released] = this.#released;
    let level = this.#levels[0];
    if (level?.messages.size === 0) level = this.#levels.find(({ messages }) => messages.size > 0);
    const isNext = released !== undefined &&
      (level === undefined || released.priority >= level.priority);
    return isNext ? this.#released.shift() : level?.messages.shift();
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

  withdraw(one: Offer | Claim | RoomWaiter): boolean {
    const isOffer = this.#offers.remove(one as Offer);
    if (isOffer) {
      this.stats.outstanding--;
      this.#tellRoom();
    } else if (!this.#claims.remove(one as Claim) && !this.#roomWaiters.delete(one as RoomWaiter)) {
      return false;
    }
    this.#setTimer();
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
    if (end <= performance.now()) return this.#left();
    const again = new MemoryLoan(this, message, position, attempts, true, end);
    const claim = this.#claims.shift();
    if (claim !== undefined) {
      this.stats.redeliveries++;
      return this.#lend(again, claim);
    }
    const later = this.#released.findIndex((other) => again.precedes(other));
    this.#released.splice(later === -1 ? this.#released.length : later, 0, again);
    if (end < Infinity) {
      this.#alarm(end, () => {
        const at = this.#released.indexOf(again);
        if (at === -1) return;
        this.#released.splice(at, 1);
        this.#left();
      });
    }
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
      offer.reject(drainedError("put", this.name));
    }
    this.#tellRoom();
    this.#endIfOver();
  }

  /** Whether there is nothing to get, and never will be. */
  get isOver(): boolean {
    return this.#isClosed && this.#waiting + this.#lent + this.#delayed === 0;
  }

  #endIfOver(): void {
    if (!this.isOver) return;
    for (let claim; (claim = this.#claims.shift()) !== undefined;) {
      claim.reject(drainedError("get", this.name));
    }
  }

  #alarm(at: number, act: () => void): void {
    const later = this.#alarms.findIndex((other) => other.at > at);
    this.#alarms.splice(later === -1 ? this.#alarms.length : later, 0, { at, act });
    this.#setTimer();
  }

  /** Does what is due. */
  #ring(): void {
    if (this.#alarms.length === 0) return;
    const now = performance.now();
    while (this.#alarms[0] !== undefined && this.#alarms[0].at <= now) this.#alarms.shift()!.act();
    this.#setTimer();
  }

  /** Keeps the process alive while someone waits for what is to come. */
  #setTimer(): void {
    if (this.#timer === undefined && this.#alarms.length === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const [first] = this.#alarms;
    if (first === undefined) return;
    const wait = Math.min(Math.max(first.at - performance.now(), 1), longestTimer);
    this.#timer = setTimeout(() => this.#ring(), wait);
    if (this.#claims.size + this.#offers.size + this.#roomWaiters.size === 0) unref(this.#timer);
  }

  delete(): void {
    this.#isDeleted = true;
    this.#end();
    while (this.#first() !== undefined);
    for (let offer; (offer = this.#shiftOffer()) !== undefined;) offer.reject(deleted(this.name));
  }

  #end(): void {
    this.#forget();
    this.#alarms.length = 0;
    this.#setTimer();
  }
}

/** When a message that is put now is dropped, as `performance.now()` has it. */
function endOf({ expires }: Message): number {
  return expires === undefined ? Infinity : performance.now() + expires;
}

/** Something that happens at a time, as `performance.now()` has it. */
interface Alarm {
  readonly at: number;
  act(): void;
}

/** Longer timers fire at once, in every runtime. */
const longestTimer = 2 ** 31 - 1;

class MemoryLoan implements Loan {
  readonly message: Message;
  readonly position: number;
  readonly attempts: number;
  readonly redelivered: boolean;
  /** When it is dropped, as `performance.now()` has it. */
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

  get priority(): number {
    return this.message.priority ?? 0;
  }

  precedes(other: MemoryLoan): boolean {
    return this.priority > other.priority ||
      this.priority === other.priority && this.position < other.position;
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
    if (this.#gone) return offer.reject(missing(this.#channel.name));
    this.#channel.offer(offer);
  }

  take(claim: Claim): void {
    if (this.#gone) return claim.reject(missing(this.#channel.name));
    this.#channel.claim(claim);
  }

  awaitRoom(waiter: RoomWaiter): void {
    if (this.#gone) return waiter.tryAgain();
    this.#channel.awaitRoom(waiter);
  }

  withdraw(one: Offer | Claim | RoomWaiter): boolean {
    return this.#channel.withdraw(one);
  }

  tryTake(): Promise<Loan | undefined> {
    const loan = this.#channel.take();
    if (loan !== undefined || !this.#channel.isOver) return Promise.resolve(loan);
    return Promise.reject(drainedError("get", this.#channel.name));
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
    if (this.#gone) return Promise.reject(missing(this.#channel.name));
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

function deleted(name: string): ChannelClosedError {
  return new ChannelClosedError(`channel ${name} was deleted`, { reason: "delete" });
}

function missing(name: string): ChannelClosedError {
  return new ChannelClosedError(`channel ${name} does not exist`, { reason: "missing" });
}
