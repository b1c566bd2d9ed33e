import { LARGEST_GAP, MEMORY_OF_ELEMENT, memoryLimit } from "../cbor/format.ts";
import { maxDepth, type Members } from "./format.ts";

/** What `decode` takes beside the bytes. */
export interface DecodeOptions {
  /** The key that marks what an extension has written, in ASCII: it is `true` there. */
  readonly marker?: string;
  /** Makes the object of one that is marked. What it throws passes unchanged. */
  readonly extension?: (members: Members) => unknown;
}

/** Bytes that are not one JSON value. It shows nothing of them: they may hold a password. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

const noOptions: DecodeOptions = {};

/**
 * Turns JSON (RFC 8259) in UTF-8 into a value; of duplicate keys the last counts. The bytes may be
 * hostile: the nesting is limited, and keys such as `__proto__` become own properties. As everywhere
 * in JavaScript, integers beyond 2^53 lose precision.
 *
 * @throws {JsonError} for bytes that are not exactly one JSON value, are nested more than 1000 deep,
 * would take far more memory than they are, or hold a number that is larger than any in JavaScript. What the `extension` throws passes unchanged.
 */
export function decode(bytes: Uint8Array, options: DecodeOptions = noOptions): unknown {
  if (bytes.length > 2 * maxDepth) checkShape(bytes);
  const text = textOf(bytes);
  const value = parsed(text);
  return mayHoldMarker(text, options.marker) || mayHoldInfinity(text)
    ? revived(value, options)
    : value;
}

/**
 * Looks at the shape before anything is parsed. Readers of the value may recurse, if the parser does not. And where an
 * object's keys are numbers, engines keep an array: `{"999":0}` takes JavaScriptCore 8 KB.
 */
export function checkShape(bytes: Uint8Array): void {
  let memory = memoryLimit(bytes.length);
  let depth = 0;
  /** How long that array is for each of the objects that the scan is inside of. */
  const lengths = [0];
  /** Where the text begins that the scan is inside of; -1 outside of any. */
  let start = -1;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (start >= 0) {
      if (byte === 0x5c) i++; // a backslash
      else if (byte === 0x22) {
        const index = indexAt(bytes, start, i);
        if (index > 0 && index - lengths[depth]! < LARGEST_GAP && index >= lengths[depth]!) {
          memory -= MEMORY_OF_ELEMENT * (index + 1 - lengths[depth]!);
          lengths[depth] = index + 1;
          if (memory < 0) throw new JsonError("a message that takes too much memory");
        }
        start = -1;
      }
    } else if (byte === 0x22) start = i + 1;
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > maxDepth) throw new JsonError(`a value nested more than ${maxDepth} deep`);
      lengths[depth] = 0;
    } else if ((byte === 0x5d || byte === 0x7d) && --depth < 0) return; // it is no JSON
  }
}

/** The index that the text from `start` to `end` is, where it is a key; else -1. Index 0 does not matter. */
function indexAt(bytes: Uint8Array, start: number, end: number): number {
  const first = bytes[start]!;
  if (first !== 0x5c && !(first > 0x30 && first <= 0x39) || end - start > longestIndex) return -1;
  let next = end + 1;
  while (bytes[next] === 0x20 || bytes[next]! >= 0x09 && bytes[next]! <= 0x0d) next++;
  if (bytes[next] !== 0x3a) return -1; // a colon
  let index = 0;
  for (let i = start; i < end; i++) {
    if (bytes[i] === 0x5c) i += 5; // as \u0039, of which the last digit is the digit
    const digit = bytes[i]! - 0x30;
    if (!(digit >= 0 && digit <= 9)) return -1;
    index = 10 * index + digit;
  }
  return index;
}

/** The length of a key in which all of ten digits are escaped. */
const longestIndex = 60;

const replacing = new TextDecoder();
const strict = new TextDecoder("utf-8", { fatal: true });

/** The text without a byte order mark. The replacing decoder is the faster one. */
function textOf(bytes: Uint8Array): string {
  const text = replacing.decode(bytes);
  if (!text.includes("\ufffd")) return text;
  try {
    return strict.decode(bytes);
  } catch {
    throw new JsonError("text that is not UTF-8");
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Engines quote a piece of the text.
    const reason = String((error as Error).message).replace(/(?:^|,| ) ?\.{0,3}".*$/s, "");
    throw new JsonError(`text that is not JSON${reason === "" ? "" : ` (${reason})`}`);
  }
}

/** Whether the text may have the marker for a key; such keys may be written with escapes. */
function mayHoldMarker(text: string, marker: string | undefined): boolean {
  return marker !== undefined && (text.includes(`"${marker}"`) || text.includes("\\u00"));
}

/** Whether a number may be larger than a double can be: it has a long exponent, or very many digits. */
function mayHoldInfinity(text: string): boolean {
  if (/\d[eE]\+?\d{3}/.test(text)) return true;
  for (let at = manyDigits - 1; at < text.length; at += manyDigits) {
    if (isDigit(text, at) && digitsAround(text, at) >= manyDigits) return true;
  }
  return false;
}

/** As many and an exponent of two digits stay below 10^308. */
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

/** The value with the extension's objects in place of what is marked. It changes the value. */
function revived(value: unknown, { marker, extension }: DecodeOptions): unknown {
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
        holder[key] = extension(members); // which is an own property, even if it is __proto__
      } else holders.push(members);
    }
  }
  return top["value"];
}
