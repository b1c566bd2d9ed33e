/** Milliseconds for which a message may stay in the read-ahead; with the time of its return, less than 20. */
export const maxIdleTime = 15;

/** Milliseconds of getting that are read ahead. */
const timeAhead = 10;

/**
 * The number of messages that are read ahead: as many as this process gets within 10 ms, so that few are unused
 * when it stops. It starts with 0, and at most doubles each time.
 */
export class ReadAheadSize {
  #served = 0;
  #since = 0;
  /** The moving average of a message's bytes. */
  #averageBytes = 0;
  readonly #maxMessages: number;
  readonly #maxBytes: number;

  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
  }

  /** Counts a message that was handed over. */
  count(bytes: number): void {
    this.#served++;
    this.#averageBytes += (bytes - this.#averageBytes) / 8;
  }

  /** Returns about how many messages have a number of bytes; at least 1. */
  fitting(bytes: number): number {
    return Math.max(1, Math.floor(bytes / (this.#averageBytes + 1)));
  }

  /**
   * Returns the number of messages to read ahead now.
   *
   * @param waited milliseconds since the last call in which nothing could be handed over, since it was under way
   */
  next(waited = 0): number {
    const now = performance.now();
    const elapsed = Math.max(now - this.#since - waited, 0);
    const served = this.#served;
    this.#since = now;
    this.#served = 0;
    if (served === 0 || elapsed > maxIdleTime * 2) return 0;
    const rate = served / Math.max(elapsed, 0.01);
    return Math.floor(
      Math.min(
        2 * served,
        rate * timeAhead,
        this.#maxMessages,
        this.#maxBytes / (this.#averageBytes + 1),
      ),
    );
  }
}
