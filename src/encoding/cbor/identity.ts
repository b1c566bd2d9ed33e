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

/** What is written more than once. */
export interface Shared {
  /** What a reference calls an object, by its number. */
  readonly indexes: ReadonlyMap<number, number>;
  /** Where objects are, by their numbers. */
  readonly positions: ReadonlyMap<number, number>;
  readonly references: readonly { readonly at: number; readonly index: number }[];
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
  readonly #isShared = new Set<number>();

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

  /** Has an object shared that is written at `at` first, wherever it was met. Answers its number. */
  share(object: object, at: number): number {
    const met = this.#find(object);
    const number = met < 0 ? this.#count++ : met;
    this.#positions[number] = at;
    this.#isShared.add(number);
    return number;
  }

  #find(object: object): number {
    if (this.#all === undefined) return this.#first.indexOf(object);
    return this.#all.has(object) ? this.#numberOf(object, this.#all) : -1;
  }

  /** What is shared, in the order of the message: its number, which is its place in the list for references. */
  shared(): Shared {
    const numbers = new Set(this.#repeats.map(({ object }) => object));
    for (const number of this.#isShared) numbers.add(number);
    const positions = this.#positions;
    // Where two are at one place, the later number is inside of the earlier.
    const sorted = [...numbers].sort((a, b) => positions[a]! - positions[b]! || a - b);
    const indexes = new Map(sorted.map((number, index) => [number, index]));
    return {
      indexes,
      positions: new Map(sorted.map((number) => [number, positions[number]!])),
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
    if (this.#isShared.size > 0) this.#isShared.clear();
  }
}
