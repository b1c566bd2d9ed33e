import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { BYTES, REFERENCE, SHARED, UNSIGNED } from "./format.ts";
import { intrinsic, isOne } from "./intrinsics.ts";
import type { GenericReader } from "./types.ts";

const MEMORY_OF_VIEW = 224;

/** What a buffer takes that comes with a view, at most. */
const MEMORY_OF_SHARED = 2304;

interface ViewClass {
  new (buffer: ArrayBuffer, offset?: number, length?: number): ArrayBufferView;
  readonly BYTES_PER_ELEMENT?: number;
}

/** The tags of little-endian typed arrays (RFC 8746); a Uint8Array needs none. */
const TAGS: ReadonlyMap<string, number> = new Map([
  ["Uint8Array", 64],
  ["Uint8ClampedArray", 68],
  ["Uint16Array", 69],
  ["Uint32Array", 70],
  ["BigUint64Array", 71],
  ["Int8Array", 72],
  ["Int16Array", 77],
  ["Int32Array", 78],
  ["BigInt64Array", 79],
  ["Float16Array", 84],
  ["Float32Array", 85],
  ["Float64Array", 86],
]);

/** The names of the views' classes. */
export const viewTypes: readonly string[] = [...TAGS.keys(), "DataView"];

/** In the tag of an array whose elements have several bytes, this bit tells that the lowest byte is the first. */
const LITTLE_ENDIAN = 4;

type TagReader = [tag: number, read: (decoder: Decoder) => unknown];

/** What reads the tags of typed arrays. */
export const typedArrayReaders: readonly TagReader[] = [...TAGS].flatMap(([type, tag]) => {
  const readers: TagReader[] = [[tag, (decoder) => readTypedArray(decoder, type, false)]];
  if (elementSize(type) > 1) {
    readers.push([tag - LITTLE_ENDIAN, (decoder) => readTypedArray(decoder, type, true)]);
  }
  return readers;
});

/** The class of a view; undefined for one that is newer than the runtime. */
function classOf(type: string): ViewClass | undefined {
  return (globalThis as unknown as Record<string, ViewClass>)[type];
}

function elementSize(type: string): number {
  return classOf(type)?.BYTES_PER_ELEMENT ?? 1;
}

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object;

/** The name of a view's class, for any subclass and realm. */
function typeOf(view: ArrayBufferView): string {
  return intrinsic(typedArrayPrototype, Symbol.toStringTag, view) ?? "DataView";
}

/** A size of a view, or its buffer. */
function of<K extends keyof ArrayBufferView>(view: ArrayBufferView, name: K): ArrayBufferView[K] {
  const isDataView = typeOf(view) === "DataView";
  return intrinsic(isDataView ? DataView.prototype : typedArrayPrototype, name, view);
}

function sizeOf(buffer: object): number {
  return intrinsic(ArrayBuffer.prototype, "byteLength", buffer);
}

const lookForNothing = Uint8Array.prototype.indexOf;

/** A view that is written by itself, with the bytes that it shows, or a buffer. */
interface Use {
  /** Where its bytes in the message begin, and how many they are; those that are inserted are not counted. */
  readonly at: number;
  readonly length: number;
  /** Those that may be inserted. */
  readonly bytes: Uint8Array;
  /** How deep it is. */
  readonly depth: number;
  /** Absent where it is the buffer itself. */
  readonly view?: { readonly type: string; readonly offset: number; readonly length: number };
}

/** A buffer that several views show, or a view and the value itself. */
export interface SharedBuffer {
  readonly buffer: ArrayBuffer;
  /** In the order of the message. */
  readonly uses: readonly Use[];
}

/**
 * Which buffers several views of a value show. A view is written by itself, with the bytes that it shows, unless the
 * value holds its whole buffer at another place too. That may be known only at the end: then what was written of it is
 * replaced, for nothing that the program's getters return may be asked for twice.
 */
export class SharedBuffers {
  #buffers: Map<ArrayBuffer, { readonly uses: Use[]; whole: boolean }> | undefined;

  /** @param whole whether all of the buffer is sent with it */
  note(buffer: ArrayBuffer, whole: boolean, use: Use): void {
    this.#buffers ??= new Map();
    const known = this.#buffers.get(buffer);
    if (known === undefined) {
      this.#buffers.set(buffer, { uses: [use], whole });
    } else {
      known.uses.push(use);
      known.whole ||= whole;
    }
  }

  /** Those that are to be shared. */
  shared(): readonly SharedBuffer[] {
    if (this.#buffers === undefined) return none;
    const shared: SharedBuffer[] = [];
    for (const [buffer, { uses, whole }] of this.#buffers) {
      if (whole && uses.length > 1) shared.push({ buffer, uses });
    }
    return shared;
  }

  clear(): void {
    this.#buffers = undefined;
  }
}

const none: readonly SharedBuffer[] = [];

/**
 * Writes the uses of a shared buffer anew: the first brings it along, and the others refer to it.
 *
 * @param index what references call it
 */
export function writeShared(
  encoder: Encoder,
  buffer: ArrayBuffer,
  uses: readonly Use[],
  index: number,
): void {
  const [first] = uses;
  const replaced = first!.view === undefined ? uses.slice(1) : uses;
  encoder.dropInsertions(new Set(replaced.map(({ bytes }) => bytes)));
  for (const { at, length, view, depth } of replaced) {
    const brings = at === first!.at;
    const before = encoder.apart(() => {
      if (view !== undefined) encoder.generic(view.type, 3);
      if (!brings) return writeReference(encoder, index);
      encoder.tag(SHARED);
      writeBufferHead(encoder, buffer);
    });
    if (!brings && view === undefined) {
      encoder.insert(before, at, length);
      continue;
    }
    const after = encoder.apart(() => {
      if (brings && buffer.resizable) encoder.number(buffer.maxByteLength);
      encoder.number(view!.offset);
      encoder.number(view!.length);
    });
    encoder.insert(before, at);
    if (brings) {
      encoder.checkDepth(depth + 1);
      encoder.spend(MEMORY_OF_SHARED);
      encoder.insert(new Uint8Array(buffer), at);
    }
    encoder.insert(after, at, length);
  }
}

function writeReference(encoder: Encoder, index: number): void {
  encoder.tag(REFERENCE);
  encoder.head(UNSIGNED, index);
}

export function isBuffer(object: object): boolean {
  return sizeOf(object) >= 0;
}

export function writeBuffer(encoder: Encoder, object: object): void {
  const buffer = object as ArrayBuffer;
  const at = encoder.length;
  writeBufferHead(encoder, buffer);
  const bytes = new Uint8Array(buffer);
  encoder.byteString(bytes);
  if (buffer.resizable) {
    encoder.spend(buffer.maxByteLength);
    encoder.number(buffer.maxByteLength);
  }
  const { depth } = encoder;
  encoder.buffers.note(buffer, true, { at, length: encoder.length - at, bytes, depth });
}

/** What comes before the bytes. */
function writeBufferHead(encoder: Encoder, buffer: ArrayBuffer): void {
  if (buffer.detached) encoder.reject("a detached ArrayBuffer", buffer);
  encoder.generic("ArrayBuffer", buffer.resizable ? 2 : 1);
  encoder.head(BYTES, buffer.byteLength);
}

export const buffer: GenericReader = {
  most: 2,
  read: (decoder, [bytes, maxByteLength]) => {
    if (!(bytes instanceof Uint8Array)) return undefined;
    if (maxByteLength === undefined) return exact(bytes).buffer;
    if (!isSize(maxByteLength)) return undefined;
    decoder.spend(maxByteLength);
    const buffer = new ArrayBuffer(bytes.length, { maxByteLength });
    new Uint8Array(buffer).set(bytes);
    return buffer;
  },
};

function isSize(value: unknown): value is number {
  return Number.isInteger(value);
}

/** Bytes in a buffer of their own. */
function exact(bytes: Uint8Array): Uint8Array {
  return bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice();
}

export function writeView(encoder: Encoder, view: ArrayBufferView): void {
  const type = typeOf(view);
  const buffer = of(view, "buffer") as ArrayBuffer;
  if (!isOne(isBuffer, buffer)) {
    encoder.reject(`a ${type} of a SharedArrayBuffer`, view, ": send a copy of its bytes");
  }
  if (isOutOfBounds(view, type)) encoder.reject(`a ${type} whose buffer is detached`, view);
  const offset = of(view, "byteOffset");
  const size = of(view, "byteLength");
  const isWhole = offset === 0 && size === sizeOf(buffer);
  const isTracking = buffer.resizable && isLengthTracking(view, type, buffer);
  if (buffer.resizable && isWhole || isTracking) {
    encoder.generic(type, isTracking ? 2 : 3);
    encoder.value(buffer);
    encoder.number(offset);
    if (!isTracking) encoder.number(size / elementSize(type));
    return;
  }
  const at = encoder.length;
  const bytes = new Uint8Array(buffer, offset, size);
  if (type === "DataView") writeDataView(encoder, bytes);
  else {
    if (type !== "Uint8Array") encoder.tag(TAGS.get(type)!);
    encoder.bytes(bytes);
  }
  encoder.buffers.note(buffer, isWhole, {
    at,
    length: encoder.length - at,
    bytes,
    depth: encoder.depth,
    view: { type, offset, length: size / elementSize(type) },
  });
}

/** A DataView has no tag of its own. The buffer that is sent with it is of the size of the view. */
function writeDataView(encoder: Encoder, bytes: Uint8Array): void {
  encoder.generic("DataView", 3);
  encoder.checkDepth(encoder.depth + 1);
  encoder.generic("ArrayBuffer", 1);
  encoder.bytes(bytes);
  encoder.number(0);
  encoder.number(bytes.length);
}

/** Whether a view has lost what it showed, for which a typed array tells the same sizes as if it were empty. */
function isOutOfBounds(view: ArrayBufferView, type: string): boolean {
  try {
    if (of(view, "byteLength") === 0 && type !== "DataView") {
      lookForNothing.call(view as Uint8Array, 0);
    }
    return false;
  } catch {
    return true;
  }
}

/**
 * Whether a view always ends where its buffer ends. JavaScript does not tell, so the buffer's size is changed for a
 * moment: it is made one byte shorter than the view, and if that is not out of bounds then, it follows. An empty view
 * follows if it grows; where the buffer cannot, it makes no difference.
 */
function isLengthTracking(view: ArrayBufferView, type: string, buffer: ArrayBuffer): boolean {
  const size = buffer.byteLength;
  const end = of(view, "byteOffset") + of(view, "byteLength");
  const step = elementSize(type);
  if (size - end >= step) return false;
  const isEmpty = of(view, "byteLength") === 0;
  const changed = isEmpty ? Math.min(size + step, buffer.maxByteLength) : end - 1;
  const cut = isEmpty ? [] : new Uint8Array(buffer, changed).slice();
  buffer.resize(changed);
  const isTracking = isEmpty ? of(view, "byteLength") > 0 : !isOutOfBounds(view, type);
  buffer.resize(size);
  if (!isEmpty) new Uint8Array(buffer, changed).set(cut);
  return isTracking;
}

function readTypedArray(decoder: Decoder, type: string, isBigEndian: boolean): unknown {
  decoder.spend(MEMORY_OF_VIEW);
  const bytes = decoder.expectBytes();
  if (type === "Uint8Array") return bytes;
  const size = elementSize(type);
  const aligned = bytes.byteOffset % size === 0 && !isBigEndian ? bytes : bytes.slice();
  if (isBigEndian) {
    for (let i = 0; i < bytes.length; i += size) aligned.subarray(i, i + size).reverse();
  }
  return decoder.attempt(
    type,
    () =>
      bytes.length % size === 0
        ? new (classOf(type)!)(aligned.buffer, aligned.byteOffset, bytes.length / size)
        : undefined,
  );
}

export const view: GenericReader = {
  most: 3,
  read: (decoder, [buffer, offset, length], type) => {
    decoder.spend(MEMORY_OF_VIEW);
    if (!(buffer instanceof ArrayBuffer) || !isSize(offset)) return undefined;
    if (length !== undefined && !isSize(length)) return undefined;
    return new (classOf(type)!)(buffer, offset, length);
  },
};
