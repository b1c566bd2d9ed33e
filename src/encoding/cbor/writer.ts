import { BYTES, MEMORY_OF_BYTES, NEGATIVE, TAG, TEXT, UNSIGNED, WTF8_TEXT } from "./format.ts";
import { rejection } from "../../shared/clone_error.ts";
import { toWtf8 } from "./wtf8.ts";

/** Short messages share slabs of this size, since allocating one by one costs more than writing them. */
const SLAB_BYTES = 16_384;

/** A message up to here that meets the end of its slab moves to a new one; a longer one goes where it has room. */
const LONGEST_MOVED_MESSAGE = 4096;

/** A message from where there is room is copied out of it, unless it is so long that the copy matters. */
const LARGEST_COPIED_MESSAGE = 1_048_576;

/** Byte strings from here on wait outside of the message until its size is known: one copy is all they take. */
const LARGE_BYTES = 16_384;

const ALIGNMENT = 16;
const HEAD_BYTES = 9;

/** Buffer's own encoder, where it is a native one: it needs no view of the slab, at half the price of `encodeInto`. */
const utf8Write = "Deno" in globalThis
  ? undefined
  : (globalThis as { Buffer?: { prototype: { utf8Write?: Utf8Write } } }).Buffer?.prototype
    .utf8Write;
type Utf8Write = (this: Uint8Array, text: string, offset: number, length: number) => number;

/** Below this many units a loop beats the encoders. */
const SHORT_TEXT = utf8Write === undefined ? 32 : 16;

/** From this many units on `encodeInto` is used everywhere, because it does not need three times the room. */
const MEDIUM_TEXT = 1024;

const NO_BYTES = new Uint8Array(0);
const utf8 = new TextEncoder();

/**
 * Bytes that go into a message when it is put together, behind the first `at` ones that were written, and instead of
 * the next `skip` ones.
 */
interface Insertion {
  readonly at: number;
  readonly bytes: Uint8Array;
  /** How many they were as their head was written. */
  readonly length: number;
  readonly skip: number;
}

/**
 * Puts a message together out of CBOR items.
 *
 * Invariants: the message is `#slab` from `#start` to `#at`, save for the insertions. What lies before
 * `#start` belongs to messages that were handed out, and is never written again. `#slab` is `#shared`,
 * or for a message that did not fit there `#roomy`, where each begins at 0.
 */
export class Writer {
  #shared = new Uint8Array(SLAB_BYTES);
  #roomy = NO_BYTES;
  #slab = this.#shared;
  #view = new DataView(this.#slab.buffer);
  #start = 0;
  #at = 0;
  #nextStart = 0;
  #insertions: Insertion[] = [];
  /** Bytes of memory that the value takes where it arrives, beyond what the message's bytes tell. */
  memory = 0;

  /** How many bytes the message has so far, without the insertions. */
  get length(): number {
    return this.#at - this.#start;
  }

  /** Begins a message. */
  begin(): void {
    if (this.#shared.length > 0) return;
    // Somebody has transferred a message, and with it the slab.
    this.#use(this.#shared = new Uint8Array(SLAB_BYTES));
    this.#start = this.#at = 0;
  }

  /** Accounts for memory. */
  spend(memory: number): void {
    this.memory += memory;
  }

  /** Ends the message and hands it out. Its buffer may be larger, and be shared with other messages. */
  take(): Uint8Array<ArrayBuffer> {
    if (this.#insertions.length > 0) return this.#assemble();
    const message = this.#slab.subarray(this.#start, this.#at);
    if (this.#slab === this.#shared) {
      this.#start = this.#at;
      return message;
    }
    return message.length > LARGEST_COPIED_MESSAGE ? message : message.slice();
  }

  /** Makes ready for the next message, keeping nothing of this one. */
  clear(): void {
    this.memory = 0;
    if (this.#insertions.length > 0) this.#insertions = [];
    if (this.#slab !== this.#shared) this.#return();
    this.#at = this.#start;
  }

  #return(): void {
    if (this.#roomy.length > LARGEST_COPIED_MESSAGE) this.#roomy = NO_BYTES;
    this.#use(this.#shared);
    this.#start = this.#nextStart;
  }

  /**
   * Adds bytes when the message is put together: at the end of what is written now, or at an earlier place, where they
   * may replace what is written there.
   */
  insert(bytes: Uint8Array, at: number = this.length, skip = 0): void {
    this.#insertions.push({ at, bytes, length: bytes.length, skip });
  }

  /** Takes insertions of these bytes back. */
  dropInsertions(dropped: ReadonlySet<Uint8Array>): void {
    this.#insertions = this.#insertions.filter(({ bytes }) => !dropped.has(bytes));
  }

  /** What `write` writes, which is no part of the message so far. */
  apart(write: () => void): Uint8Array {
    const { length } = this;
    write();
    const bytes = this.#slab.slice(this.#start + length, this.#at);
    this.#at = this.#start + length;
    return bytes;
  }

  #assemble(): Uint8Array<ArrayBuffer> {
    const insertions = this.#insertions.sort((a, b) => a.at - b.at); // stable
    let size = this.length;
    for (const { bytes, length, skip } of insertions) {
      if (bytes.length !== length) {
        throw rejection("a buffer that a getter has detached or cut", "");
      }
      size += length - skip;
    }
    // Engines copy up to ten times faster between places that are alike modulo 16.
    const [first] = insertions;
    const shift = first!.bytes.byteOffset - first!.at & ALIGNMENT - 1;
    const message = new Uint8Array(size + shift).subarray(shift);
    let from = this.#start;
    let to = 0;
    for (const { at, bytes, skip } of insertions) {
      message.set(this.#slab.subarray(from, this.#start + at), to);
      to += this.#start + at - from;
      from = this.#start + at + skip;
      message.set(bytes, to);
      to += bytes.length;
    }
    message.set(this.#slab.subarray(from, this.#at), to);
    return message;
  }

  /** An item that is one byte. */
  byte(byte: number): void {
    this.#reserve(1);
    this.#slab[this.#at++] = byte;
  }

  /** The start of an item: its major type and its argument, which is a value, a length or a tag. */
  head(major: number, argument: number): void {
    this.#reserve(HEAD_BYTES);
    const first = major << 5;
    const at = this.#at;
    if (argument < 24) {
      this.#slab[at] = first | argument;
      this.#at = at + 1;
    } else if (argument < 0x100) {
      this.#slab[at] = first | 24;
      this.#slab[at + 1] = argument;
      this.#at = at + 2;
    } else if (argument < 0x10000) {
      this.#slab[at] = first | 25;
      this.#view.setUint16(at + 1, argument);
      this.#at = at + 3;
    } else if (argument < 0x100000000) {
      this.#slab[at] = first | 26;
      this.#view.setUint32(at + 1, argument);
      this.#at = at + 5;
    } else {
      this.#slab[at] = first | 27;
      this.#view.setUint32(at + 1, argument / 0x100000000);
      this.#view.setUint32(at + 5, argument);
      this.#at = at + 9;
    }
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

  /** In the shortest form that is exact, of which the half floats are for four values only. */
  #float(value: number): void {
    this.#reserve(HEAD_BYTES);
    const at = this.#at;
    const half = value === 0
      ? 0x8000
      : value !== value
      ? 0x7e00
      : value === Infinity
      ? 0x7c00
      : value === -Infinity
      ? 0xfc00
      : 0;
    if (half !== 0) {
      this.#slab[at] = 0xf9;
      this.#view.setUint16(at + 1, half);
      this.#at = at + 3;
    } else if (Math.fround(value) === value) {
      this.#slab[at] = 0xfa;
      this.#view.setFloat32(at + 1, value);
      this.#at = at + 5;
    } else {
      this.#slab[at] = 0xfb;
      this.#view.setFloat64(at + 1, value);
      this.#at = at + 9;
    }
  }

  /** A byte string of a plain `Uint8Array`. */
  bytes(bytes: Uint8Array): void {
    this.head(BYTES, bytes.length);
    this.byteString(bytes);
  }

  /** The same without its head. */
  byteString(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length >= LARGE_BYTES) return this.insert(bytes);
    this.#reserve(length);
    this.#slab.set(bytes, this.#at);
    this.#at += length;
  }

  text(text: string): void {
    const units = text.length;
    if (units >= SHORT_TEXT) return this.#anyText(text);
    this.#reserve(units + HEAD_BYTES);
    const slab = this.#slab;
    let at = this.#at;
    if (units < 24) {
      slab[at++] = TEXT << 5 | units;
    } else {
      slab[at++] = TEXT << 5 | 24;
      slab[at++] = units;
    }
    for (let i = 0; i < units; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) return this.#anyText(text);
      slab[at++] = unit;
    }
    this.#at = at;
  }

  #anyText(text: string): void {
    if (!text.isWellFormed()) {
      this.tag(WTF8_TEXT);
      this.spend(MEMORY_OF_BYTES);
      return this.bytes(toWtf8(text));
    }
    // The head's size depends on the length in bytes, which is known afterwards: mostly as guessed.
    const guess = headSize(text.length);
    const size = utf8Write !== undefined && text.length < MEDIUM_TEXT
      ? this.#mediumUtf8(text, guess, utf8Write)
      : this.#utf8(text, guess, text.length) ?? this.#utf8(text, guess, 3 * text.length)!;
    const start = this.#at;
    if (headSize(size) !== guess) {
      this.#slab.copyWithin(start + headSize(size), start + guess, start + guess + size);
    }
    this.head(TEXT, size);
    this.#at += size;
  }

  #mediumUtf8(text: string, gap: number, write: Utf8Write): number {
    this.#reserve(2 * HEAD_BYTES + 3 * text.length);
    return write.call(this.#slab, text, this.#at + gap, 3 * text.length);
  }

  /** Writes UTF-8 after a gap and answers its size; undefined if it needs more than this much room. */
  #utf8(text: string, gap: number, room: number): number | undefined {
    this.#reserve(2 * HEAD_BYTES + room);
    const target = this.#slab.subarray(this.#at + gap, this.#slab.length - HEAD_BYTES);
    const { read, written } = utf8.encodeInto(text, target);
    return read === text.length ? written : undefined;
  }

  /** Lowers the argument of a head that was written before. It keeps its size, so that nothing moves. */
  lowerHead(position: number, written: number, argument: number): void {
    let at = this.#start + position + headSize(written) - 1;
    if (written < 24) this.#slab[at]! -= written - argument;
    else for (; written >= 1; written /= 256, argument /= 256) this.#slab[at--] = argument;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes > this.#slab.length) this.#grow(bytes);
  }

  #use(slab: Uint8Array<ArrayBuffer>): void {
    this.#slab = slab;
    this.#view = new DataView(slab.buffer);
  }

  /** Moves the message to where it has room: to a new slab, or if it is too long for sharing one, out of it. */
  #grow(bytes: number): void {
    const { length } = this;
    const written = this.#slab.subarray(this.#start, this.#at);
    if (this.#slab === this.#shared) this.#nextStart = this.#start;
    if (length + bytes <= LONGEST_MOVED_MESSAGE) {
      this.#use(this.#shared = new Uint8Array(SLAB_BYTES));
    } else {
      if (length + bytes > this.#roomy.length) {
        this.#roomy = new Uint8Array(Math.max(4 * SLAB_BYTES, 2 * length, length + bytes));
      }
      this.#use(this.#roomy);
    }
    this.#slab.set(written);
    this.#start = 0;
    this.#at = length;
  }
}

function headSize(argument: number): number {
  if (argument < 24) return 1;
  if (argument < 0x100) return 2;
  if (argument < 0x10000) return 3;
  return argument < 0x100000000 ? 5 : HEAD_BYTES;
}
