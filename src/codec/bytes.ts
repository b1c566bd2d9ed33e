import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";

const typedArrayPrototype: object = Object.getPrototypeOf(Uint8Array.prototype);

/** The name of a typed array's class, for any subclass and realm; undefined for a DataView. */
const className = getter(Symbol.toStringTag) as (this: object) => string | undefined;
const lengthOf = getter("length") as (this: object) => number;

function getter(key: PropertyKey): unknown {
  return Object.getOwnPropertyDescriptor(typedArrayPrototype, key)!.get;
}

/** A Uint8Array sends the bytes it shows, never the rest of its buffer. */
export function writeView(encoder: Encoder, view: ArrayBufferView): void {
  const name = className.call(view) ?? "DataView";
  if (name !== "Uint8Array") {
    encoder.rejectHolder(`${name.startsWith("Int") ? "an" : "a"} ${name} object`);
  }
  const bytes = view as Uint8Array;
  const length = lengthOf.call(bytes);
  if (length === 0 && isOutOfBounds(bytes)) encoder.rejectHolder("a detached Uint8Array");
  encoder.bytes(bytes, length);
}

/** Whether a view has lost its buffer, which it shows by a length of 0 like any empty one. */
function isOutOfBounds(bytes: Uint8Array): boolean {
  try {
    Uint8Array.prototype.indexOf.call(bytes, 0);
    return false;
  } catch {
    return true;
  }
}

/** Reads a byte string that is marked as a Uint8Array, as other writers do. */
export function readBytes(decoder: Decoder): Uint8Array {
  return decoder.expectBytes();
}
