/** What can be in a heap: in one at a time. */
export interface Placed {
  /** Where it is in its heap; -1 while it is in none. Only the heap writes it. */
  place: number;
}

/**
 * A priority queue whose elements can leave from anywhere: a binary heap (Williams, "Algorithm 232:
 * Heapsort", 1964), in which each element knows its place. Every operation takes O(log n) steps.
 */
export class Heap<T extends Placed> {
  readonly #elements: T[] = [];
  readonly #precedes: (a: T, b: T) => boolean;

  /** @param precedes whether `a` leaves before `b`: a strict order, and a total one where ties matter */
  constructor(precedes: (a: T, b: T) => boolean) {
    this.#precedes = precedes;
  }

  get size(): number {
    return this.#elements.length;
  }

  /** The element that is next. */
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

  /** Whether `element` was in the heap, and is no longer. */
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

  /** Puts `element` at `place`, or above. */
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

  /** Puts `element` at `place`, or below. */
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
