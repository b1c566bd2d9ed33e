import { ChannelConfigError } from "./errors.ts";

/** How the values of a channel are written. Each is read, whatever a handle writes. */
export type Encoding = "cbor" | "json";

export const defaultEncoding: Encoding = "cbor";

export function isEncoding(value: unknown): value is Encoding {
  return value === "cbor" || value === "json";
}

/** Refuses an encoding that is none. */
export function checkEncoding(value: unknown): asserts value is Encoding {
  if (isEncoding(value)) return;
  const got = typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : typeof value;
  throw new ChannelConfigError(`the option encoding takes "cbor" or "json", and got ${got}`);
}
