import { ChannelSizeError } from "../../../shared/errors.ts";
import type { Offer, Stats } from "../../transport.ts";
import { mostBytes, mostMessages } from "../file/writer.ts";

/** The puts of a link that are not in the file. */
export class Outbox {
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

  /** Whether the offer was here, and is no longer. */
  remove(offer: Offer): boolean {
    if (!this.#offers.delete(offer)) return false;
    this.#stats.outstanding--;
    return true;
  }

  /** The oldest, as many as one transaction takes. */
  batch(): Offer[] {
    const batch: Offer[] = [];
    let bytes = 0;
    for (const offer of this.#offers) {
      if (batch.length === mostMessages || bytes > mostBytes) break;
      batch.push(offer);
      bytes += offer.message.body.byteLength;
    }
    return batch;
  }

  taken(offers: readonly Offer[]): void {
    for (const offer of offers) {
      this.remove(offer);
      this.#stats.confirms++;
      offer.taken();
    }
  }

  /** Those who do not wait for room. */
  full(offers: readonly Offer[]): void {
    for (const offer of offers) {
      this.remove(offer);
      offer.full!();
    }
  }

  /** @param offers all that are here, unless told otherwise */
  refuse(make: () => Error, offers: Iterable<Offer> = this.#offers): void {
    for (const offer of offers) {
      this.remove(offer);
      offer.reject(make());
    }
  }

  reject(error: Error): void {
    for (const offer of this.#offers) {
      this.remove(offer);
      offer.reject(error);
    }
  }
}

/** SQLite's own limit is 1,000,000,000 bytes for a whole row. */
const largest = 999_000_000;

/** Why no row holds so many bytes; undefined where one does. */
export function excess(action: string, path: string, size: number): ChannelSizeError | undefined {
  if (size <= largest) return undefined;
  return new ChannelSizeError(
    `${action}: the message has ${size} bytes, and a row of ${path} takes ${largest}; send it in parts`,
    { size, limit: largest },
  );
}
