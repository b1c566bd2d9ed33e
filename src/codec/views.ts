import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { intrinsic, isOne } from "./intrinsics.ts";
import type { GenericReader } from "./types.ts";

const MEMORY_OF_VIEW = 224;

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

/**
 * Which buffers several views of a value show. A view is written by itself, with the bytes that it shows, unless the
 * value holds its whole buffer at another place too. That may be known only at the end: then the value is written anew.
 */
export class SharedBuffers {
  #uses: Map<ArrayBuffer, { count: number; whole: boolean }> | undefined;
  #shared: Set<ArrayBuffer> | undefined;

  /** Notes a view that is written by itself, or a buffer: whether all of the buffer is sent with it. */
  note(buffer: ArrayBuffer, whole: boolean): void {
    this.#uses ??= new Map();
    const use = this.#uses.get(buffer);
    this.#uses.set(buffer, {
      count: 1 + (use?.count ?? 0),
      whole: whole || use?.whole === true,
    });
  }

  has(buffer: ArrayBuffer): boolean {
    return this.#shared?.has(buffer) === true;
  }

  /** At the end: whether there are any, which is known from now on. */
  settle(): boolean {
    if (this.#uses === undefined) return false;
    const shared = [...this.#uses].filter(([, { count, whole }]) => whole && count > 1);
    this.#shared = new Set(shared.map(([buffer]) => buffer));
    return shared.length > 0;
  }

  clear(): void {
    if (this.#uses !== undefined) this.#uses = this.#shared = undefined;
  }
}

export function isBuffer(object: object): boolean {
  return sizeOf(object) >= 0;
}

export function writeBuffer(encoder: Encoder, object: object): void {
  const buffer = object as ArrayBuffer;
  if (buffer.detached) encoder.reject("a detached ArrayBuffer", buffer);
  encoder.buffers.note(buffer, true);
  encoder.generic("ArrayBuffer", buffer.resizable ? 2 : 1);
  encoder.bytes(new Uint8Array(buffer));
  if (!buffer.resizable) return;
  encoder.spend(buffer.maxByteLength);
  encoder.number(buffer.maxByteLength);
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
  if (buffer.resizable && isWhole || isTracking || encoder.buffers.has(buffer)) {
    encoder.generic(type, isTracking ? 2 : 3);
    encoder.value(buffer);
    encoder.number(offset);
    if (!isTracking) encoder.number(size / elementSize(type));
    return;
  }
  encoder.buffers.note(buffer, isWhole);
  const bytes = new Uint8Array(buffer, offset, size);
  if (type === "DataView") return writeDataView(encoder, bytes);
  if (type !== "Uint8Array") encoder.tag(TAGS.get(type)!);
  encoder.bytes(bytes);
}

/** A DataView has no tag of its own. The buffer that is sent with it is of the size of the view. */
function writeDataView(encoder: Encoder, bytes: Uint8Array): void {
  encoder.generic("DataView", 3);
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
