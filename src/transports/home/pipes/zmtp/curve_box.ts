import type { KeyObject } from "node:crypto";
import nacl from "tweetnacl";
import { agree } from "./curve_keys.ts";
import { bytesOf } from "./commands.ts";
import { ZmtpError } from "./zmtp_error.ts";

/** The part of tweetnacl's lowlevel API that is used here; its types do not describe it. */
interface LowLevel {
  crypto_core_hsalsa20(
    out: Uint8Array,
    input: Uint8Array,
    key: Uint8Array,
    constant: Uint8Array,
  ): void;
  /** Both buffers begin with 32 bytes that are 0; of the result, 16 bytes are 0 and 16 authenticate the rest. */
  crypto_secretbox(
    out: Uint8Array,
    input: Uint8Array,
    size: number,
    nonce: Uint8Array,
    key: Uint8Array,
  ): 0 | -1;
  /** The input begins with 16 bytes that are 0, and so does the result with 32. */
  crypto_secretbox_open(
    out: Uint8Array,
    input: Uint8Array,
    size: number,
    nonce: Uint8Array,
    key: Uint8Array,
  ): 0 | -1;
}

const { crypto_core_hsalsa20, crypto_secretbox, crypto_secretbox_open } =
  (nacl as unknown as { readonly lowlevel: LowLevel }).lowlevel;

/** How many bytes of 0 the plain and the sealed text begin with, and the size of what authenticates a text. */
const plainZeros = 32;
export const sealedZeros = 16;
export const tagSize = 16;

const sigma = bytesOf("expand 32-byte k");

/**
 * Returns the key that two key pairs have in common, as NaCl's `crypto_box_beforenm` does.
 *
 * @throws {ZmtpError} if the public key is a weak one
 */
export function boxKey(secretKey: KeyObject, publicKey: Uint8Array): Uint8Array {
  let agreed: Uint8Array;
  try {
    agreed = agree(secretKey, publicKey);
  } catch {
    throw new ZmtpError("a public key is weak"); // the result would be the same for all secret keys
  }
  const key = new Uint8Array(32);
  crypto_core_hsalsa20(key, new Uint8Array(16), agreed, sigma);
  return key;
}

/** Returns the sealed text of parts, after 16 bytes of 0. */
export function sealPadded(
  key: Uint8Array,
  nonce: Uint8Array,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  let size = plainZeros;
  for (const { length } of parts) size += length;
  const plain = new Uint8Array(size);
  size = plainZeros;
  for (const part of parts) {
    plain.set(part, size);
    size += part.length;
  }
  const sealed = new Uint8Array(size);
  crypto_secretbox(sealed, plain, size, nonce, key);
  return sealed;
}

/** Returns the plain text of a sealed text after 16 bytes of 0; undefined if it is not authentic. */
export function openPadded(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < plainZeros) return undefined;
  const plain = new Uint8Array(sealed.length);
  const isAuthentic = crypto_secretbox_open(plain, sealed, sealed.length, nonce, key) === 0;
  return isAuthentic ? plain.subarray(plainZeros) : undefined;
}

/** Returns the sealed text of parts. */
export function seal(
  key: Uint8Array,
  nonce: Uint8Array,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  return sealPadded(key, nonce, ...parts).subarray(sealedZeros);
}

/** Returns the plain text. @throws {ZmtpError} if it is not authentic: one of the keys differs */
export function unseal(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  command: string,
): Uint8Array {
  const padded = new Uint8Array(sealedZeros + sealed.length);
  padded.set(sealed, sealedZeros);
  const plain = openPadded(key, nonce, padded);
  if (plain !== undefined) return plain;
  throw new ZmtpError(`the keys of the two ends do not match (${command})`, {
    told: "the keys differ",
    isRefusal: true,
  });
}

/** Returns a nonce: a text, and 8 or 16 bytes that make it unique. */
export function nonceOf(prefix: string, rest: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(24);
  nonce.set(bytesOf(prefix));
  nonce.set(rest, prefix.length);
  return nonce;
}

/** Returns a number as eight bytes in network order. */
export function counterBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(count / 2 ** 32));
  view.setUint32(4, count >>> 0);
  return bytes;
}
