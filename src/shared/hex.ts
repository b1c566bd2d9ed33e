/** Returns a text of random bytes, with two hexadecimal digits for each. */
export function randomHex(count: number): string {
  return hexOf(crypto.getRandomValues(new Uint8Array(count)));
}

/** Returns the hexadecimal digits of bytes, two for each. */
export function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += digits[byte];
  return text;
}

const digits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
