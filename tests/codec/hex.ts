/** Returns the bytes of hexadecimal digits; spaces are ignored. */
export function bytes(digits: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(digits.match(/[^ ]{2}/g) ?? [], (pair) => parseInt(pair, 16));
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Concatenates parts; a text is hexadecimal digits. */
export function concat(...parts: (string | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  const all = parts.map((part) => typeof part === "string" ? bytes(part) : part);
  const result = new Uint8Array(all.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of all) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** A text as CBOR. */
export function text(string: string): string {
  const digits = hex(new TextEncoder().encode(string));
  return head(3, digits.length / 2) + digits;
}

/** The head of an item: its major type and its argument. */
export function head(major: number, argument: number): string {
  const size = argument < 24
    ? 0
    : argument < 256
    ? 1
    : argument < 65_536
    ? 2
    : argument < 2 ** 32
    ? 4
    : 8;
  if (size === 0) return hex(Uint8Array.of(major << 5 | argument));
  const info = [24, 25, 0, 26, 0, 0, 0, 27][size - 1]!;
  return hex(Uint8Array.of(major << 5 | info)) + argument.toString(16).padStart(2 * size, "0");
}

/** The head of a generic object (tag 27) of a type; `args` arguments follow. */
export function generic(type: string, args: number): string {
  return "d81b" + head(4, 1 + args) + text(type);
}
