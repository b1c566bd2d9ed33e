import { closedForAllText, deletedError } from "../shared/closed_errors.ts";
import { ChannelClosedError, type CloseReason } from "../shared/errors.ts";
import type { Claim, EmptyWaiter, Link, Offer, RoomWaiter } from "../transports/transport.ts";

/**
 * The link of a channel that was closed for all, after the engine's link is closed: a peer that goes on learns why it
 * cannot, whatever the engine would do.
 */
export class EndedLink implements Link {
  readonly #error: () => ChannelClosedError;

  constructor(name: string, reason: CloseReason) {
    this.#error = () =>
      reason === "delete"
        ? deletedError(name)
        : new ChannelClosedError(`channel ${name} ${closedForAllText}`, { reason });
  }

  put(offer: Offer): void {
    offer.reject(this.#error());
  }

  take(claim: Claim): void {
    claim.reject(this.#error());
  }

  awaitRoom(waiter: RoomWaiter): void {
    waiter.tryAgain(); // the put learns why
  }

  awaitEmpty(waiter: EmptyWaiter): void {
    waiter.reject(this.#error());
  }

  withdraw(): boolean {
    return false;
  }

  tryTake(): Promise<never> {
    return this.#rejected();
  }

  announce(): Promise<never> {
    return this.#rejected();
  }

  catchUp(): Promise<never> {
    return this.#rejected();
  }

  drain(): Promise<never> {
    return this.#rejected();
  }

  depth(): Promise<never> {
    return this.#rejected();
  }

  delete(): Promise<never> {
    return this.#rejected();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #rejected(): Promise<never> {
    return Promise.reject(this.#error());
  }
}
