import type { Encoder } from "./encode.ts";
import type { GenericReader } from "./types.ts";

/** The classes of primitive values, except that of symbols, which cannot be sent. */
export type BoxedType = "Number" | "String" | "Boolean" | "BigInt";

/** The methods that return the primitive value of an object. */
const valueOf: Readonly<Record<BoxedType, (this: object) => unknown>> = {
  Number: Number.prototype.valueOf,
  String: String.prototype.valueOf,
  Boolean: Boolean.prototype.valueOf,
  BigInt: BigInt.prototype.valueOf,
};

export function isBoxed(type: BoxedType): (object: object) => boolean {
  return (object) => valueOf[type].call(object) !== undefined;
}

export function writeBoxed(type: BoxedType): (encoder: Encoder, object: object) => void {
  return (encoder, object) => {
    encoder.generic(type, 1);
    encoder.value(valueOf[type].call(object));
  };
}

export const boxed: GenericReader = {
  most: 1,
  read: (_, [value], type) =>
    typeof value as string === type.toLowerCase() ? Object(value) : undefined,
};
