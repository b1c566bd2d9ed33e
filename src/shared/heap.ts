/** An element of a heap. It can be in one heap at a time. */
export interface Placed {
  /** Its index in the heap; -1 while it is in none. Only the heap writes it. */
  place: number;
}

/**
 * A priority queue from which any element can be removed: a binary heap (Williams, "Algorithm 232: Heapsort", 1964)
 * whose elements know their places. Every operation takes O(log n) steps.
 */
export class Heap<T extends Placed> {
  readonly #elements: T[] = [];
  readonly #precedes: (a: T, b: T) => boolean;

  /** @param precedes reports whether `a` leaves before `b`: a strict order, which is total if ties matter */
  constructor(precedes: (a: T, b: T) => boolean) {
    this.#precedes = precedes;
  }

  get size(): number {
    return this.#elements.length;
  }

  /** Returns the element that leaves next. */
  peek(): T | undefined {
    return this.#elements[0];
  }

  push(element: T): void {
    this.#elements.push(element);
    this.#rise(element, this.#elements.length - 1);
  }

  shift(): T | undefined {
    const first = this.#elements[0];
    if (first !== undefined) this.#removeAt(0);
    return first;
  }

  /** Removes an element, and reports whether it was in the heap. */
  remove(element: T): boolean {
    if (this.#elements[element.place] !== element) return false;
    this.#removeAt(element.place);
    return true;
  }

  clear(): void {
    for (const element of this.#elements) element.place = -1;
    this.#elements.length = 0;
  }

  #removeAt(place: number): void {
    this.#elements[place]!.place = -1;
    const last = this.#elements.pop()!;
    if (place === this.#elements.length) return;
    this.#rise(last, place);
    if (last.place === place) this.#sink(last, place);
  }

  /** Stores an element at a place or above it. */
  #rise(element: T, place: number): void {
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#elements[above]!;
      if (!this.#precedes(element, parent)) break;
      this.#set(parent, place);
      place = above;
    }
    this.#set(element, place);
  }

  /** Stores an element at a place or below it. */
  #sink(element: T, place: number): void {
    const { length } = this.#elements;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= length) break;
      let child = this.#elements[below]!;
      const other = this.#elements[below + 1];
      if (other !== undefined && this.#precedes(other, child)) {
        child = other;
        below++;
      }
      if (!this.#precedes(child, element)) break;
      this.#set(child, place);
      place = below;
    }
    this.#set(element, place);
  }

  #set(element: T, place: number): void {
    this.#elements[place] = element;
    element.place = place;
  }
}
