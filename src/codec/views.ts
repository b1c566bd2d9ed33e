import type { Arguments } from "./arguments.ts";
import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { getterOf, isOne } from "./intrinsics.ts";

const MEMORY_OF_VIEW = 224;

interface ViewClass {
  new (buffer: ArrayBuffer, offset?: number, length?: number): ArrayBufferView;
  readonly BYTES_PER_ELEMENT?: number;
}

/** The tags of little-endian typed arrays (RFC 8746); a Uint8Array needs none. */
const TAGS: readonly [tag: number, type: string][] = [
  [64, "Uint8Array"],
  [68, "Uint8ClampedArray"],
  [69, "Uint16Array"],
  [70, "Uint32Array"],
  [71, "BigUint64Array"],
  [72, "Int8Array"],
  [77, "Int16Array"],
  [78, "Int32Array"],
  [79, "BigInt64Array"],
  [84, "Float16Array"],
  [85, "Float32Array"],
  [86, "Float64Array"],
];

const tags: ReadonlyMap<string, number> = new Map(TAGS.map(([tag, type]) => [type, tag]));

/** The names of the views' classes. */
export const viewTypes: readonly string[] = [...tags.keys(), "DataView"];

/** In the tag of an array whose elements have several bytes, this bit tells that the lowest byte is the first. */
const LITTLE_ENDIAN = 4;

/** What reads the tags of typed arrays. */
export const typedArrayReaders: readonly [tag: number, read: (decoder: Decoder) => unknown][] = TAGS
  .flatMap(([tag, type]) => {
    const littleEndian = (decoder: Decoder) => readTypedArray(decoder, type, false);
    if (elementSize(type) === 1) return [[tag, littleEndian]];
    const bigEndian = (decoder: Decoder) => readTypedArray(decoder, type, true);
    return [[tag, littleEndian], [tag - LITTLE_ENDIAN, bigEndian]];
  });

/** The class of a view; undefined for one that is newer than the runtime. */
function classOf(type: string): ViewClass | undefined {
  return (globalThis as unknown as Record<string, ViewClass>)[type];
}

function elementSize(type: string): number {
  return classOf(type)?.BYTES_PER_ELEMENT ?? 1;
}

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object;

const lookForNothing = Uint8Array.prototype.indexOf;
const { resize } = ArrayBuffer.prototype;

/** The name of a typed array's class, for any subclass and realm; undefined for a DataView. */
const typeOf = getterOf<string | undefined>(typedArrayPrototype, Symbol.toStringTag);

interface ViewGetters {
  readonly buffer: (view: object) => ArrayBuffer;
  readonly byteOffset: (view: object) => number;
  readonly byteLength: (view: object) => number;
}

const ofTypedArray = viewGetters(typedArrayPrototype);
const ofDataView = viewGetters(DataView.prototype);

function gettersOf(type: string): ViewGetters {
  return type === "DataView" ? ofDataView : ofTypedArray;
}

function viewGetters(prototype: object): ViewGetters {
  return {
    buffer: getterOf(prototype, "buffer"),
    byteOffset: getterOf(prototype, "byteOffset"),
    byteLength: getterOf(prototype, "byteLength"),
  };
}

const ofBuffer = {
  byteLength: getterOf<number>(ArrayBuffer.prototype, "byteLength"),
  maxByteLength: getterOf<number>(ArrayBuffer.prototype, "maxByteLength"),
  resizable: getterOf<boolean | undefined>(ArrayBuffer.prototype, "resizable"),
};

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
    if (use === undefined) this.#uses.set(buffer, { count: 1, whole });
    else {
      use.count++;
      use.whole ||= whole;
    }
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
    this.#uses = this.#shared = undefined;
  }
}

export function isBuffer(object: object): boolean {
  ofBuffer.byteLength(object);
  return true;
}

export function writeBuffer(encoder: Encoder, object: object): void {
  const buffer = object as ArrayBuffer;
  const isResizable = ofBuffer.resizable(buffer) === true;
  encoder.buffers.note(buffer, true);
  encoder.generic("ArrayBuffer", isResizable ? 2 : 1);
  encoder.bytes(bytesOf(encoder, buffer));
  if (!isResizable) return;
  const maxByteLength = ofBuffer.maxByteLength(buffer);
  encoder.spend(maxByteLength);
  encoder.number(maxByteLength);
}

function bytesOf(encoder: Encoder, buffer: ArrayBuffer): Uint8Array {
  try {
    return new Uint8Array(buffer);
  } catch {
    encoder.reject("a detached ArrayBuffer", buffer);
  }
}

export function writeView(encoder: Encoder, view: ArrayBufferView): void {
  const type = typeOf(view) ?? "DataView";
  const range = rangeOf(encoder, view, type);
  const { buffer, offset, size, isWhole } = range;
  const isResizable = ofBuffer.resizable(buffer) === true;
  const isTracking = isResizable && isLengthTracking(view, type, range);
  if (isResizable && isWhole || isTracking || encoder.buffers.has(buffer)) {
    encoder.generic(type, isTracking ? 2 : 3);
    encoder.value(buffer);
    encoder.number(offset);
    if (!isTracking) encoder.number(size / elementSize(type));
    return;
  }
  encoder.buffers.note(buffer, isWhole);
  const bytes = new Uint8Array(buffer, offset, size);
  if (type === "DataView") return writeDataView(encoder, bytes);
  if (type !== "Uint8Array") encoder.tag(tags.get(type)!);
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

/** What a view shows, in bytes. */
interface Range {
  readonly buffer: ArrayBuffer;
  readonly offset: number;
  readonly size: number;
  readonly isWhole: boolean;
}

function rangeOf(encoder: Encoder, view: ArrayBufferView, type: string): Range {
  const of = gettersOf(type);
  const buffer = of.buffer(view);
  if (!isOne(isBuffer, buffer)) {
    encoder.reject(`a ${type} of a SharedArrayBuffer`, view, ": send a copy of its bytes");
  }
  if (isOutOfBounds(view, type)) encoder.reject(`a ${type} whose buffer is detached`, view);
  const offset = of.byteOffset(view);
  const size = of.byteLength(view);
  return { buffer, offset, size, isWhole: offset === 0 && size === ofBuffer.byteLength(buffer) };
}

/** Whether a view has lost what it showed, for which a typed array tells the same sizes as if it were empty. */
function isOutOfBounds(view: ArrayBufferView, type: string): boolean {
  try {
    if (gettersOf(type).byteLength(view) === 0 && type !== "DataView") {
      lookForNothing.call(view as Uint8Array, 0);
    }
    return false;
  } catch {
    return true;
  }
}

/**
 * Whether a view always ends where its buffer ends. JavaScript does not tell, so the buffer is made one byte shorter
 * than the view for a moment: if the view follows, it is one, and if not, it is out of bounds.
 */
function isLengthTracking(view: ArrayBufferView, type: string, range: Range): boolean {
  const { buffer, offset, size } = range;
  const total = ofBuffer.byteLength(buffer);
  if (total - offset - size >= elementSize(type)) return false;
  if (size === 0) return growsWith(view, type, buffer);
  const end = offset + size - 1;
  const cut = new Uint8Array(buffer, end).slice();
  resize.call(buffer, end);
  const isTracking = !isOutOfBounds(view, type);
  resize.call(buffer, total);
  new Uint8Array(buffer, end).set(cut);
  return isTracking;
}

/** The same for an empty view. If its buffer cannot grow, it makes no difference. */
function growsWith(view: ArrayBufferView, type: string, buffer: ArrayBuffer): boolean {
  const size = ofBuffer.byteLength(buffer);
  resize.call(buffer, Math.min(size + elementSize(type), ofBuffer.maxByteLength(buffer)));
  const grows = gettersOf(type).byteLength(view) > 0;
  resize.call(buffer, size);
  return grows;
}

function readTypedArray(decoder: Decoder, type: string, isBigEndian: boolean): unknown {
  decoder.spend(MEMORY_OF_VIEW);
  const bytes = decoder.expectBytes();
  if (type === "Uint8Array") return bytes;
  const size = elementSize(type);
  if (bytes.length % size !== 0) decoder.fail(`a ${type} that ends inside of an element`);
  const aligned = bytes.byteOffset % size === 0 && !isBigEndian ? bytes : bytes.slice();
  if (isBigEndian) {
    for (let i = 0; i < bytes.length; i += size) aligned.subarray(i, i + size).reverse();
  }
  return viewOf(decoder, type, aligned.buffer, aligned.byteOffset, bytes.length / size);
}

export function readView(args: Arguments, type: string): unknown {
  const { decoder } = args;
  decoder.spend(MEMORY_OF_VIEW);
  const buffer = args.required.value() as ArrayBuffer;
  if (!(buffer instanceof ArrayBuffer)) decoder.fail(`a ${type} without a buffer`);
  const offset = args.required.expectNumber();
  const length = args.next() ? decoder.expectNumber() : undefined;
  return viewOf(decoder, type, buffer, offset, length);
}

function viewOf(
  decoder: Decoder,
  type: string,
  buffer: ArrayBuffer,
  offset: number,
  length?: number,
): ArrayBufferView {
  const View = classOf(type);
  if (View === undefined) decoder.fail(`a ${type}, which this runtime does not have`);
  return decoder.attempt(
    `a ${type} that its buffer does not hold`,
    () => new View(buffer, offset, length),
  );
}

export function readBuffer(args: Arguments): ArrayBuffer {
  const { decoder } = args;
  const bytes = args.required.expectBytes();
  if (!args.next()) {
    return bytes.length === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
  }
  const maxByteLength = decoder.expectNumber();
  if (!(maxByteLength >= bytes.length)) decoder.fail("an ArrayBuffer longer than its maximum");
  decoder.spend(maxByteLength);
  const buffer = decoder.attempt(
    "an ArrayBuffer with a maximum that is not valid",
    () => new ArrayBuffer(bytes.length, { maxByteLength }),
  );
  new Uint8Array(buffer).set(bytes);
  return buffer;
}
