// In place of modules that the conformance suite needs only for transports other than memory.

function absent(): never {
  throw new Error("this runtime has no such module");
}

export { absent as createServer, absent as readFileSync, absent as startChild };

/** Returns a text in place of that of `inspect` of `node:util`. */
export function inspect(value: unknown): string {
  return value instanceof Error ? `${value.stack} ${JSON.stringify(value)}` : String(value);
}
