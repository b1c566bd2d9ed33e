/** This many objects are found by a linear scan, which costs less than a Map's first entry. */
const SCANNED = 16;

/** The list of positions is kept from value to value up to this size. */
const LARGEST_KEPT_LIST = 4096;

const NONE = {};

/** A place where an object is written that was met before. */
interface Repeat {
  readonly at: number;
  readonly object: number;
}

/**
 * The objects of a value, numbered in the order in which they are met, and where each is written. It tells
 * what is shared or cyclic; where nothing is, it costs no more than a note for each object.
 */
export class Identity {
  /** How many objects were met. */
  #count = 0;
  /** The first of them; what lies behind belongs to no value. */
  readonly #first: object[] = new Array(SCANNED).fill(NONE);
  /** All of them, once they are more: in their order, which is all that a tree needs; and, once one is met again, numbered. */
  #all: Set<object> | undefined;
  #numbers: Map<object, number> | undefined;
  #positions: number[] = [];
  #repeats: Repeat[] = [];

  /** Whether an object was met more than once. */
  get hasRepeats(): boolean {
    return this.#repeats.length > 0;
  }

  /** Answers the number of an object that was met before. Else notes that it is written at `at`, and answers -1. */
  meet(object: object, at: number): number {
    const count = this.#count;
    if (count >= SCANNED) return this.#meetAnother(object, at);
    const first = this.#first;
    for (let i = 0; i < count; i++) if (first[i] === object) return i;
    first[count] = object;
    this.#positions[count] = at;
    this.#count = count + 1;
    return -1;
  }

  #meetAnother(object: object, at: number): number {
    const all = this.#all ??= new Set(this.#first);
    if (all.add(object).size === this.#count) return this.#numberOf(object, all);
    this.#numbers?.set(object, this.#count);
    this.#positions[this.#count++] = at;
    return -1;
  }

  #numberOf(object: object, all: Set<object>): number {
    this.#numbers ??= new Map([...all].map((object, number) => [object, number]));
    return this.#numbers.get(object)!;
  }

  /** Notes that a reference to the object of this number ends at `at`. */
  repeat(object: number, at: number): void {
    this.#repeats.push({ at, object });
  }

  /** The places of the objects that were met more than once, in the order of the message. */
  shared(): { readonly positions: number[]; readonly references: { at: number; index: number }[] } {
    const objects = [...new Set(this.#repeats.map(({ object }) => object))].sort((a, b) => a - b);
    const indexes = new Map(objects.map((object, index) => [object, index]));
    return {
      positions: objects.map((object) => this.#positions[object]!),
      references: this.#repeats.map(({ at, object }) => ({ at, index: indexes.get(object)! })),
    };
  }

  /** Forgets all. */
  clear(): void {
    for (let i = Math.min(this.#count, SCANNED) - 1; i >= 0; i--) this.#first[i] = NONE;
    this.#count = 0;
    if (this.#all !== undefined) this.#all = this.#numbers = undefined;
    if (this.#positions.length > LARGEST_KEPT_LIST) this.#positions = [];
    if (this.#repeats.length > 0) this.#repeats = [];
  }
}
