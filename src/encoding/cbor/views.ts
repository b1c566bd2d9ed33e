import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { BYTES, REFERENCE, SHARED, UNSIGNED } from "./format.ts";
import { intrinsic, isOne } from "./intrinsics.ts";
import type { GenericReader } from "./types.ts";

const MEMORY_OF_VIEW = 224;

/** The most memory that a buffer takes which is sent with a view. */
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

/** The names of the classes of views. */
export const viewTypes: readonly string[] = [...TAGS.keys(), "DataView"];

/** The bit of a tag that means little-endian, if the elements have several bytes. */
const LITTLE_ENDIAN = 4;

type TagReader = [tag: number, read: (decoder: Decoder) => unknown];

/** The readers of the tags of typed arrays. */
export const typedArrayReaders: readonly TagReader[] = [...TAGS].flatMap(([type, tag]) => {
  const readers: TagReader[] = [[tag, (decoder) => readTypedArray(decoder, type, false)]];
  if (elementSize(type) > 1) {
    readers.push([tag - LITTLE_ENDIAN, (decoder) => readTypedArray(decoder, type, true)]);
  }
  return readers;
});

/** Returns the class of a view; undefined if the runtime lacks it. */
function classOf(type: string): ViewClass | undefined {
  return (globalThis as unknown as Record<string, ViewClass>)[type];
}

function elementSize(type: string): number {
  return classOf(type)?.BYTES_PER_ELEMENT ?? 1;
}

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object;

/** Returns the name of a view's built-in class, for a subclass and any realm too. */
function typeOf(view: ArrayBufferView): string {
  return intrinsic(typedArrayPrototype, Symbol.toStringTag, view) ?? "DataView";
}

/** Returns a property of a view, by its built-in getter. */
function of<K extends keyof ArrayBufferView>(view: ArrayBufferView, name: K): ArrayBufferView[K] {
  const isDataView = typeOf(view) === "DataView";
  return intrinsic(isDataView ? DataView.prototype : typedArrayPrototype, name, view);
}

function sizeOf(buffer: object): number {
  return intrinsic(ArrayBuffer.prototype, "byteLength", buffer);
}

const { indexOf } = Uint8Array.prototype;

/** A place of the message where a buffer is written, or the bytes that a view shows of it. */
interface Use {
  /** The position in the message, and the length there, which does not include bytes that will be inserted. */
  readonly at: number;
  readonly length: number;
  /** The bytes of the view or buffer, which may be inserted. */
  readonly bytes: Uint8Array;
  /** The depth in the value. */
  readonly depth: number;
  /** The view. Absent for the buffer itself. */
  readonly view?: { readonly type: string; readonly offset: number; readonly length: number };
}

/** A buffer that occurs several times, in views or by itself. */
export interface SharedBuffer {
  readonly buffer: ArrayBuffer;
  /** In the order of the message. */
  readonly uses: readonly Use[];
}

/**
 * The buffers of a value and where they are used.
 *
 * A view is written with only the bytes that it shows, unless the value contains its whole buffer at another place.
 * That may be known only at the end. The written bytes are then replaced, since the value must not be read a second
 * time: it may have getters.
 */
export class SharedBuffers {
  #buffers: Map<ArrayBuffer, { readonly uses: Use[]; whole: boolean }> | undefined;

  /** @param whole whether this use contains all bytes of the buffer */
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

  /** Returns the buffers that must be shared. */
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
 * Replaces the uses of a shared buffer: the first contains the buffer, and the others refer to it.
 *
 * @param index the index of the buffer in references
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
    const isFirst = at === first!.at;
    const before = encoder.apart(() => {
      if (view !== undefined) encoder.generic(view.type, 3);
      if (!isFirst) return writeReference(encoder, index);
      encoder.tag(SHARED);
      writeBufferHead(encoder, buffer);
    });
    if (!isFirst && view === undefined) {
      encoder.insert(before, at, length);
      continue;
    }
    const after = encoder.apart(() => {
      if (isFirst && buffer.resizable) encoder.number(buffer.maxByteLength);
      encoder.number(view!.offset);
      encoder.number(view!.length);
    });
    encoder.insert(before, at);
    if (isFirst) {
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

/** Writes everything that precedes the bytes of a buffer. */
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

/** Returns bytes that are all of their buffer. */
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

/** Writes a DataView, which has no tag, with a buffer of its size. */
function writeDataView(encoder: Encoder, bytes: Uint8Array): void {
  encoder.generic("DataView", 3);
  encoder.checkDepth(encoder.depth + 1);
  encoder.generic("ArrayBuffer", 1);
  encoder.bytes(bytes);
  encoder.number(0);
  encoder.number(bytes.length);
}

/** Reports whether a view is out of bounds. The getters of a typed array report the sizes of an empty one then. */
function isOutOfBounds(view: ArrayBufferView, type: string): boolean {
  try {
    if (of(view, "byteLength") === 0 && type !== "DataView") {
      indexOf.call(view as Uint8Array, 0);
    }
    return false;
  } catch {
    return true;
  }
}

/**
 * Reports whether a view tracks the length of its buffer. No property tells, so the buffer is resized for a moment. If
 * it is made one byte too short for the view, a tracking view is not out of bounds. An empty view tracks if it grows
 * with the buffer; if the buffer cannot grow, it makes no difference.
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
