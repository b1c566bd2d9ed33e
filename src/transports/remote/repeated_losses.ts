/**
 * Counts the connections that are lost during one operation. The operation may be what ends them, for example because a proxy
 * refuses its message, so it is not repeated for ever.
 */
export class RepeatedLosses {
  #count = 0;
  #since = 0;

  /** A connection is lost. Reports whether the operation ends: after many losses, and `retryTimeout` ms after the first one. */
  add(retryTimeout: number): boolean {
    const now = performance.now();
    if (this.#count++ === 0) this.#since = now;
    return this.#count >= most && now - this.#since >= retryTimeout;
  }
}

/** After so many losses, the pauses before the next connection have grown to a second. */
const most = 10;
