import sodium from "libsodium-wrappers";
import { bytesOf, concat } from "./commands.ts";
import { ZmtpError } from "./zmtp_error.ts";

/** The size of what authenticates a sealed text. */
export const tagSize = 16;

/** Resolves when the other functions may be called. */
export const boxesReady: Promise<void> = sodium.ready;

/**
 * Returns the key that two key pairs have in common, as NaCl's `crypto_box_beforenm` does.
 *
 * @throws {ZmtpError} if the public key is a weak one
 */
export function boxKey(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
  try {
    return sodium.crypto_box_beforenm(publicKey, secretKey);
  } catch {
    throw new ZmtpError("a public key is weak"); // the result would be the same for all secret keys
  }
}

/** Returns the sealed text of parts. */
export function seal(
  key: Uint8Array,
  nonce: Uint8Array,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  return sodium.crypto_secretbox_easy(concat(...parts), nonce, key);
}

/** Returns the plain text; undefined if it is not authentic. */
export function opened(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < tagSize) return undefined;
  try {
    return sodium.crypto_secretbox_open_easy(sealed, nonce, key);
  } catch {
    return undefined; // the only error for arguments of the right sizes
  }
}

/** Returns the plain text. @throws {ZmtpError} if it is not authentic: one of the keys differs */
export function unseal(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  command: string,
): Uint8Array {
  const plain = opened(key, nonce, sealed);
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
