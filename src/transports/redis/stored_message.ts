import { Buffer } from "node:buffer";
import type { Message } from "../transport.ts";

/**
 * Returns the bytes that the server stores: a JSON array of the properties, a newline, and the body. The scripts do not
 * read them; the terms of a message are arguments of their own.
 */
export function storedBytes({ body, contentType, id, attempts, reason }: Message): Buffer {
  const header = JSON.stringify(
    reason !== undefined
      ? [contentType, id ?? 0, attempts ?? 0, reason]
      : attempts !== undefined
      ? [contentType, id ?? 0, attempts]
      : id !== undefined
      ? [contentType, id]
      : [contentType],
  );
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
  if (fields === undefined) return { body: bytes, contentType: "" };
  const [contentType, id, attempts, reason] = fields;
  return {
    body: bytes.subarray(end + 1),
    contentType: typeof contentType === "string" ? contentType : "",
    ...typeof id === "string" ? { id } : {},
    ...isCount(attempts) && attempts > 0 ? { attempts } : {},
    ...typeof reason === "string" ? { reason } : {},
  };
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
