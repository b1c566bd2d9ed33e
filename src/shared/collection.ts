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

/** Calls a function for objects that were collected. Nothing happens before the first object is registered. */
export class Finalizer<Held> {
  readonly #collected: (held: Held) => void;
  #registry: FinalizationRegistry<Held> | undefined;

  /** @param collected called with what was registered for the object */
  constructor(collected: (held: Held) => void) {
    this.#collected = collected;
  }

  /** @param token a key for {@linkcode Finalizer.unregister} */
  register(target: object, held: Held, token?: object): void {
    if (typeof FinalizationRegistry === "undefined") return;
    this.#registry ??= new FinalizationRegistry(this.#collected);
    this.#registry.register(target, held, token);
  }

  unregister(token: object): void {
    this.#registry?.unregister(token);
  }
}
