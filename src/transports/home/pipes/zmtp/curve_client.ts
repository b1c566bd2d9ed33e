import { getRandomValues } from "node:crypto";
import { ChannelConfigError } from "../../../../shared/errors.ts";
import { concat, readProperties, writeCommand, writeProperties } from "./commands.ts";
import { boxesReady, boxKey, counterBytes, nonceOf, seal, unseal } from "./curve_box.ts";
import { CurveCipher } from "./curve_cipher.ts";
import {
  type CurveKeys,
  curveKeysOf,
  curveKeysOfSecret,
  generateCurveKeys,
  keyBytes,
  keyText,
} from "./curve_keys.ts";
import type { Mechanism, Step } from "./mechanism.ts";
import type { ZmqUri } from "./uri.ts";
import { ZmtpError } from "./zmtp_error.ts";

/** Returns a function that makes the client's end of CURVE for a new connection to the home at a URI. */
export async function curveClient(
  uri: ZmqUri,
  secretKey: string | undefined,
): Promise<() => Mechanism> {
  await boxesReady;
  const server = uri.key === undefined
    ? (await curveKeysOfSecret(uri.secret!)).publicKey
    : keyBytes(uri.key)!;
  const secret = secretKey === undefined ? undefined : keyBytes(secretKey);
  if (secretKey !== undefined && secret === undefined) {
    throw new ChannelConfigError(
      'the option "key" is not a secret key; expected 43 characters in base64url, as generateKeys makes them',
    );
  }
  // The same for all connections: a home knows a peer that connects again by its key.
  const own = secret === undefined ? generateCurveKeys() : curveKeysOf(secret);
  return () => new CurveClient(own, server);
}

/** The client's end of CURVE (https://rfc.zeromq.org/spec/26/). */
export class CurveClient implements Mechanism {
  readonly name = "CURVE";
  readonly isServer = false;
  readonly #own: CurveKeys;
  readonly #server: Uint8Array;
  readonly #passing: CurveKeys = generateCurveKeys();
  #count = 0;
  /** The key of the two pairs that are made for this connection. */
  #key: Uint8Array | undefined;

  /** @param server the public key of the server */
  constructor(own: CurveKeys, server: Uint8Array) {
    this.#own = own;
    this.#server = server;
  }

  begin(): Uint8Array {
    const count = counterBytes(++this.#count);
    const key = boxKey(this.#passing.secretKey, this.#server);
    const box = seal(key, nonceOf("CurveZMQHELLO---", count), new Uint8Array(64));
    return writeCommand(
      "HELLO",
      new Uint8Array([1, 0]),
      new Uint8Array(72),
      this.#passing.publicKey,
      count,
      box,
    );
  }

  receive(name: string, body: Uint8Array): Step {
    if (name === "WELCOME" && this.#key === undefined && body.length === 160) {
      return this.#welcome(body);
    }
    if (name === "READY" && this.#key !== undefined && body.length >= 24) {
      return this.#ready(this.#key, body);
    }
    throw new ZmtpError(`the command ${name} is not expected, or has the wrong size`);
  }

  #welcome(body: Uint8Array): Step {
    const first = boxKey(this.#passing.secretKey, this.#server);
    const plain = unseal(
      first,
      nonceOf("WELCOME-", body.subarray(0, 16)),
      body.subarray(16),
      "WELCOME",
    );
    const passing = plain.subarray(0, 32);
    const cookie = plain.subarray(32);
    this.#key = boxKey(this.#passing.secretKey, passing);
    const unique = getRandomValues(new Uint8Array(16));
    const vouch = seal(
      boxKey(this.#own.secretKey, passing),
      nonceOf("VOUCH---", unique),
      this.#passing.publicKey,
      this.#server,
    );
    const count = counterBytes(++this.#count);
    const box = seal(
      this.#key,
      nonceOf("CurveZMQINITIATE", count),
      concat(this.#own.publicKey, unique, vouch, writeProperties("DEALER")),
    );
    return { reply: writeCommand("INITIATE", cookie, count, box) };
  }

  #ready(key: Uint8Array, body: Uint8Array): Step {
    const plain = unseal(
      key,
      nonceOf("CurveZMQREADY---", body.subarray(0, 8)),
      body.subarray(8),
      "READY",
    );
    return {
      outcome: {
        properties: readProperties(plain),
        key: keyText(this.#server),
        cipher: new CurveCipher(key, false, this.#count),
      },
    };
  }
}
