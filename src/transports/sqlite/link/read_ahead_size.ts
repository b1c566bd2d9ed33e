import { mostBytes, mostMessages } from "../file/writer.ts";

/** Milliseconds for which a message may lie here that nobody got; with what giving it back takes, less than 20. */
export const patience = 15;

/** Milliseconds of getting that are read ahead. */
const ahead = 10;

/**
 * How many messages are read ahead: as many as this process gets within 10 ms, so that few lie here when
 * it stops. It begins with none, and at most doubles each time.
 */
export class Pace {
  #served = 0;
  #since = 0;
  /** Bytes of a message, as a moving average. */
  #size = 0;

  /** A message was handed over. */
  count(bytes: number): void {
    this.#served++;
    this.#size += (bytes - this.#size) / 8;
  }

  /** How many messages have so many bytes, about; one at least. */
  fitting(bytes: number): number {
    return Math.max(1, Math.floor(bytes / (this.#size + 1)));
  }

  /** How many to read ahead now. */
  next(): number {
    const now = performance.now();
    const elapsed = now - this.#since;
    const served = this.#served;
    this.#since = now;
    this.#served = 0;
    if (served === 0 || elapsed > patience * 2) return 0;
    const rate = served / Math.max(elapsed, 0.01);
    return Math.floor(
      Math.min(2 * served, rate * ahead, mostMessages, mostBytes / (this.#size + 1)),
    );
  }
}
