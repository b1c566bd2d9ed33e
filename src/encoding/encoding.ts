/** How the values of a channel are written. Each is read, whatever a handle writes. */
export type Encoding = "cbor" | "json";

export const defaultEncoding: Encoding = "cbor";

export function isEncoding(value: unknown): value is Encoding {
  return value === "cbor" || value === "json";
}
