import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { ARRAY, REGEXP } from "./format.ts";
import { intrinsic } from "./intrinsics.ts";

const MEMORY_OF_REGEXP = 320;

/**
 * The time to create a RegExp with Unicode properties such as `\p{L}`: V8 takes up to half a millisecond for each, and
 * several milliseconds for a property of strings. It is counted as memory, which limits the number in a message.
 */
const COST_OF_PROPERTY = 65_536;
const COST_OF_STRINGS = 1_048_576;

export function isRegExp(object: object): boolean {
  return object !== RegExp.prototype && intrinsic(RegExp.prototype, "source", object) !== undefined;
}

/** Writes a RegExp without its `lastIndex`, which `structuredClone` does not copy either. */
export function writeRegExp(encoder: Encoder, regexp: object): void {
  const source = intrinsic<string>(RegExp.prototype, "source", regexp);
  const flags = intrinsic<string>(RegExp.prototype, "flags", regexp);
  encoder.spend(costOf(source, flags));
  encoder.tag(REGEXP);
  encoder.value([source, flags]);
}

function costOf(source: string, flags: string): number {
  if (!/[uv]/.test(flags)) return 0;
  let cost = 0;
  for (let at = -1; (at = source.indexOf("\\", at + 1)) >= 0;) {
    const letter = source[++at]; // the escaped character, which may be a second backslash
    if (letter !== "p" && letter !== "P") continue;
    const name = source.slice(at, at + 40);
    cost += flags.includes("v") && /^p\{[^}]*(?:Emoji|RGI)/.test(name)
      ? COST_OF_STRINGS
      : COST_OF_PROPERTY;
  }
  return cost;
}

export function readRegExp(decoder: Decoder): RegExp {
  decoder.spend(MEMORY_OF_REGEXP);
  const parts: unknown[] = [];
  decoder.items(ARRAY, () => parts.push(decoder.value()));
  return decoder.attempt("RegExp", () => {
    const [source, flags = ""] = parts;
    const isText = typeof source === "string" && typeof flags === "string" && parts.length < 3;
    if (!isText) return undefined;
    decoder.spend(costOf(source, flags));
    return new RegExp(source, flags);
  });
}
