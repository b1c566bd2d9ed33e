/** The encoding of the values that a handle puts. Every handle reads both encodings. */
export type Encoding = "cbor" | "json";

export const defaultEncoding: Encoding = "cbor";

/** Reports whether a value is the name of an encoding. */
export function isEncoding(value: unknown): value is Encoding {
  return value === "cbor" || value === "json";
}
