import { ZmtpError } from "./zmtp_error.ts";

/** The bits of the first byte of a ZMTP frame. */
export const moreFlag = 1;
export const longFlag = 2;
export const commandFlag = 4;

/**
 * Splits the bytes of a TCP connection into the frames of ZMTP 3.1: a byte of flags, the size in one byte or eight, and
 * as many bytes.
 *
 * Invariants: no byte is copied but those of a frame that has arrived in several chunks, and those are copied once. It
 * holds no more bytes than have arrived, and at most one frame of `maxFrame` and one chunk.
 */
export class FrameSplitter {
  /** The flags of the frame that `next` has returned last. */
  flags = 0;
  readonly #limit: { readonly maxFrame: number };
  /** The chunk that is being read, and the position in it. */
  #chunk: Uint8Array = empty;
  #at = 0;
  /** Earlier chunks of a frame that has not arrived whole. */
  #earlier: Uint8Array[] = [];
  #earlierSize = 0;
  /** The number of bytes that are needed to read on. */
  #needed = 0;

  /** @param limit its `maxFrame` is the size of the largest frame that is accepted, and may change */
  constructor(limit: { readonly maxFrame: number }) {
    this.#limit = limit;
  }

  /** The first bytes of what has not been read; all of it if little has arrived. */
  get rest(): Uint8Array {
    return this.#earlier[0] ?? this.#chunk.subarray(this.#at);
  }

  /** Adds bytes, which must not change later. All frames of earlier ones have been read. */
  push(chunk: Uint8Array): void {
    const left = this.#chunk.length - this.#at;
    if (left > 0) {
      this.#earlier.push(this.#chunk.subarray(this.#at));
      this.#earlierSize += left;
      this.#mergeSmall();
    }
    this.#chunk = chunk;
    this.#at = 0;
    if (this.#earlierSize > 0 && this.#earlierSize + chunk.length >= this.#needed) this.#join();
  }

  /** Returns the first `size` bytes, which are no frame; undefined if they have not arrived. */
  take(size: number): Uint8Array | undefined {
    if (!this.#has(size)) return undefined;
    this.#at += size;
    return this.#chunk.subarray(this.#at - size, this.#at);
  }

  /**
   * Returns the content of the next frame and sets `flags`; undefined if it has not arrived whole.
   *
   * @throws {ZmtpError} if the bytes are no frame, or the frame is too large
   */
  next(): Uint8Array | undefined {
    if (!this.#has(2)) return undefined;
    const chunk = this.#chunk;
    const at = this.#at;
    const flags = chunk[at]!;
    let size = chunk[at + 1]!;
    let start = at + 2;
    if (flags > commandFlag) {
      const isCommand = flags === (commandFlag | longFlag);
      if (!isCommand) {
        throw new ZmtpError(`a frame has the flags ${flags}, which ZMTP does not define`);
      }
    }
    if ((flags & longFlag) !== 0) {
      if (!this.#has(9)) return undefined;
      size = readSize(chunk, at + 1);
      start = at + 9;
    }
    if (size > this.#limit.maxFrame) {
      throw new ZmtpError(
        `a frame has ${size} bytes, and at most ${this.#limit.maxFrame} are accepted`,
      );
    }
    const end = start + size;
    if (!this.#has(end - at)) return undefined;
    this.flags = flags;
    this.#at = end;
    return new Uint8Array(chunk.buffer, chunk.byteOffset + start, size);
  }

  /** Reports whether the next `size` bytes are in the chunk; if not, remembers that they are needed. */
  #has(size: number): boolean {
    if (this.#earlierSize > 0) return false; // `push` joins the chunks when enough have arrived
    if (this.#chunk.length - this.#at >= size) return true;
    this.#needed = size;
    return false;
  }

  #join(): void {
    this.#chunk = joined([...this.#earlier, this.#chunk]);
    this.#earlier = [];
    this.#earlierSize = 0;
  }

  /** Joins the last chunks if they are small: an object for each byte would take far more memory than the bytes. */
  #mergeSmall(): void {
    if (this.#earlier.length < mergedCount) return;
    const last = this.#earlier.slice(-mergedCount);
    if (sizeOf(last) > mergedSize) return;
    this.#earlier.splice(-mergedCount, mergedCount, joined(last));
  }
}

const mergedCount = 32;
const mergedSize = 1 << 17;

const empty = new Uint8Array(0);

/** Reads eight bytes in network order. The result is not exact above 2^53, which is more than any limit. */
function readSize(bytes: Uint8Array, at: number): number {
  const high = bytes[at]! * 2 ** 24 + (bytes[at + 1]! << 16) + (bytes[at + 2]! << 8) +
    bytes[at + 3]!;
  const low = bytes[at + 4]! * 2 ** 24 + (bytes[at + 5]! << 16) + (bytes[at + 6]! << 8) +
    bytes[at + 7]!;
  return high * 2 ** 32 + low;
}

function sizeOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((size, { length }) => size + length, 0);
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(sizeOf(chunks));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
