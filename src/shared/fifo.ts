/**
 * A first-in-first-out queue of distinct elements that can leave from anywhere, as waiters that give
 * up do. Every operation takes constant time, amortized: a Set keeps the order of insertion, and an
 * iterator that stays alive remembers where its oldest element is, past those that have left.
 *
 * An engine keeps every table that a Set has had since an iterator was last advanced, with what was in it. So an
 * iterator is kept no longer than `size` removals without an advance: what the queue holds is bounded by its size.
 */
export class Fifo<T extends object> {
  readonly #elements = new Set<T>();
  #iterator: Iterator<T> | undefined;
  /** The oldest element, where the iterator has been advanced to it. */
  #oldest: T | undefined;
  /** How many have been removed since the iterator was advanced. */
  #removed = 0;

  get size(): number {
    return this.#elements.size;
  }

  push(element: T): void {
    this.#elements.add(element);
  }

  shift(): T | undefined {
    const oldest = this.peek();
    if (oldest === undefined) return undefined;
    this.#oldest = undefined;
    this.#elements.delete(oldest);
    return oldest;
  }

  /** The element that is next. */
  peek(): T | undefined {
    if (this.#elements.size === 0) return undefined;
    if (this.#oldest !== undefined) return this.#oldest;
    this.#removed = 0;
    this.#iterator ??= this.#elements.values();
    let next = this.#iterator.next();
    if (next.done) { // it ended when the queue was empty, and an ended iterator stays so
      this.#iterator = this.#elements.values();
      next = this.#iterator.next() as IteratorYieldResult<T>;
    }
    return this.#oldest = next.value;
  }

  get all(): T[] {
    return [...this.#elements];
  }

  takeAll(): T[] {
    const all = [...this.#elements];
    this.#elements.clear();
    this.#forget();
    return all;
  }

  /** Whether `element` was in the queue, and is no longer. */
  remove(element: T): boolean {
    if (!this.#elements.delete(element)) return false;
    if (element === this.#oldest) this.#oldest = undefined;
    if (++this.#removed > this.#elements.size) this.#forget();
    return true;
  }

  /** The next iterator begins at the oldest element. */
  #forget(): void {
    this.#iterator = undefined;
    this.#oldest = undefined;
    this.#removed = 0;
  }
}
