/**
 * A first-in-first-out queue of distinct elements. An element can also be removed from the middle, as a waiter that
 * gives up is.
 *
 * Every operation takes constant time, amortized. A Set keeps the order of insertion, and an iterator that stays alive
 * remembers where the oldest element is, so that removed elements are not passed again. An engine keeps every table
 * that a Set has had since its iterator was last advanced, with all elements. The iterator is therefore dropped after
 * `size` removals without an advance, so that the memory is bounded by the size.
 */
export class Fifo<T extends object> {
  readonly #elements = new Set<T>();
  #iterator: Iterator<T> | undefined;
  /** The oldest element, if the iterator has been advanced to it. */
  #oldest: T | undefined;
  /** The number of removals since the iterator was advanced. */
  #removed = 0;

  get size(): number {
    return this.#elements.size;
  }

  push(element: T): void {
    this.#elements.add(element);
  }

  has(element: T): boolean {
    return this.#elements.has(element);
  }

  shift(): T | undefined {
    const oldest = this.peek();
    if (oldest === undefined) return undefined;
    this.#oldest = undefined;
    this.#elements.delete(oldest);
    return oldest;
  }

  /** Returns the oldest element. */
  peek(): T | undefined {
    if (this.#elements.size === 0) return undefined;
    if (this.#oldest !== undefined) return this.#oldest;
    this.#removed = 0;
    this.#iterator ??= this.#elements.values();
    let next = this.#iterator.next();
    if (next.done) { // the iterator ended when the queue was empty, and stays ended
      this.#iterator = this.#elements.values();
      next = this.#iterator.next() as IteratorYieldResult<T>;
    }
    return this.#oldest = next.value;
  }

  /** The elements, the oldest first. */
  get all(): T[] {
    return [...this.#elements];
  }

  /** Removes and returns all elements. */
  takeAll(): T[] {
    const all = [...this.#elements];
    this.#elements.clear();
    this.#dropIterator();
    return all;
  }

  /** Removes an element, and reports whether it was in the queue. */
  remove(element: T): boolean {
    if (!this.#elements.delete(element)) return false;
    if (element === this.#oldest) this.#oldest = undefined;
    if (++this.#removed > this.#elements.size) this.#dropIterator();
    return true;
  }

  /** Drops the iterator: the next one begins at the oldest element. */
  #dropIterator(): void {
    this.#iterator = undefined;
    this.#oldest = undefined;
    this.#removed = 0;
  }
}
