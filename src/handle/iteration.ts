// Invariants: every pending call of `next` has an operation of its own, in the order of the calls. Once the program has
// left the iteration, no operation is pending, and every call of `next` resolves as done.

import { ChannelClosedError } from "../shared/errors.ts";
import type { Operation } from "./operation.ts";

/** The reason with which the operations of an iteration are given up when the program leaves it. */
export const left: unique symbol = Symbol("the iteration was left");

/** The options of {@linkcode Channel.deliveries}. */
export interface DeliveriesOptions {
  /** Ends the iteration, which rejects with the signal's reason. Deliveries that it has yielded are not released. */
  readonly signal?: AbortSignal;
}

/** An iteration over the results of operations, one for each call of `next`. It ends when the channel is closed. */
export class Iteration<T> implements AsyncIterableIterator<T> {
  readonly #begin: () => Operation<T>;
  readonly #onLeft: (() => void) | undefined;
  readonly #pending = new Set<Operation<T>>();
  #isLeft = false;

  /**
   * @param begin begins the next operation, or throws the reason why it cannot begin
   * @param onLeft called when the program leaves the iteration, by `break`, `return` or `throw` in a loop
   */
  constructor(begin: () => Operation<T>, onLeft?: () => void) {
    this.#begin = begin;
    this.#onLeft = onLeft;
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#isLeft) return Promise.resolve(end);
    let operation: Operation<T>;
    try {
      operation = this.#begin();
    } catch (error) {
      return error instanceof ChannelClosedError ? Promise.resolve(end) : Promise.reject(error);
    }
    if (!operation.settled) {
      this.#pending.add(operation);
      operation.whenSettled(() => this.#pending.delete(operation));
    }
    return operation.promise.then(yielded<T>, ended);
  }

  return(value?: unknown): Promise<IteratorResult<T>> {
    this.#leave();
    return Promise.resolve({ value, done: true });
  }

  throw(error?: unknown): Promise<IteratorResult<T>> {
    this.#leave();
    return Promise.reject(error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #leave(): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    for (const operation of this.#pending) operation.giveUp(left);
    this.#onLeft?.();
  }
}

function yielded<T>(value: T): IteratorYieldResult<T> {
  return { value, done: false };
}

function ended(error: unknown): IteratorReturnResult<undefined> {
  if (error === left || error instanceof ChannelClosedError) return end;
  throw error;
}

const end: IteratorReturnResult<undefined> = { value: undefined, done: true };
