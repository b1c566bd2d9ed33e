/** Milliseconds for which a message may lie here that nobody got; with what giving it back takes, less than 20. */
export const patience = 15;

/** Milliseconds of getting that are read ahead. */
const ahead = 10;
const mostMessages = 500;
const mostBytes = 4 << 20;

/**
 * How many messages are read ahead: as many as this process gets within 10 ms, so that few lie here when
 * it stops. It begins with none, and at most doubles each time.
 */
export class Pace {
  #served = 0;
  #since = 0;
  #bytes = 0;

  /** A message was handed over. */
  count(bytes: number): void {
    this.#served++;
    this.#bytes += bytes;
  }

  /** How many to read ahead now. */
  next(): number {
    const now = performance.now();
    const elapsed = now - this.#since;
    const size = this.#bytes / (this.#served || 1);
    const count = elapsed > patience * 2 ? 0 : Math.min(
      2 * this.#served,
      this.#served * ahead / elapsed,
      mostMessages,
      mostBytes / (size || 1),
    );
    this.#since = now;
    this.#served = this.#bytes = 0;
    return Math.floor(count);
  }
}
