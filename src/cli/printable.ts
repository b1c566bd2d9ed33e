/**
 * Returns a text with its control characters escaped as in JSON. Texts of others may have such characters, which a
 * terminal would obey.
 */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
