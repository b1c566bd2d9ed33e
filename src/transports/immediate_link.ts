import { Fifo } from "../shared/fifo.ts";
import type {
  Claim,
  EmptyWaiter,
  Link,
  LinkOptions,
  Loan,
  Message,
  Offer,
  RoomWaiter,
} from "./transport.ts";

/** A message with what its next loan says of it. */
export type Lent = Pick<Loan, "message" | "redelivered" | "attempts">;

/**
 * A base class for the links of a transport that answers at once, such as one that keeps its messages in memory. It
 * holds the offers and claims that wait, in the order of the calls, and the loans. A subclass stores the messages.
 *
 * @example
 * ```ts
 * import { ImmediateLink, type Lent } from "@channelts/channel";
 *
 * export abstract class StackLink extends ImmediateLink {
 *   readonly #messages: Lent[] = [];
 *
 *   protected add(message: Lent): boolean {
 *     this.#messages.push(message);
 *     return true; // there is room
 *   }
 *
 *   protected next(): Lent | undefined {
 *     return this.#messages.pop();
 *   }
 *
 *   protected returned(message: Lent): void {
 *     this.#messages.push(message);
 *   }
 * }
 * ```
 */
export abstract class ImmediateLink<T extends Lent = Lent> implements Link {
  /** The options of `Transport.open` when the channel was created. */
  protected readonly options: LinkOptions;
  readonly #offers: Fifo<Offer> = new Fifo();
  readonly #claims: Fifo<Claim> = new Fifo();
  #lent = 0;

  /** Creates a link without offers and claims. */
  constructor(options: LinkOptions) {
    this.options = options;
  }

  /** The number of messages on loan. */
  protected get lent(): number {
    return this.#lent;
  }

  /** The number of claims that wait. */
  get waiting(): number {
    return this.#claims.size;
  }

  /**
   * Stores a message and returns true, or returns false if the channel is full, messages on loan included.
   *
   * @throws the error with which an offer is rejected, if the channel is drained or deleted
   */
  protected abstract add(message: Lent): boolean;

  /**
   * Removes the next message and returns it; undefined if none waits.
   *
   * @throws the error with which a claim is rejected, if the channel is deleted, or drained with no message on loan
   */
  protected abstract next(): T | undefined;

  /** Stores a message again that was released, in its old place. Its `redelivered` and `attempts` are those to lend. */
  protected abstract returned(message: T): void;

  /**
   * Puts the offers for which there is room, and serves the claims for which there is a message. Call it after changes
   * that this class does not know of: a drain, a deletion, or a message or room by other means.
   */
  protected serve(): void {
    while (this.#settleOffer() || this.#settleClaim());
  }

  /** Adds an offer: it is put, waits for room, or learns that there is none. */
  put(offer: Offer): void {
    this.#offers.push(offer);
    this.serve();
    if (offer.full !== undefined && this.#offers.remove(offer)) offer.full();
  }

  /** Adds a claim: it is served, or waits for a message. */
  take(claim: Claim): void {
    this.#claims.push(claim);
    this.serve();
    if (this.#claims.has(claim)) claim.waits?.();
  }

  /** Withdraws an offer or a claim that waits, and reports whether it did. */
  withdraw(one: Offer | Claim | RoomWaiter | EmptyWaiter): boolean {
    return this.#claims.remove(one as Claim) || this.#offers.remove(one as Offer);
  }

  /** Resolves with the next message, or undefined if none waits. */
  // deno-lint-ignore require-await -- so that an error rejects
  async tryTake(): Promise<Loan | undefined> {
    const message = this.next();
    return message === undefined ? undefined : this.#lend(message);
  }

  /** Does nothing: the channel has no other link. Override it if it may have one. */
  announce(_event: Uint8Array, _isControl?: boolean): Promise<void> {
    return Promise.resolve();
  }

  /** Does nothing: an event is observed as it is announced. Override it if events take time. */
  catchUp(): Promise<void> {
    return Promise.resolve();
  }

  /** Closes the channel until it is deleted, as {@linkcode Link.drain} says. */
  abstract drain(): Promise<void>;
  /** Resolves with the number of waiting messages. */
  abstract depth(): Promise<number>;
  /** Deletes the channel, as {@linkcode Link.delete} says. */
  abstract delete(): Promise<void>;
  /** Detaches, as {@linkcode Link.close} says. */
  abstract close(): Promise<void>;

  /** Settles the oldest offer, and reports whether it could. */
  #settleOffer(): boolean {
    const offer = this.#offers.peek();
    if (offer === undefined) return false;
    try {
      if (!this.add(newlyPut(offer.message))) return false;
    } catch (error) {
      this.#offers.remove(offer);
      offer.reject(error as Error);
      return true;
    }
    this.#offers.remove(offer);
    offer.taken();
    return true;
  }

  /** Settles the oldest claim, and reports whether it could. */
  #settleClaim(): boolean {
    const claim = this.#claims.peek();
    if (claim === undefined) return false;
    let message: T | undefined;
    try {
      message = this.next();
    } catch (error) {
      this.#claims.remove(claim);
      claim.reject(error as Error);
      return true;
    }
    if (message === undefined) return false;
    this.#claims.remove(claim);
    claim.deliver(this.#lend(message));
    return true;
  }

  #lend(lent: T): Loan {
    this.#lent++;
    let isOnLoan = true;
    const settle = (released?: T) => {
      if (!isOnLoan) return;
      isOnLoan = false;
      this.#lent--;
      if (released !== undefined) this.returned(released);
      this.serve();
    };
    const { message, redelivered, attempts } = lent;
    return {
      message,
      redelivered,
      attempts,
      accept: () => settle(),
      release: (counted = false) =>
        settle({ ...lent, redelivered: true, attempts: attempts + (counted ? 1 : 0) }),
    };
  }
}

function newlyPut(message: Message): Lent {
  return { message, redelivered: false, attempts: (message.attempts ?? 0) + 1 };
}
