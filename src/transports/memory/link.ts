import { drainedError, missingError } from "../../shared/closed_errors.ts";
import type {
  ChannelStats,
  Claim,
  EmptyWaiter,
  Link,
  LinkObserver,
  Loan,
  Offer,
  RoomWaiter,
} from "../transport.ts";
import type { MemoryChannel } from "./memory_channel.ts";

/** A link to a channel in memory. The channel does the work. */
export class MemoryLink implements Link {
  readonly #channel: MemoryChannel;

  constructor(channel: MemoryChannel, observer: LinkObserver) {
    this.#channel = channel;
    channel.attach(this, observer);
  }

  put(offer: Offer): void {
    this.#channel.offer(offer);
  }

  take(claim: Claim): void {
    this.#channel.claim(claim);
  }

  awaitRoom(waiter: RoomWaiter): void {
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
    this.#channel.announce(event, this);
    return done;
  }

  catchUp(): Promise<void> {
    return done;
  }

  drain(): Promise<void> {
    if (this.#channel.isDeleted) return Promise.reject(missingError(this.#channel.name));
    this.#channel.drain();
    return done;
  }

  depth(): Promise<number> {
    return Promise.resolve(this.#channel.depth);
  }

  stats(): Promise<ChannelStats> {
    return Promise.resolve(this.#channel.stats);
  }

  delete(): Promise<void> {
    this.#channel.delete(this);
    return done;
  }

  close(): Promise<void> {
    this.#channel.detach(this);
    return done;
  }
}

const done: Promise<void> = Promise.resolve();
