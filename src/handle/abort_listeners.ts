/** What is called when a signal is aborted, by signals. */
const listeners = new WeakMap<AbortSignal, Listeners>();

/** Those of one signal, in their order, and the one listener that the signal has of them. */
interface Listeners {
  readonly all: Set<() => void>;
  readonly onAbort: () => void;
}

/**
 * Calls `listener` when a signal is aborted. All of one signal share a listener, because a runtime searches the listeners of a signal
 * one by one: a program may give one signal to thousands of operations.
 */
export function addAbortListener(signal: AbortSignal, listener: () => void): void {
  let found = listeners.get(signal);
  if (found === undefined) {
    const all = new Set<() => void>();
    const onAbort = () => {
      signal.removeEventListener("abort", onAbort);
      for (const each of all) each(); // not those that are removed meanwhile
      listeners.delete(signal);
    };
    listeners.set(signal, found = { all, onAbort });
    signal.addEventListener("abort", onAbort);
  }
  found.all.add(listener);
}

export function removeAbortListener(signal: AbortSignal, listener: () => void): void {
  const found = listeners.get(signal);
  if (found === undefined || !found.all.delete(listener) || found.all.size > 0) return;
  listeners.delete(signal);
  signal.removeEventListener("abort", found.onAbort);
}
