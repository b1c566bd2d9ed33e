/** Something that keeps the process alive, such as a socket or a timer. */
export interface Tether {
  ref(): unknown;
  unref(): unknown;
}

/**
 * Keeps the process alive while operations are pending, by whatever the connection is at the moment: a
 * socket, or a timer between two attempts.
 */
export class Lifeline {
  #holds = 0;
  #tether: Tether | undefined;

  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /** Keeps the process alive until as many calls of `unhold` have come. */
  hold(): void {
    if (this.#holds++ === 0) this.#tether?.ref();
  }

  unhold(): void {
    if (--this.#holds === 0) this.#tether?.unref();
  }

  /** Keeps the process alive while `work` is pending. */
  async holding<T>(work: Promise<T>): Promise<T> {
    this.hold();
    try {
      return await work;
    } finally {
      this.unhold();
    }
  }

  /** From now on it is by `tether`. */
  tie(tether: Tether): void {
    this.#tether = tether;
    if (this.isHeld) tether.ref();
    else tether.unref();
  }
}
