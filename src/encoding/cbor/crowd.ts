/** So many keys of one Map or Set may be in one place of its table: to look through them for each takes milliseconds. */
const MOST_IN_ONE_PLACE = 512;

/** How many places are told apart, which is fewer than tables of so many keys have. */
const PLACES = 1024;

const double = new Float64Array(1);
const halves = new Uint32Array(double.buffer);

/**
 * Notices numbers that were chosen so that they are all in one place of a Map's or Set's table, where each takes a walk
 * through all the others: of 30,000 that takes V8 four seconds. V8 hashes numbers and BigInts in a way that is the same
 * everywhere, and of a BigInt no more than 64 bits; texts it hashes with a seed.
 */
export class Crowd {
  /** Fewer keys are none. */
  static readonly least: number = 2 * MOST_IN_ONE_PLACE;

  #count = 0;
  #places: Uint32Array | undefined;

  /** Whether this key is one too many in its place. */
  isTooDense(key: unknown): boolean {
    if (typeof key !== "number" && typeof key !== "bigint") return false;
    if (++this.#count <= MOST_IN_ONE_PLACE) return false;
    const places = this.#places ??= new Uint32Array(PLACES);
    const there = ++places[hashOf(key) % PLACES]!;
    return there > MOST_IN_ONE_PLACE + 16 * this.#count / PLACES;
  }
}

/** The hash that V8 has of a number, in its lowest bits. */
export function hashOf(key: number | bigint): number {
  if (typeof key === "number") {
    if (key === (key | 0)) return hashOfInteger(key);
    double[0] = key;
    return hashOfHalves(halves[1]!, halves[0]!);
  }
  const digit = BigInt.asUintN(64, key < 0n ? -key : key);
  return hashOfHalves(Number(digit >> 32n), Number(digit & 0xffffffffn));
}

function hashOfInteger(key: number): number {
  let hash = ~key + (key << 15) | 0;
  hash ^= hash >>> 12;
  hash = hash + (hash << 2) | 0;
  hash ^= hash >>> 4;
  hash = Math.imul(hash, 2057);
  return (hash ^ hash >>> 16) >>> 0;
}

/** The hash of 64 bits; the sums are of two halves and a carry. */
function hashOfHalves(high: number, low: number): number {
  let sum = (~low >>> 0) + (low << 18 >>> 0);
  high = ~high + (high << 18 | low >>> 14) + (sum > 0xffffffff ? 1 : 0) | 0;
  low = sum >>> 0;
  low = (low ^ (high << 1 | low >>> 31)) >>> 0;
  high = high ^ high >>> 31;
  sum = low * 21;
  high = Math.imul(high, 21) + Math.floor(sum / 0x100000000) | 0;
  low = sum >>> 0;
  low = (low ^ (high << 21 | low >>> 11)) >>> 0;
  low = low + (low << 6 >>> 0) >>> 0;
  return (low ^ low >>> 22) >>> 0; // the upper half makes bits that are not asked for
}
