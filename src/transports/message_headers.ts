// Headers of messages are untrusted: what is beyond the limits is left out, and is never an error.

/** The most headers of a message. */
const mostHeaders = 16;

/** The most characters of all names and values of a message's headers together. */
const mostCharacters = 2048;

/** The form of a name. Names that begin with `channelts-` belong to transports. */
const namePattern = /^(?!channelts-)[a-z0-9][a-z0-9_.-]{0,63}$/;

/** The form of a value: printable ASCII. */
const valuePattern = /^[\x20-\x7e]*$/;

/**
 * Returns those of the headers that a message may have, in the same order; undefined if there are none.
 *
 * @param headers names and values from anywhere
 */
export function boundedHeaders(headers: unknown): Readonly<Record<string, string>> | undefined {
  if (typeof headers !== "object" || headers === null || Array.isArray(headers)) return undefined;
  const bounded: [string, string][] = [];
  let left = mostCharacters;
  for (const [name, value] of Object.entries(headers)) {
    if (bounded.length === mostHeaders) break;
    const size = name.length + (typeof value === "string" ? value.length : Infinity);
    if (size > left || !namePattern.test(name) || !valuePattern.test(value)) continue;
    left -= size;
    bounded.push([name, value]);
  }
  return bounded.length === 0 ? undefined : Object.fromEntries(bounded);
}

/** Returns the headers of a message that another program may have written as JSON; undefined if there are none. */
export function headersOfText(text: string | null): Readonly<Record<string, string>> | undefined {
  if (text === null || text.length > longestText) return undefined;
  try {
    return boundedHeaders(JSON.parse(text));
  } catch {
    return undefined; // it is not JSON, and was written by another program
  }
}

/** The most characters of headers as JSON: each character may be escaped as six. */
const longestText = 6 * mostCharacters + 8 * mostHeaders;
