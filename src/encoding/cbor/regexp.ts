import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { ARRAY, REGEXP } from "./format.ts";
import { intrinsic } from "./intrinsics.ts";

const MEMORY_OF_REGEXP = 320;

/**
 * Engines look up Unicode properties (`\p{L}`) as they make a RegExp, which takes V8 up to half a millisecond for each,
 * and several for the sets of strings. Both are accounted for as memory, by which what a message may hold is limited.
 */
const COST_OF_PROPERTY = 65_536;
const COST_OF_STRINGS = 1_048_576;

export function isRegExp(object: object): boolean {
  return object !== RegExp.prototype && intrinsic(RegExp.prototype, "source", object) !== undefined;
}

/** `lastIndex` stays behind, as with `structuredClone`. */
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
    const letter = source[++at]; // what is escaped, as a second backslash may be
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
