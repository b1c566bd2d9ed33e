import { errorOfAction } from "../shared/error_copies.ts";
import { ChannelError } from "../shared/errors.ts";
import { captureStack } from "../shared/stacks.ts";
import { now, Timer } from "../shared/timers.ts";
import { abortSignal, milliseconds, type Rules } from "../shared/options.ts";
import { afterTurn, inTurn, mayGoOn } from "../shared/turns.ts";

/** What every operation that may wait takes. */
export interface OperationOptions {
  /**
   * Milliseconds to wait; absent or `Infinity`: without limit. `0` takes only what can be had at once.
   */
  readonly timeout?: number;
  /** Gives the operation up; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** The rules for {@linkcode OperationOptions}. */
export const waiting: Rules<OperationOptions> = { timeout: milliseconds(), signal: abortSignal };

/** An operation, whatever it resolves with. */
export type Pending = Pick<Operation<unknown>, "action" | "settled" | "giveUp" | "whenSettled">;

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

/** Why an operation has failed. */
export interface Failure {
  readonly reason: unknown;
}

/**
 * One call that may wait. It settles once: by its result, or by what comes first of its timeout, its
 * signal, and the closing of its handle. All timeouts and abort listeners of the library are here.
 *
 * Invariant: nothing of the library is a reaction of `promise`, which is the caller's alone: a rejection that
 * the caller does not handle surfaces as an unhandled rejection. Whatever else has to know that the operation
 * has settled calls `whenSettled`. The promise exists only if it is asked for, so that an operation without a
 * caller rejects nothing.
 */
export class Operation<T> {
  readonly action: string;
  /**
   * Called where the operation is given up, before it rejects: withdraws what it waits for. `isOurs` is false
   * for the reason of a signal, which belongs to the caller and is not modified.
   */
  onGiveUp: ((reason: unknown, isOurs: boolean) => void) | undefined;
  readonly owner: object;
  readonly #pending: Set<Pending>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: (() => void) | undefined;
  readonly #timer: Timer | undefined;
  #promise: Promise<T> | undefined;
  #resolve: ((value: T) => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;
  /** What it resolved with before the promise was asked for. */
  #value: T | undefined;
  #failure: Failure | undefined;
  #listeners: ((failure: Failure | undefined) => void)[] | undefined;
  #settled = false;

  constructor({ action, owner, pending, timedOut }: Call, { timeout, signal }: OperationOptions) {
    this.action = action;
    this.owner = owner;
    this.#pending = pending;
    pending.add(this);
    if (timeout !== undefined && timeout !== Infinity) {
      this.#timer = new Timer(now() + timeout, () => this.giveUp(timedOut()));
    }
    if (signal === undefined) return;
    this.#signal = signal;
    if (signal.aborted) {
      this.giveUp(signal.reason, false);
    } else {
      this.#onAbort = () => this.giveUp(signal.reason, false);
      signal.addEventListener("abort", this.#onAbort);
    }
  }

  /** The caller's. */
  get promise(): Promise<T> {
    if (this.#promise !== undefined) return this.#promise;
    if (!this.#settled) {
      return this.#promise = new Promise((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
      });
    }
    this.#promise = this.#settledPromise();
    this.#value = undefined;
    return this.#promise;
  }

  #settledPromise(): Promise<T> {
    const value = this.#value as T;
    const failure = this.#failure;
    if (mayGoOn()) {
      return failure === undefined ? Promise.resolve(value) : Promise.reject(failure.reason);
    }
    return new Promise((resolve, reject) => {
      if (failure === undefined) afterTurn(resolve, value);
      else afterTurn(reject, failure.reason);
    });
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** Calls `listener` when the operation settles, before any reaction of its promise; at once if it has settled. */
  whenSettled(listener: (failure: Failure | undefined) => void): void {
    if (this.#settled) listener(this.#failure);
    else (this.#listeners ??= []).push(listener);
  }

  resolve(value: T): void {
    if (!this.#settle()) return;
    if (this.#resolve === undefined) this.#value = value;
    else inTurn(this.#resolve, value);
    this.#tell();
  }

  /** @param isOurs false for what the caller's own code has thrown */
  reject(reason: unknown, isOurs = true): void {
    if (this.#settle()) this.#failFor(reason, isOurs);
  }

  /** @param isOurs false for a reason that belongs to the caller */
  giveUp(reason: unknown, isOurs = true): void {
    if (!this.#settle()) return;
    this.onGiveUp?.(reason, isOurs);
    this.#failFor(reason, isOurs);
  }

  /** Completes what the operation rejects with. */
  protected dress(reason: unknown): unknown {
    return reason;
  }

  /** Rejects with an error of others, which is given the caller's stack. */
  rejectAtCaller(error: Error): void {
    if (this.#settle()) this.#fail(error, true);
  }

  /** What is the caller's own is rejected with as it is. */
  #failFor(reason: unknown, isOurs: boolean): void {
    if (!isOurs) return this.#fail(reason, false);
    const error = this.dress(errorOfAction(this.action, reason));
    this.#fail(error, error instanceof ChannelError);
  }

  /** @param isAtCaller whether the error gets the caller's stack: the call was over when the error was made */
  #fail(reason: unknown, isAtCaller: boolean): void {
    this.#failure = { reason };
    if (this.#reject !== undefined) {
      const resolve = this.#resolve as (value: unknown) => void;
      if (isAtCaller) inTurn((error) => resolve(atCaller(error)), reason as Error);
      else inTurn(this.#reject, reason);
    }
    this.#tell();
  }

  #tell(): void {
    const listeners = this.#listeners;
    if (listeners === undefined) return;
    this.#listeners = undefined;
    for (const listener of listeners) listener(this.#failure);
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#pending.delete(this);
    this.#timer?.stop();
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
    return true;
  }
}

/**
 * Rejects with an error whose stack is that of who awaits. An engine finds that out by itself, and only where an
 * error is made in an asynchronous function that somebody awaits: V8 follows the promises from one to the next
 * (https://v8.dev/docs/stack-trace-api#async-stack-traces). So it costs nothing where nothing fails.
 */
async function atCaller(error: Error): Promise<never> {
  await undefined; // the promise of the operation becomes this one's in the next microtask
  await undefined;
  captureStack(error);
  throw error;
}

/** The promise of an operation; what it cannot begin for is rejected, as all that goes wrong with an operation is. */
export function begun<T>(begin: () => Operation<T>): Promise<T> {
  try {
    return begin().promise;
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Resolves when all of these have settled, in whichever way. */
export async function allSettled(operations: readonly Pending[]): Promise<void> {
  await Promise.all(
    operations.map((each) => new Promise<void>((resolve) => each.whenSettled(() => resolve()))),
  );
}

/** Whether an operation that could not begin rejects with its signal's reason, which is the caller's. */
export function isAbort(error: unknown, { signal }: OperationOptions): boolean {
  return signal?.aborted === true && signal.reason === error;
}
