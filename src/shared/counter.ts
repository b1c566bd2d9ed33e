/**
 * Counts operations in progress. One function at a time may wait on it. Promise.race would leave a reaction in a
 * promise at each call.
 */
export class Counter {
  #count = 0;
  #onLess = () => {};
  #isStopped = false;

  add(): void {
    this.#count++;
  }

  done(): void {
    this.#count--;
    this.#onLess();
  }

  /** Ends every wait, now and later. */
  stop(): void {
    this.#isStopped = true;
    this.#onLess();
  }

  /** Resolves when the count is below `limit`. */
  async below(limit: number): Promise<void> {
    while (this.#count >= limit && !this.#isStopped) {
      await new Promise<void>((resolve) => this.#onLess = resolve);
    }
  }
}
