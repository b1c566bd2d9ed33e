import { Buffer } from "node:buffer";
import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  scrypt,
} from "node:crypto";

/** A key pair of X25519, in base64url without padding: 43 characters each. */
export interface KeyPair {
  /** The public key, which others may know. It is the `key` in the address of a home. */
  readonly publicKey: string;
  /** The secret key. */
  readonly secretKey: string;
}

/** A key pair for calculations. */
export interface CurveKeys {
  readonly publicKey: Uint8Array;
  readonly secretKey: KeyObject;
}

/** Returns a new key pair. */
export function generateCurveKeys(): CurveKeys {
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  return { publicKey: rawPublicKey(publicKey), secretKey: privateKey };
}

/** Returns the key pair of a secret key of 32 bytes. */
export function curveKeysOf(secretKey: Uint8Array): CurveKeys {
  const key = createPrivateKey({
    key: Buffer.concat([secretPrefix, secretKey]),
    format: "der",
    type: "pkcs8",
  });
  return { publicKey: rawPublicKey(createPublicKey(key)), secretKey: key };
}

/** Returns the secret that both of two key pairs have, of 32 bytes. @throws if the public key is a weak one */
export function agree(secretKey: KeyObject, publicKey: Uint8Array): Uint8Array {
  const other = createPublicKey({
    key: Buffer.concat([publicPrefix, publicKey]),
    format: "der",
    type: "spki",
  });
  return diffieHellman({ privateKey: secretKey, publicKey: other });
}

/**
 * Returns the key pair of a home that is protected by a secret alone. It is made by scrypt, which is slow, so that it
 * takes long to guess the secret.
 */
export function curveKeysOfSecret(secret: string): Promise<CurveKeys> {
  return new Promise((resolve, reject) => {
    scrypt(
      secret,
      "channelts home",
      32,
      { N: 2 ** 15, r: 8, p: 1, maxmem: 2 ** 26 },
      (error, key) => {
        if (error) reject(error); // Bun passes undefined for none
        else resolve(curveKeysOf(key));
      },
    );
  });
}

/** Returns 32 bytes as text. */
export function keyText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

/** Returns the bytes of a key in base64url; undefined if the text is none. */
export function keyBytes(text: string): Uint8Array | undefined {
  // 43 characters have 258 bits: the last two are 0 in the one way to write 256 bits.
  return /^[\w-]{42}[AEIMQUYcgkosw048]$/.test(text) ? Buffer.from(text, "base64url") : undefined;
}

/** The beginning of a secret key in PKCS#8, and of a public key in SPKI (RFC 8410). The 32 bytes of the key follow. */
const secretPrefix = Buffer.from("302e020100300506032b656e04220420", "hex");
const publicPrefix = Buffer.from("302a300506032b656e032100", "hex");

function rawPublicKey(key: KeyObject): Uint8Array {
  const der = key.export({ format: "der", type: "spki" });
  return new Uint8Array(der.subarray(der.length - 32));
}

/** Returns a new key pair in text. */
export function generateKeys(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const secret = privateKey.export({ format: "der", type: "pkcs8" });
  return {
    publicKey: keyText(rawPublicKey(publicKey)),
    secretKey: keyText(secret.subarray(secret.length - 32)),
  };
}
