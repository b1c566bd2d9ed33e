// Headers of messages are untrusted: what is beyond the limits is left out, and is never an error.

import type { Message } from "./transport.ts";

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

/** Returns the headers and the number of the copy of a message as JSON; null if there are none. */
export function textOfHeaders({ headers, copy }: Pick<Message, "headers" | "copy">): string | null {
  if (copy === undefined) return headers === undefined ? null : JSON.stringify(headers);
  return JSON.stringify({ ...headers, [copyName]: copy });
}

/** Returns the headers and the number of the copy of a message from JSON that another program may have written. */
export function headersOfText(text: string | null): Pick<Message, "headers" | "copy"> {
  if (text === null || text.length > longestText) return {};
  let all: unknown;
  try {
    all = JSON.parse(text);
  } catch {
    return {}; // it is not JSON, and was written by another program
  }
  const headers = boundedHeaders(all);
  const copy = (all as Record<string, unknown> | null)?.[copyName];
  return {
    ...headers === undefined ? {} : { headers },
    ...Number.isSafeInteger(copy) && copy as number > 0 ? { copy: copy as number } : {},
  };
}

/** The name of the header that says how often the message was sent before. */
const copyName = "channelts-copy";

/** The most characters of headers as JSON: each character may be escaped as six. */
const longestText = 6 * mostCharacters + 8 * mostHeaders;
