import type { Arguments } from "./arguments.ts";
import type { Encoder } from "./encode.ts";
import { methodOf } from "./intrinsics.ts";

const MEMORY_OF_BOXED = 16;

/** The classes of primitive values; that of symbols is none, because symbols cannot be sent. */
export type BoxedType = "Number" | "String" | "Boolean" | "BigInt";

/** What their objects hold. */
const VALUES: Readonly<Record<BoxedType, (object: object) => unknown>> = {
  Number: methodOf(Number.prototype, "valueOf"),
  String: methodOf(String.prototype, "valueOf"),
  Boolean: methodOf(Boolean.prototype, "valueOf"),
  BigInt: methodOf(BigInt.prototype, "valueOf"),
};

export function isBoxed(type: BoxedType): (object: object) => boolean {
  return (object) => {
    VALUES[type](object);
    return true;
  };
}

export function writeBoxed(type: BoxedType): (encoder: Encoder, object: object) => void {
  return (encoder, object) => {
    encoder.generic(type, 1);
    encoder.value(VALUES[type](object));
  };
}

export function readBoxed(args: Arguments, type: string): object {
  const { decoder } = args;
  decoder.spend(MEMORY_OF_BOXED);
  const value = args.required.value();
  const found = typeof value as string;
  if (found !== type.toLowerCase()) decoder.fail(`a ${type} object of another type`);
  return Object(value);
}
