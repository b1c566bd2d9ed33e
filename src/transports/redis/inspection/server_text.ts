/** Returns a text of a server for people: without control characters. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ");
}
