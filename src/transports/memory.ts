import { ChannelClosedError, drainedError } from "../errors.ts";
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
  readonly features: Features = { shared: false };
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
 * Invariants: claims or messages wait, never both, and no claim beside an offer. What was released is older than
 * every other message, for messages leave in their order. Offers wait only where there is no room.
 */
class MemoryChannel {
  readonly name: string;
  readonly claims: Fifo<Claim> = new Fifo();
  readonly offers: Fifo<Offer> = new Fifo();
  readonly #messages = new Fifo<MemoryLoan>();
  /** Oldest first. */
  readonly #released: MemoryLoan[] = [];
  readonly #links = new Set<MemoryLink>();
  readonly #lease: number | undefined;
  readonly #capacity: number;
  #lent = 0;
  #isClosed = false;
  readonly stats: Stats;
  readonly #forget: () => void;
  #expiry: ReturnType<typeof setTimeout> | undefined;
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
    return this.#messages.size + this.#released.length;
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
    this.#expiry = setTimeout(this.#forget, this.#lease);
    unref(this.#expiry);
  }

  offer(offer: Offer): void {
    if (this.#isClosed) return offer.reject(drainedError("put", this.name));
    this.stats.puts++;
    if (this.offers.size === 0 && this.#hasRoom) return this.#put(offer);
    if (offer.full !== undefined) return offer.full();
    this.stats.outstanding++;
    this.offers.push(offer);
  }

  get #hasRoom(): boolean {
    return this.#capacity === 0 ? this.claims.size > 0 : this.depth + this.#lent < this.#capacity;
  }

  #put(offer: Offer): void {
    const loan = this.#loanOf(offer);
    const claim = this.claims.shift();
    if (claim === undefined) this.#messages.push(loan);
    else this.#lend(loan, claim);
    offer.taken();
  }

  #loanOf({ message }: Offer): MemoryLoan {
    this.stats.confirms++;
    return new MemoryLoan(this, message, this.#puts++, (message.attempts ?? 0) + 1, false);
  }

  #lend(loan: MemoryLoan, claim: Claim): void {
    this.#lent++;
    claim.deliver(loan);
  }

  /** Puts what waits for room. */
  #admit(): void {
    while (this.offers.size > 0 && this.#hasRoom) this.#put(this.#shiftOffer()!);
  }

  #shiftOffer(): Offer | undefined {
    const offer = this.offers.shift();
    if (offer !== undefined) this.stats.outstanding--;
    return offer;
  }

  withdraw(one: Offer | Claim): boolean {
    if (this.claims.remove(one as Claim)) return true;
    if (!this.offers.remove(one as Offer)) return false;
    this.stats.outstanding--;
    return true;
  }

  claim(claim: Claim): void {
    const loan = this.take();
    if (loan !== undefined) claim.deliver(loan);
    else if (this.isOver) claim.reject(drainedError("get", this.name));
    else this.claims.push(claim);
  }

  take(): MemoryLoan | undefined {
    let loan = this.#released.shift() ?? this.#messages.shift();
    if (loan?.redelivered) this.stats.redeliveries++;
    if (loan === undefined && this.#capacity === 0) {
      const offer = this.#shiftOffer();
      if (offer !== undefined) {
        loan = this.#loanOf(offer);
        offer.taken();
      }
    }
    if (loan !== undefined) this.#lent++;
    return loan;
  }

  /** A loan was accepted. */
  settled(): void {
    this.stats.gets++;
    this.#lent--;
    this.#admit();
    this.#endIfOver();
  }

  drain(): void {
    this.#isClosed = true;
    for (let offer; (offer = this.#shiftOffer()) !== undefined;) {
      offer.reject(drainedError("put", this.name));
    }
    this.#endIfOver();
  }

  /** Whether there is nothing to get, and never will be. */
  get isOver(): boolean {
    return this.#isClosed && this.depth === 0 && this.#lent === 0;
  }

  #endIfOver(): void {
    if (!this.isOver) return;
    for (let claim; (claim = this.claims.shift()) !== undefined;) {
      claim.reject(drainedError("get", this.name));
    }
  }

  takeBack(loan: MemoryLoan, attempts: number): void {
    this.#lent--;
    const again = new MemoryLoan(this, loan.message, loan.position, attempts, true);
    const claim = this.claims.shift();
    if (claim !== undefined) {
      this.stats.redeliveries++;
      return this.#lend(again, claim);
    }
    const later = this.#released.findIndex((other) => other.position > loan.position);
    this.#released.splice(later === -1 ? this.#released.length : later, 0, again);
  }

  delete(): void {
    this.#isDeleted = true;
    this.#forget();
    this.#released.length = 0;
    this.#messages.takeAll();
    for (let offer; (offer = this.#shiftOffer()) !== undefined;) offer.reject(deleted(this.name));
  }
}

class MemoryLoan implements Loan {
  readonly message: Message;
  readonly position: number;
  readonly attempts: number;
  readonly redelivered: boolean;
  readonly #channel: MemoryChannel;
  #settled = false;

  constructor(
    channel: MemoryChannel,
    message: Message,
    position: number,
    attempts: number,
    redelivered: boolean,
  ) {
    this.#channel = channel;
    this.message = message;
    this.position = position;
    this.attempts = attempts;
    this.redelivered = redelivered;
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

  withdraw(one: Offer | Claim): boolean {
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
