// Garbage collection as a program sees it. Some runtimes do not show it, among them Cloudflare Workers with a
// compatibility date before May 2025. There, references are strong and nothing is ever reported as collected.

/** A reference that does not keep its target alive, where the runtime has such references. */
export interface WeakReference<T extends object> {
  /** Returns the target; undefined if it was collected. */
  deref(): T | undefined;
}

/** Returns a weak reference to an object. */
export function weakReference<T extends object>(target: T): WeakReference<T> {
  return typeof WeakRef === "undefined" ? { deref: () => target } : new WeakRef(target);
}

/** Returns a registry that calls a function for objects that were collected; undefined where there is none. */
export function finalizer<Held>(
  collected: (held: Held) => void,
): FinalizationRegistry<Held> | undefined {
  return typeof FinalizationRegistry === "undefined"
    ? undefined
    : new FinalizationRegistry(collected);
}
