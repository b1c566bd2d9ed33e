/** A socket or timer that can keep the process alive, as Node.js has them. */
export interface Refable {
  ref(): unknown;
  unref(): unknown;
}

/**
 * Keeps the process alive while operations are pending. It does so by the one object that stands for the connection at
 * that time: a socket, or the timer between two attempts to connect.
 */
export class ProcessRef {
  #count = 0;
  #target: Refable | undefined;

  get isHeld(): boolean {
    return this.#count > 0;
  }

  /** Keeps the process alive until `unref` was called as often as `ref`. */
  ref(): void {
    if (this.#count++ === 0) this.#target?.ref();
  }

  unref(): void {
    if (--this.#count === 0) this.#target?.unref();
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

  /** Sets the object that keeps the process alive from now on. */
  use(target: Refable): void {
    this.#target = target;
    if (this.isHeld) target.ref();
    else target.unref();
  }
}
