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
      const created = new MemoryChannel(name, options.lease, this.stats, () => {
        if (this.#channels.get(name) === created) this.#channels.delete(name);
      });
      this.#channels.set(name, channel = created);
    }
    return new MemoryLink(channel, options);
  }
}

/**
 * Invariants: claims or messages wait, never both. What was released is older than every other
 * message, for messages leave in their order.
 */
class MemoryChannel {
  readonly name: string;
  readonly claims: Fifo<Claim> = new Fifo();
  readonly #messages = new Fifo<MemoryLoan>();
  /** Oldest first. */
  readonly #released: MemoryLoan[] = [];
  readonly #links = new Set<MemoryLink>();
  readonly #lease: number | undefined;
  readonly stats: Stats;
  readonly #forget: () => void;
  #expiry: ReturnType<typeof setTimeout> | undefined;
  #isDeleted = false;
  #puts = 0;

  constructor(name: string, lease: number | undefined, stats: Stats, forget: () => void) {
    this.name = name;
    this.stats = stats;
    this.#lease = lease;
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

  put(message: Message): void {
    this.stats.puts++;
    this.stats.confirms++;
    const loan = new MemoryLoan(this, message, this.#puts++, (message.attempts ?? 0) + 1, false);
    const claim = this.claims.shift();
    if (claim === undefined) this.#messages.push(loan);
    else claim.deliver(loan);
  }

  take(): MemoryLoan | undefined {
    const loan = this.#released.shift() ?? this.#messages.shift();
    if (loan?.redelivered) this.stats.redeliveries++;
    return loan;
  }

  takeBack(loan: MemoryLoan, attempts: number): void {
    const again = new MemoryLoan(this, loan.message, loan.position, attempts, true);
    const claim = this.claims.shift();
    if (claim !== undefined) {
      this.stats.redeliveries++;
      return claim.deliver(again);
    }
    const later = this.#released.findIndex((other) => other.position > loan.position);
    this.#released.splice(later === -1 ? this.#released.length : later, 0, again);
  }

  delete(): void {
    this.#isDeleted = true;
    this.#forget();
    while (this.take() !== undefined);
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
    this.#channel.claims.push(claim);
    claim.waits?.();
  }

  withdraw(one: Offer | Claim): boolean {
    return this.#channel.claims.remove(one as Claim); // an offer never waits
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
