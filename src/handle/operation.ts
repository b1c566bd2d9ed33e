import { addAbortListener, removeAbortListener } from "./abort_listeners.ts";
import { errorOfAction } from "../shared/error_copies.ts";
import { current } from "../shared/instrumentation.ts";
import { ChannelError } from "../shared/errors.ts";
import { captureStack } from "../shared/stacks.ts";
import { now, Timer } from "../shared/timers.ts";
import { abortSignal, milliseconds, type Rules } from "../shared/options.ts";
import { afterTurn, inTurn, maySettle } from "../shared/turns.ts";

/** The options of every operation that may wait. */
export interface OperationOptions {
  /** Milliseconds to wait; without it, or with `Infinity`, there is no limit. With `0` the operation does not wait. */
  readonly timeout?: number;
  /** Aborts the operation, which rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** The rules for {@linkcode OperationOptions}. */
export const waiting: Rules<OperationOptions> = { timeout: milliseconds(), signal: abortSignal };

/** An operation, whatever its result. */
export type Pending = Pick<Operation<unknown>, "action" | "settled" | "giveUp" | "whenSettled">;

/** The call of a public function that an operation carries out. */
export interface Call {
  /** The name of the function, for errors. */
  readonly action: string;
  /** An object that is not garbage collected before the operation has settled. */
  readonly owner: object;
  /** The set that contains the operation until it has settled. */
  readonly pending: Set<Pending>;
  /** Returns the error for a timeout. */
  readonly timedOut: () => unknown;
}

/** The reason why an operation has failed; an object, because the reason may be undefined. */
export interface OperationFailure {
  readonly reason: unknown;
}

/**
 * An operation that may wait. It settles once: with its result, by its timeout, by its signal, or when its handle is
 * closed. The timeouts and abort listeners of all operations are here.
 *
 * Invariant: the library adds no reaction to `promise`, so that a rejection which the caller does not handle is an
 * unhandled rejection. Library code uses `whenSettled` instead. The promise is created when it is first read, so
 * that an operation without a caller rejects no promise.
 */
export class Operation<T> {
  readonly action: string;
  /**
   * Called when the operation is given up, before it rejects, to withdraw the claim or offer that it waits for.
   * `isOurs` is false for the reason of a signal: that belongs to the caller and is not modified.
   */
  onGiveUp: ((reason: unknown, isOurs: boolean) => void) | undefined;
  readonly owner: object;
  readonly signal: AbortSignal | undefined;
  readonly #pending: Set<Pending>;
  readonly #onAbort: (() => void) | undefined;
  #timer: Timer | undefined;
  #promise: Promise<T> | undefined;
  #resolve: ((value: T) => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;
  /** The result, if the operation resolved before `promise` was read. */
  #value: T | undefined;
  #failure: OperationFailure | undefined;
  #listeners: ((failure: OperationFailure | undefined) => void)[] | undefined;
  #settled = false;

  constructor({ action, owner, pending, timedOut }: Call, { timeout, signal }: OperationOptions) {
    this.action = action;
    this.owner = owner;
    this.#pending = pending;
    pending.add(this);
    current?.begin(this);
    if (timeout !== undefined && timeout !== Infinity) {
      this.#timer = new Timer(now() + timeout, () => this.giveUp(timedOut()));
    }
    if (signal === undefined) return;
    this.signal = signal;
    if (signal.aborted) {
      this.giveUp(signal.reason, false);
    } else {
      this.#onAbort = () => this.giveUp(signal.reason, false);
      addAbortListener(signal, this.#onAbort);
    }
  }

  /** The promise for the caller. */
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
    if (maySettle()) {
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

  /** Calls `listener` when the operation settles, before the reactions of its promise; at once if it has settled. */
  whenSettled(listener: (failure: OperationFailure | undefined) => void): void {
    if (this.#settled) listener(this.#failure);
    else (this.#listeners ??= []).push(listener);
  }

  /**
   * Gives the operation up after `ms` milliseconds without an answer. What has arrived while the process was busy is
   * read first.
   */
  limit(ms: number, unanswered: () => unknown): void {
    if (this.#settled) return;
    this.#timer = new Timer(now() + ms, () => this.giveUp(unanswered()), { readsFirst: true });
  }

  resolve(value: T): void {
    if (!this.#settle()) return;
    if (this.#resolve === undefined) this.#value = value;
    else inTurn(this.#resolve, value);
    this.#tell();
  }

  /** @param isOurs false for an error that the caller's code has thrown */
  reject(reason: unknown, isOurs = true): void {
    if (this.#settle()) this.#failFor(reason, isOurs);
  }

  /** @param isOurs false for a reason that belongs to the caller */
  giveUp(reason: unknown, isOurs = true): void {
    if (!this.#settle()) return;
    this.onGiveUp?.(reason, isOurs);
    this.#failFor(reason, isOurs);
  }

  /** Completes the error that the operation rejects with. */
  protected dress(reason: unknown): unknown {
    return reason;
  }

  /** Rejects with an error from elsewhere, and gives it the caller's stack. */
  rejectAtCaller(error: Error): void {
    if (this.#settle()) this.#fail(error, true);
  }

  /** Rejects with an error that is completed and names the action; a reason of the caller is passed unchanged. */
  #failFor(reason: unknown, isOurs: boolean): void {
    if (!isOurs) return this.#fail(reason, false);
    const error = this.dress(errorOfAction(this.action, reason));
    this.#fail(error, error instanceof ChannelError);
  }

  /** @param isAtCaller whether the error gets the caller's stack, because it was created after the call had returned */
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
    if (this.#onAbort !== undefined) removeAbortListener(this.signal!, this.#onAbort);
    return true;
  }
}

/**
 * Rejects with the error, whose stack becomes that of the awaiting caller. V8 finds the caller by following promises, and
 * only for an error that is captured inside an awaited async function
 * (https://v8.dev/docs/stack-trace-api#async-stack-traces). Operations that succeed pay nothing for this.
 */
async function atCaller(error: Error): Promise<never> {
  await undefined; // one microtask later, the operation's promise follows this one
  await undefined;
  captureStack(error);
  throw error;
}

/** Returns the promise of an operation. If the operation cannot begin, the promise rejects. */
export function begun<T>(begin: () => Operation<T>): Promise<T> {
  try {
    return begin().promise;
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Resolves when all operations have settled. */
export async function allSettled(operations: readonly Pending[]): Promise<void> {
  await Promise.all(
    operations.map((each) => new Promise<void>((resolve) => each.whenSettled(() => resolve()))),
  );
}

/** Reports whether an error is the reason of the aborted signal in the options. */
export function isAbort(error: unknown, { signal }: OperationOptions): boolean {
  return signal?.aborted === true && signal.reason === error;
}
