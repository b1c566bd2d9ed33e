/** The number of keys of a Map or Set that may share a bucket. Searching a bucket of this size for each key takes ms. */
const MOST_IN_BUCKET = 512;

/** The number of buckets that are counted, fewer than the table of an engine has for so many keys. */
const BUCKETS = 1024;

const double = new Float64Array(1);
const halves = new Uint32Array(double.buffer);

/**
 * Detects numeric keys that were chosen to share a bucket in the hash table of a Map or Set, where each of them is
 * compared with all others: 30,000 keys take V8 four seconds. V8 hashes numbers, and 64 bits of BigInts, in the same
 * way in every process. It hashes strings with a random seed.
 */
export class KeyHashes {
  /** Fewer keys are never too dense. */
  static readonly least: number = 2 * MOST_IN_BUCKET;

  #count = 0;
  #buckets: Uint32Array | undefined;

  /** Counts a key, and reports whether its bucket has too many. */
  isTooDense(key: unknown): boolean {
    if (typeof key !== "number" && typeof key !== "bigint") return false;
    if (++this.#count <= MOST_IN_BUCKET) return false;
    const buckets = this.#buckets ??= new Uint32Array(BUCKETS);
    const inBucket = ++buckets[hashOf(key) % BUCKETS]!;
    return inBucket > MOST_IN_BUCKET + 16 * this.#count / BUCKETS;
  }
}

/** Returns the low bits of V8's hash of a number. */
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

/** Returns the hash of 64 bits. Sums are computed of two halves with a carry. */
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
  return (low ^ low >>> 22) >>> 0; // the upper half affects only bits that are not used
}
