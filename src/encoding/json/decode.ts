import { JsonError } from "./json_error.ts";
import { maxDepth } from "./limits.ts";
import { checkShape } from "./shape.ts";

/** An object that an extension has written, as it travels. */
export type Members = Readonly<Record<string, unknown>>;

/** Options of `decode`. */
export interface DecodeOptions {
  /** The ASCII key that marks an object of an extension; its value there is `true`. */
  readonly marker?: string;
  /** Returns the object that a marked one stands for. What it throws passes unchanged. */
  readonly extension?: (members: Members) => unknown;
}

const noOptions: DecodeOptions = {};

/**
 * Decodes a value from JSON (RFC 8259) in UTF-8. The bytes may be hostile: the nesting and the memory are limited, and
 * a key such as `__proto__` becomes an own property. The last of duplicate keys counts. Integers beyond 2^53 lose
 * precision, as everywhere in JavaScript.
 *
 * @throws {JsonError} for bytes that are not exactly one JSON value, for a value that is nested more than 1000 deep or
 * takes far more memory than its bytes, and for a number that is larger than any in JavaScript
 */
export function decode(bytes: Uint8Array, options: DecodeOptions = noOptions): unknown {
  if (bytes.length > 2 * maxDepth) checkShape(bytes); // a shorter one is neither too deep nor too large
  const text = textOf(bytes);
  const value = parse(text);
  return mayHoldMarker(text, options.marker) || mayHoldInfinity(text)
    ? revive(value, options)
    : value;
}

const lenientUtf8 = new TextDecoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** Returns the text without a byte order mark. The lenient decoder is the faster one. */
function textOf(bytes: Uint8Array): string {
  const text = lenientUtf8.decode(bytes);
  if (!text.includes("\ufffd")) return text;
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw new JsonError("text that is not UTF-8");
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Engines quote a part of the text.
    const reason = String((error as Error).message).replace(/(?:^|,| ) ?\.{0,3}".*$/s, "");
    throw new JsonError(`text that is not JSON${reason === "" ? "" : ` (${reason})`}`);
  }
}

/** Reports whether the marker may be a key in the text, where keys may be written with escapes. */
function mayHoldMarker(text: string, marker: string | undefined): boolean {
  return marker !== undefined && (text.includes(`"${marker}"`) || text.includes("\\u00"));
}

/** Reports whether a number may be too large for a double: one with a long exponent, or with very many digits. */
function mayHoldInfinity(text: string): boolean {
  if (/\d[eE]\+?\d{3}/.test(text)) return true;
  for (let at = manyDigits - 1; at < text.length; at += manyDigits) {
    if (isDigit(text, at) && digitsAround(text, at) >= manyDigits) return true;
  }
  return false;
}

/** A number of fewer digits and an exponent of two digits is below 10^308. */
const manyDigits = 200;

function digitsAround(text: string, at: number): number {
  let [first, last] = [at, at];
  while (isDigit(text, first - 1)) first--;
  while (isDigit(text, last + 1)) last++;
  return last - first + 1;
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 0x30 && code <= 0x39;
}

/** Replaces the marked objects in a value by those of the extension, and checks its numbers. */
function revive(value: unknown, { marker, extension }: DecodeOptions): unknown {
  const top: Record<string, unknown> = { value };
  const holders = [top];
  for (let holder; (holder = holders.pop()) !== undefined;) {
    for (const key of Object.keys(holder)) {
      const item = holder[key];
      if (item === Infinity || item === -Infinity) {
        throw new JsonError("a number that is too large");
      }
      if (typeof item !== "object" || item === null) continue;
      const members = item as Record<string, unknown>;
      if (extension !== undefined && marker !== undefined && members[marker] === true) {
        holder[key] = extension(members); // `key` is an own property, even if it is __proto__
      } else holders.push(members);
    }
  }
  return top["value"];
}
