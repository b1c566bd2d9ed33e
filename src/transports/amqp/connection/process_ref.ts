/** Something that keeps the process alive, such as a socket or a timer. */
export interface Refable {
  ref(): unknown;
  unref(): unknown;
}

/**
 * Keeps the process alive while operations are pending, by whatever the connection is at the moment: a
 * socket, or a timer between two attempts.
 */
export class ProcessRef {
  #holds = 0;
  #target: Refable | undefined;

  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /** Keeps the process alive until as many calls of `unhold` have come. */
  ref(): void {
    if (this.#holds++ === 0) this.#target?.ref();
  }

  unref(): void {
    if (--this.#holds === 0) this.#target?.unref();
  }

  /** Keeps the process alive while `work` is pending. */
  async refWhile<T>(work: Promise<T>): Promise<T> {
    this.ref();
    try {
      return await work;
    } finally {
      this.unref();
    }
  }

  /** From now on it is by `target`. */
  use(target: Refable): void {
    this.#target = target;
    if (this.isHeld) target.ref();
    else target.unref();
  }
}
