import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { ARRAY, REGEXP } from "./format.ts";
import { getterOf } from "./intrinsics.ts";

const MEMORY_OF_REGEXP = 320;

const sourceOf = getterOf<string>(RegExp.prototype, "source");

/** The flags by themselves: `flags` asks each of them of the object, which a subclass may have changed. */
const FLAGS: readonly [flag: string, isSet: (regexp: object) => boolean][] = [
  ["d", getterOf(RegExp.prototype, "hasIndices")],
  ["g", getterOf(RegExp.prototype, "global")],
  ["i", getterOf(RegExp.prototype, "ignoreCase")],
  ["m", getterOf(RegExp.prototype, "multiline")],
  ["s", getterOf(RegExp.prototype, "dotAll")],
  ["u", getterOf(RegExp.prototype, "unicode")],
  ["v", getterOf(RegExp.prototype, "unicodeSets")],
  ["y", getterOf(RegExp.prototype, "sticky")],
];

export function isRegExp(object: object): boolean {
  sourceOf(object);
  return object !== RegExp.prototype;
}

/** `lastIndex` stays behind, as with `structuredClone`. */
export function writeRegExp(encoder: Encoder, regexp: object): void {
  encoder.tag(REGEXP);
  encoder.head(ARRAY, 2);
  encoder.text(sourceOf(regexp));
  encoder.text(FLAGS.filter(([, isSet]) => isSet(regexp)).map(([flag]) => flag).join(""));
}

export function readRegExp(decoder: Decoder): RegExp {
  decoder.spend(MEMORY_OF_REGEXP);
  const parts: string[] = [];
  decoder.items(ARRAY, () => parts.push(decoder.expectText()));
  const [source, flags = ""] = parts;
  if (source === undefined || parts.length > 2) {
    decoder.fail("a regular expression without a source");
  }
  return decoder.attempt("a regular expression that is not valid", () => new RegExp(source, flags));
}
