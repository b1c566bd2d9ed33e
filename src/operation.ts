import { Alarm } from "./timers.ts";

/** What every operation that may wait takes. */
export interface OperationOptions {
  /**
   * Milliseconds to wait; absent or `Infinity`: without limit. `0` takes only what can be had at once.
   */
  readonly timeout?: number;
  /** Gives the operation up; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** An operation, whatever it resolves with. */
export type Pending = Pick<Operation<unknown>, "action" | "promise" | "settled" | "giveUp">;

/** Whose call an operation is. */
export interface Call {
  /** What is done, for errors. */
  readonly action: string;
  /** What is not collected before the operation has settled. */
  readonly owner: object;
  /** Where the operation is listed while it waits. */
  readonly pending: Set<Pending>;
  /** Makes the error for a timeout. */
  readonly timedOut: () => unknown;
}

/**
 * One call that may wait. It settles once: by its result, or by what comes first of its timeout, its
 * signal, and the closing of its handle. All timeouts and abort listeners of the library are here.
 */
export class Operation<T> {
  readonly promise: Promise<T>;
  readonly action: string;
  /** Called where the operation is given up, before it rejects: withdraws what it waits for. */
  onGiveUp: ((reason: unknown) => void) | undefined;
  readonly owner: object;
  readonly #pending: Set<Pending>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: (() => void) | undefined;
  #resolve!: (value: T) => void;
  #reject!: (reason: unknown) => void;
  readonly #alarm: Alarm | undefined;
  #settled = false;

  constructor({ action, owner, pending, timedOut }: Call, { timeout, signal }: OperationOptions) {
    this.action = action;
    this.owner = owner;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#pending = pending;
    pending.add(this);
    if (timeout !== undefined && timeout !== Infinity) {
      this.#alarm = new Alarm(performance.now() + timeout, () => this.giveUp(timedOut()));
    }
    if (signal === undefined) return;
    this.#signal = signal;
    if (signal.aborted) {
      this.giveUp(signal.reason);
    } else {
      this.#onAbort = () => this.giveUp(signal.reason);
      signal.addEventListener("abort", this.#onAbort);
    }
  }

  get settled(): boolean {
    return this.#settled;
  }

  resolve(value: T): void {
    if (this.#settle()) this.#resolve(value);
  }

  reject(reason: unknown): void {
    if (this.#settle()) this.#reject(this.dress(reason));
  }

  giveUp(reason: unknown): void {
    if (!this.#settle()) return;
    this.onGiveUp?.(reason);
    this.#reject(this.dress(reason));
  }

  /** Completes what the operation rejects with. */
  protected dress(reason: unknown): unknown {
    return reason;
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#pending.delete(this);
    this.#alarm?.stop();
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
    return true;
  }
}
