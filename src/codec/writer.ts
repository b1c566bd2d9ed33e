import { BYTES, NEGATIVE, TAG, TEXT, UNSIGNED, WTF8_TEXT } from "./format.ts";
import { toWtf8 } from "./wtf8.ts";

const SLAB_BYTES = 16_384;
const LARGEST_KEPT_SLAB = 1_048_576;
const HEAD_BYTES = 9;

/** Below this many units a loop beats `encodeInto`, on every runtime. */
const SHORT_TEXT = 32;

const utf8 = new TextEncoder();

/** Where a number is laid out big-endian before it goes into a message. */
const scratch = new Uint8Array(8);
const scratchView = new DataView(scratch.buffer);

/**
 * Puts a message together out of CBOR items. It writes into a slab that it keeps from message to
 * message, because allocating costs more than a copy at the end; nothing it hands out shares it.
 */
export class Writer {
  #slab = new Uint8Array(SLAB_BYTES);
  #length = 0;

  /** How many bytes the message has so far. */
  get length(): number {
    return this.#length;
  }

  /** The message, in a buffer of exactly its size. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#slab.slice(0, this.#length);
  }

  /** Forgets the message. */
  clear(): void {
    this.#length = 0;
    if (this.#slab.length > LARGEST_KEPT_SLAB) this.#slab = new Uint8Array(SLAB_BYTES);
  }

  /** An item that is one byte. */
  byte(byte: number): void {
    this.#reserve(1);
    this.#slab[this.#length++] = byte;
  }

  /** The start of an item: its major type and its argument, which is a value, a length or a tag. */
  head(major: number, argument: number): void {
    this.#reserve(HEAD_BYTES);
    if (argument < 24) {
      this.#slab[this.#length++] = major << 5 | argument;
    } else if (argument < 0x100) {
      this.#slab[this.#length++] = major << 5 | 24;
      this.#slab[this.#length++] = argument;
    } else {
      this.#wideHead(major << 5, argument);
    }
  }

  #wideHead(first: number, argument: number): void {
    if (argument < 0x10000) {
      scratchView.setUint16(0, argument);
      this.#scalar(first | 25, 2);
    } else if (argument < 0x100000000) {
      scratchView.setUint32(0, argument);
      this.#scalar(first | 26, 4);
    } else {
      scratchView.setUint32(0, argument / 0x100000000);
      scratchView.setUint32(4, argument);
      this.#scalar(first | 27, 8);
    }
  }

  /** Writes a first byte and as many bytes of the scratch area. */
  #scalar(first: number, size: number): void {
    this.#reserve(HEAD_BYTES);
    const slab = this.#slab;
    let at = this.#length;
    slab[at++] = first;
    for (let i = 0; i < size; i++) slab[at++] = scratch[i]!;
    this.#length = at;
  }

  tag(tag: number): void {
    this.head(TAG, tag);
  }

  number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      if (value >= 0) this.head(UNSIGNED, value);
      else this.head(NEGATIVE, -1 - value);
    } else {
      this.#float(value);
    }
  }

  #float(value: number): void {
    if (value === 0) this.#half(0x8000);
    else if (value !== value) this.#half(0x7e00);
    else if (value === Infinity) this.#half(0x7c00);
    else if (value === -Infinity) this.#half(0xfc00);
    else if (Math.fround(value) === value) {
      scratchView.setFloat32(0, value);
      this.#scalar(0xfa, 4);
    } else {
      scratchView.setFloat64(0, value);
      this.#scalar(0xfb, 8);
    }
  }

  #half(bits: number): void {
    scratchView.setUint16(0, bits);
    this.#scalar(0xf9, 2);
  }

  /** A byte string; the length is asked for because a subclass may lie about its own. */
  bytes(bytes: Uint8Array, length: number): void {
    this.head(BYTES, length);
    this.#reserve(length);
    this.#slab.set(bytes, this.#length);
    this.#length += length;
  }

  text(text: string): void {
    const units = text.length;
    if (units >= SHORT_TEXT) return this.#anyText(text);
    this.#reserve(units + 2);
    const slab = this.#slab;
    let at = this.#length + headSize(units);
    for (let i = 0; i < units; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) return this.#anyText(text);
      slab[at++] = unit;
    }
    this.head(TEXT, units);
    this.#length = at;
  }

  #anyText(text: string): void {
    if (!text.isWellFormed()) {
      const bytes = toWtf8(text);
      this.tag(WTF8_TEXT);
      return this.bytes(bytes, bytes.length);
    }
    // The head's size depends on the length in bytes, which is known afterwards: mostly as guessed.
    const guess = headSize(text.length);
    const size = this.#utf8(text, guess, text.length) ?? this.#utf8(text, guess, 3 * text.length)!;
    const start = this.#length;
    if (headSize(size) !== guess) {
      this.#slab.copyWithin(start + headSize(size), start + guess, start + guess + size);
    }
    this.head(TEXT, size);
    this.#length += size;
  }

  /** Writes UTF-8 after a gap and answers its size; undefined if it needs more than this much room. */
  #utf8(text: string, gap: number, room: number): number | undefined {
    this.#reserve(2 * HEAD_BYTES + room);
    const target = this.#slab.subarray(this.#length + gap, this.#slab.length - HEAD_BYTES);
    const { read, written } = utf8.encodeInto(text, target);
    return read === text.length ? written : undefined;
  }

  /** Changes the argument of a head that was written before. */
  rewriteHead(at: number, major: number, written: number, argument: number): void {
    const rest = this.#slab.slice(at + headSize(written), this.#length);
    this.#length = at;
    this.head(major, argument);
    this.#slab.set(rest, this.#length);
    this.#length += rest.length;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes > this.#slab.length) this.#grow(this.#length + bytes);
  }

  #grow(least: number): void {
    const larger = new Uint8Array(Math.max(least, 2 * this.#slab.length));
    larger.set(this.#slab.subarray(0, this.#length));
    this.#slab = larger;
  }
}

function headSize(argument: number): number {
  if (argument < 24) return 1;
  if (argument < 0x100) return 2;
  if (argument < 0x10000) return 3;
  return argument < 0x100000000 ? 5 : HEAD_BYTES;
}
