import { ChannelClosedError } from "../errors.ts";
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
      const created = new MemoryChannel(name, options.lease, this.stats, () => {
        if (this.#channels.get(name) === created) this.#channels.delete(name);
      });
      this.#channels.set(name, channel = created);
    }
    return new MemoryLink(channel, options);
  }
}

/**
 * Invariants: claims or messages wait, never both; what is not due does not wait. Of the messages of
 * one priority, what was released is older than every other, for they leave in their order. Whatever
 * the time will change is among the alarms, and one timer is set for the first of them.
 */
class MemoryChannel {
  readonly name: string;
  readonly #claims: Fifo<Claim> = new Fifo();
  /** By priority, highest first; most channels have one. */
  readonly #levels: { readonly priority: number; readonly messages: Fifo<MemoryLoan> }[] = [];
  /** In the order in which they leave. */
  readonly #released: MemoryLoan[] = [];
  readonly #links = new Set<MemoryLink>();
  readonly #lease: number | undefined;
  readonly stats: Stats;
  readonly #forget: () => void;
  #expiry: ReturnType<typeof setTimeout> | undefined;
  /** Soonest first. */
  readonly #alarms: Alarm[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isDeleted = false;
  #puts = 0;

  constructor(name: string, lease: number | undefined, stats: Stats, forget: () => void) {
    this.name = name;
    this.stats = stats;
    this.#lease = lease;
    this.#forget = forget;
  }

  get depth(): number {
    this.#ring();
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

  put(message: Message): void {
    this.stats.puts++;
    this.stats.confirms++;
    const { delay, expires } = message;
    const now = performance.now();
    const end = expires === undefined ? Infinity : now + expires;
    if (delay === undefined) this.#add(message, end);
    else this.#alarm(now + delay, () => this.#add(message, end));
  }

  #add(message: Message, end: number): void {
    const { attempts = 0, priority = 0 } = message;
    const loan = new MemoryLoan(this, message, this.#puts++, attempts + 1, false, end);
    const claim = this.#claims.shift();
    if (claim !== undefined) return claim.deliver(loan);
    const { messages } = this.#level(priority);
    messages.push(loan);
    if (end < Infinity) this.#alarm(end, () => messages.remove(loan));
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

  take(): MemoryLoan | undefined {
    this.#ring();
    const loan = this.#first();
    if (loan?.redelivered) this.stats.redeliveries++;
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

  takeBack(loan: MemoryLoan, attempts: number): void {
    const { message, position, end } = loan;
    if (this.#isDeleted || end <= performance.now()) return;
    const again = new MemoryLoan(this, message, position, attempts, true, end);
    const claim = this.#claims.shift();
    if (claim !== undefined) {
      this.stats.redeliveries++;
      return claim.deliver(again);
    }
    const later = this.#released.findIndex((other) => again.precedes(other));
    this.#released.splice(later === -1 ? this.#released.length : later, 0, again);
    if (end < Infinity) {
      this.#alarm(end, () => {
        const at = this.#released.indexOf(again);
        if (at !== -1) this.#released.splice(at, 1);
      });
    }
  }

  wait(claim: Claim): void {
    this.#claims.push(claim);
    this.#setTimer();
  }

  withdraw(claim: Claim): boolean {
    const waited = this.#claims.remove(claim);
    if (waited) this.#setTimer();
    return waited;
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
    if (this.#claims.size === 0) unref(this.#timer);
  }

  delete(): void {
    this.#isDeleted = true;
    this.#end();
    while (this.#first() !== undefined);
  }

  #end(): void {
    this.#forget();
    this.#alarms.length = 0;
    this.#setTimer();
  }
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
    this.#channel.stats.gets++;
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
    this.#channel.put(offer.message);
    offer.taken();
  }

  take(claim: Claim): void {
    if (this.#gone) return claim.reject(missing(this.#channel.name));
    const loan = this.#channel.take();
    if (loan !== undefined) return claim.deliver(loan);
    this.#channel.wait(claim);
    claim.waits?.();
  }

  withdraw(one: Offer | Claim): boolean {
    return this.#channel.withdraw(one as Claim); // an offer never waits
  }

  tryTake(): Promise<Loan | undefined> {
    return Promise.resolve(this.#channel.take());
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

function missing(name: string): ChannelClosedError {
  return new ChannelClosedError(`channel ${name} does not exist`, { reason: "missing" });
}
