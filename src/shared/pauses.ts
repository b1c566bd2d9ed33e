import { unref } from "./timers.ts";

// Not setTimeout of node:timers/promises, which a browser lacks; the transports that need Node's modules use that.

/** Resolves after `ms` milliseconds. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Pauses that can be ended early, all together. */
export class Pauses {
  readonly #ends = new Set<() => void>();

  /**
   * Resolves after `ms` milliseconds, or when the pauses are ended.
   *
   * @param keepsAlive whether the process stays alive meanwhile
   */
  begin(ms: number, keepsAlive: boolean): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#ends.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      if (!keepsAlive) unref(timer);
      this.#ends.add(end);
    });
  }

  /** Ends the pauses that have begun. */
  end(): void {
    for (const end of this.#ends) end();
  }
}
