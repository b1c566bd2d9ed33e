import { ChannelSizeError } from "../../../shared/errors.ts";
import type { Offer, Stats } from "../../transport.ts";
import { maxBytes, maxMessages } from "../file/transaction_queue.ts";

/** The puts of a link that are not in the file yet. */
export class PutBatch {
  readonly #offers = new Set<Offer>();
  readonly #stats: Stats;

  constructor(stats: Stats) {
    this.#stats = stats;
  }

  get size(): number {
    return this.#offers.size;
  }

  add(offer: Offer): void {
    this.#stats.puts++;
    this.#stats.outstanding++;
    this.#offers.add(offer);
  }

  /** Removes an offer. Reports whether it was present. */
  remove(offer: Offer): boolean {
    if (!this.#offers.delete(offer)) return false;
    this.#stats.outstanding--;
    return true;
  }

  /** Returns the oldest offers, as many as one transaction puts. */
  next(): Offer[] {
    const offers: Offer[] = [];
    let bytes = 0;
    for (const offer of this.#offers) {
      if (offers.length === maxMessages || bytes > maxBytes) break;
      offers.push(offer);
      bytes += offer.message.body.byteLength;
    }
    return offers;
  }

  /** Removes offers whose messages are in the file. */
  confirm(offers: readonly Offer[]): void {
    for (const offer of offers) {
      this.remove(offer);
      this.#stats.confirms++;
      offer.taken();
    }
  }

  /** Removes offers that do not wait for room, and found none. */
  refuse(offers: readonly Offer[]): void {
    for (const offer of offers) {
      if (this.remove(offer)) offer.full!(); // the one before may have withdrawn it
    }
  }

  /**
   * Rejects offers, each with an error that `newError` returns.
   *
   * @param offers by default all
   */
  reject(newError: () => Error, offers: Iterable<Offer> = this.#offers): void {
    for (const offer of offers) {
      this.remove(offer);
      offer.reject(newError());
    }
  }
}

/** The largest body in bytes; SQLite's own limit is 1,000,000,000 bytes for a row. */
const maxBody = 999_000_000;

/** Returns the error of a message that no row holds; undefined if a row does. */
export function sizeError(
  action: string,
  path: string,
  size: number,
): ChannelSizeError | undefined {
  if (size <= maxBody) return undefined;
  return new ChannelSizeError(
    `${action}: the message has ${size} bytes, and a row of ${path} holds ${maxBody}; send it in parts`,
    { size, limit: maxBody },
  );
}
