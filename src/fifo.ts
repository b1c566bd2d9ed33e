/**
 * A first-in-first-out queue of distinct elements that can leave from anywhere, as waiters that give
 * up do. Every operation takes constant time, amortized: a Set keeps the order of insertion, and an
 * iterator that stays alive remembers where its oldest element is, past those that have left.
 */
export class Fifo<T extends object> {
  readonly #elements = new Set<T>();
  #oldest: Iterator<T> = this.#elements.values();

  get size(): number {
    return this.#elements.size;
  }

  push(element: T): void {
    this.#elements.add(element);
  }

  shift(): T | undefined {
    if (this.#elements.size === 0) return undefined;
    let next = this.#oldest.next();
    if (next.done) { // it ended when the queue was empty, and an ended iterator stays so
      this.#oldest = this.#elements.values();
      next = this.#oldest.next() as IteratorYieldResult<T>;
    }
    this.#elements.delete(next.value);
    return next.value;
  }

  /** The element that is next, in linear time at worst: for rare cases. */
  peek(): T | undefined {
    for (const element of this.#elements) return element;
  }

  get all(): T[] {
    return [...this.#elements];
  }

  takeAll(): T[] {
    const all = [...this.#elements];
    this.#elements.clear();
    return all;
  }

  /** Whether `element` was in the queue, and is no longer. */
  remove(element: T): boolean {
    return this.#elements.delete(element);
  }
}
