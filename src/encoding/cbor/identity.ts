/** The number of objects that are found by a linear scan, which costs less than the first entry of a Map. */
const SCANNED = 16;

/** A list of positions up to this length is reused for the next value. */
const LARGEST_KEPT_LIST = 4096;

const NONE = {};

/** A place where an object is written that the walk has met before. */
interface Repeat {
  readonly at: number;
  readonly object: number;
}

/** The objects of a value that are shared. */
export interface Shared {
  /** The index by which a reference names an object, by the object's number. */
  readonly indexes: ReadonlyMap<number, number>;
  /** The positions of the objects, by their numbers. */
  readonly positions: ReadonlyMap<number, number>;
  readonly references: readonly { readonly at: number; readonly index: number }[];
}

/**
 * The objects of a value, numbered in the order in which the walk meets them, with their positions in the message. It
 * finds shared objects and cycles. For a value without any, it costs one entry for each object.
 */
export class Identity {
  /** The number of objects that were met. */
  #count = 0;
  /** The first of them. Elements beyond `#count` are not in use. */
  readonly #first: object[] = new Array(SCANNED).fill(NONE);
  /**
   * All of them, once there are more: a Set in their order, which is enough for a tree, and a Map with their numbers
   * once one is met again.
   */
  #all: Set<object> | undefined;
  #numbers: Map<object, number> | undefined;
  #positions: number[] = [];
  #repeats: Repeat[] = [];
  readonly #isShared = new Set<number>();

  /** Whether an object was met more than once. */
  get hasRepeats(): boolean {
    return this.#repeats.length > 0;
  }

  /**
   * Returns the number of an object that was met before. Otherwise records that it is written at `at`, and returns -1.
   */
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

  /** Records that a reference to the object of this number ends at `at`. */
  repeat(object: number, at: number): void {
    this.#repeats.push({ at, object });
  }

  /** Makes an object shared that is first written at `at`, even if it was not met. Returns its number. */
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

  /**
   * Returns the shared objects, in the order of the message. A reference names an object by its index in this order.
   */
  shared(): Shared {
    const numbers = new Set(this.#repeats.map(({ object }) => object));
    for (const number of this.#isShared) numbers.add(number);
    const positions = this.#positions;
    // Of two objects at one position, the later number is inside the earlier.
    const sorted = [...numbers].sort((a, b) => positions[a]! - positions[b]! || a - b);
    const indexes = new Map(sorted.map((number, index) => [number, index]));
    return {
      indexes,
      positions: new Map(sorted.map((number) => [number, positions[number]!])),
      references: this.#repeats.map(({ at, object }) => ({ at, index: indexes.get(object)! })),
    };
  }

  clear(): void {
    for (let i = Math.min(this.#count, SCANNED) - 1; i >= 0; i--) this.#first[i] = NONE;
    this.#count = 0;
    if (this.#all !== undefined) this.#all = this.#numbers = undefined;
    if (this.#positions.length > LARGEST_KEPT_LIST) this.#positions = [];
    if (this.#repeats.length > 0) this.#repeats = [];
    if (this.#isShared.size > 0) this.#isShared.clear();
  }
}
