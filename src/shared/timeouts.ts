import { setOptionalTimeout } from "./timers.ts";

/** Milliseconds for which an unreachable broker is retried, by default. */
export const defaultRetryTimeout = 10_000;

/** Milliseconds for which closing waits for a broker, in all its steps together. */
export const closeTimeout = 1000;

/** Milliseconds for which an operation that does not wait for a value waits for its broker. */
export const reachTimeout = 3000;

/** Resolves with the result of `work`, or with undefined after `ms` milliseconds. */
export function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setOptionalTimeout(() => resolve(undefined), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
