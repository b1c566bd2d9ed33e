import { Buffer } from "node:buffer";
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  scrypt,
} from "node:crypto";

/** A key pair for calculations; each key has 32 bytes. */
export interface CurveKeys {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

/** Returns a new key pair. */
export function generateCurveKeys(): CurveKeys {
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const secret = privateKey.export({ format: "der", type: "pkcs8" });
  return { publicKey: rawPublicKey(publicKey), secretKey: lastBytes(secret) };
}

/** Returns the key pair of a secret key of 32 bytes. */
export function curveKeysOf(secretKey: Uint8Array): CurveKeys {
  const key = createPrivateKey({
    key: Buffer.concat([secretPrefix, secretKey]),
    format: "der",
    type: "pkcs8",
  });
  return { publicKey: rawPublicKey(createPublicKey(key)), secretKey };
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

/** The beginning of a secret key in PKCS#8 (RFC 8410). The 32 bytes of the key follow. */
const secretPrefix = Buffer.from("302e020100300506032b656e04220420", "hex");

function rawPublicKey(key: KeyObject): Uint8Array {
  return lastBytes(key.export({ format: "der", type: "spki" }));
}

/** Returns the key at the end of its encoding in DER. */
function lastBytes(der: Uint8Array): Uint8Array {
  return new Uint8Array(der.subarray(der.length - 32));
}
