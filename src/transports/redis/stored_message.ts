import { Buffer } from "node:buffer";
import { boundedHeaders } from "../message_headers.ts";
import type { Message } from "../transport.ts";

/**
 * Returns the bytes that the server stores: a JSON array of the properties, a newline, and the body. The scripts do not
 * read them; the terms of a message are arguments of their own.
 */
export function storedBytes(message: Message): Buffer {
  const { body, contentType, id, attempts, reason, headers, copy } = message;
  const fields: unknown[] = [contentType, id ?? 0, attempts ?? 0, reason ?? 0, headers ?? 0, copy];
  fields.length = copy !== undefined
    ? 6
    : headers !== undefined
    ? 5
    : reason !== undefined
    ? 4
    : attempts !== undefined
    ? 3
    : 2;
  const header = JSON.stringify(fields);
  const size = Buffer.byteLength(header);
  const bytes = Buffer.allocUnsafe(size + 1 + body.length);
  bytes.write(header);
  bytes[size] = newline;
  bytes.set(body, size + 1);
  return bytes;
}

/** Reads stored bytes. Bytes that another program has written count as a body without properties. */
export function readStored(bytes: Buffer): Message {
  const end = bytes.indexOf(newline);
  const fields = end < 0 ? undefined : propertiesOf(bytes.toString("utf8", 0, end));
  if (fields === undefined) return { body: plainBytes(bytes), contentType: "" };
  const [contentType, id, attempts, reason, others, copy] = fields;
  const headers = boundedHeaders(others);
  return {
    body: plainBytes(bytes.subarray(end + 1)),
    contentType: typeof contentType === "string" ? contentType : "",
    ...typeof id === "string" ? { id } : {},
    ...isCount(attempts) && attempts > 0 ? { attempts } : {},
    ...typeof reason === "string" ? { reason } : {},
    ...headers === undefined ? {} : { headers },
    ...isCount(copy) && copy > 0 ? { copy } : {},
  };
}

/** Returns the same bytes as an array that is no `Buffer`: the core passes it on to callers. */
export function plainBytes({ buffer, byteOffset, length }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}

function propertiesOf(header: string): unknown[] | undefined {
  try {
    const fields = JSON.parse(header);
    return Array.isArray(fields) ? fields : undefined;
  } catch {
    return undefined;
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

const newline = 10;
