import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { ARRAY, REGEXP } from "./format.ts";
import { intrinsic } from "./intrinsics.ts";

const MEMORY_OF_REGEXP = 320;

export function isRegExp(object: object): boolean {
  return object !== RegExp.prototype && intrinsic(RegExp.prototype, "source", object) !== undefined;
}

/** `lastIndex` stays behind, as with `structuredClone`. */
export function writeRegExp(encoder: Encoder, regexp: object): void {
  encoder.tag(REGEXP);
  encoder.value(["source", "flags"].map((name) => intrinsic(RegExp.prototype, name, regexp)));
}

export function readRegExp(decoder: Decoder): RegExp {
  decoder.spend(MEMORY_OF_REGEXP);
  const parts: unknown[] = [];
  decoder.items(ARRAY, () => parts.push(decoder.value()));
  return decoder.attempt("RegExp", () => {
    const [source, flags = ""] = parts;
    const isText = typeof source === "string" && typeof flags === "string" && parts.length < 3;
    return isText ? new RegExp(source, flags) : undefined;
  });
}
