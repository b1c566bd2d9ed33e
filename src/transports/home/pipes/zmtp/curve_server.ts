import { getRandomValues } from "node:crypto";
import { ChannelConfigError } from "../../../../shared/errors.ts";
import { isEqual, readProperties, writeCommand, writeProperties } from "./commands.ts";
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
import type { KeyPair } from "./key_pair.ts";
import type { Mechanism, Step } from "./mechanism.ts";
import { ZmtpError } from "./zmtp_error.ts";

/** Returns a function that makes the server's end of CURVE for a new connection. See `ZmqServerOptions`. */
export async function curveServer(
  keys: KeyPair | undefined,
  secret: string | undefined,
  peers: readonly string[] | undefined,
): Promise<() => Mechanism> {
  await boxesReady;
  const own = keys === undefined ? await curveKeysOfSecret(secret!) : checkedKeys(keys);
  const wrong = peers?.findIndex((key) => keyBytes(key) === undefined) ?? -1;
  if (wrong >= 0) throw notKey(`member ${wrong} of the option "peers"`, "public");
  const admitted = peers && new Set(peers);
  return () => new CurveServer(own, (key) => admitted?.has(key) ?? true);
}

function checkedKeys({ publicKey, secretKey }: KeyPair): CurveKeys {
  const bytes = keyBytes(secretKey);
  if (bytes === undefined) throw notKey('the secretKey of the option "keys"', "secret");
  const keys = curveKeysOf(bytes);
  if (keyText(keys.publicKey) === publicKey) return keys;
  throw new ChannelConfigError(
    'listen: the publicKey of the option "keys" does not belong to its secretKey',
  );
}

function notKey(what: string, kind: string): ChannelConfigError {
  return new ChannelConfigError(
    `listen: ${what} is not a key; expected the 43 characters of a ${kind} key in base64url`,
  );
}

/**
 * The server's end of CURVE (https://rfc.zeromq.org/spec/26/). It keeps the state of the handshake, so its cookie is a
 * random text.
 */
export class CurveServer implements Mechanism {
  readonly name = "CURVE";
  readonly isServer = true;
  readonly #own: CurveKeys;
  readonly #admits: (key: string) => boolean;
  #count = 0;
  /** What is known after HELLO. */
  #passing: CurveKeys | undefined;
  #client: Uint8Array | undefined;
  readonly #cookie = getRandomValues(new Uint8Array(96));

  /** @param admits reports whether a peer of a public key, in base64url, is admitted */
  constructor(own: CurveKeys, admits: (key: string) => boolean) {
    this.#own = own;
    this.#admits = admits;
  }

  begin(): undefined {}

  receive(name: string, body: Uint8Array): Step {
    if (name === "HELLO" && this.#passing === undefined && body.length === 194) {
      return this.#hello(body);
    }
    if (name === "INITIATE" && this.#passing !== undefined && body.length >= 248) {
      return this.#initiate(this.#passing, this.#client!, body);
    }
    throw new ZmtpError(`the command ${name} is not expected, or has the wrong size`);
  }

  #hello(body: Uint8Array): Step {
    if (body[0] !== 1) throw new ZmtpError("the other end uses another version of CURVE");
    const client = body.slice(74, 106);
    const key = boxKey(this.#own.secretKey, client);
    unseal(key, nonceOf("CurveZMQHELLO---", body.subarray(106, 114)), body.subarray(114), "HELLO");
    this.#client = client;
    this.#passing = generateCurveKeys();
    const unique = getRandomValues(new Uint8Array(16));
    const box = seal(key, nonceOf("WELCOME-", unique), this.#passing.publicKey, this.#cookie);
    return { reply: writeCommand("WELCOME", unique, box) };
  }

  #initiate(passing: CurveKeys, client: Uint8Array, body: Uint8Array): Step {
    if (!isEqual(body.subarray(0, 96), this.#cookie)) {
      throw new ZmtpError("the cookie of INITIATE differs");
    }
    const key = boxKey(passing.secretKey, client);
    const plain = unseal(
      key,
      nonceOf("CurveZMQINITIATE", body.subarray(96, 104)),
      body.subarray(104),
      "INITIATE",
    );
    if (plain.length < 128) throw new ZmtpError("INITIATE is cut off");
    const peer = plain.slice(0, 32);
    const vouch = unseal(
      boxKey(passing.secretKey, peer),
      nonceOf("VOUCH---", plain.subarray(32, 48)),
      plain.subarray(48, 128),
      "INITIATE",
    );
    const isVouched = isEqual(vouch.subarray(0, 32), client) &&
      isEqual(vouch.subarray(32), this.#own.publicKey);
    if (!isVouched) throw new ZmtpError("the other end does not own its key");
    const text = keyText(peer);
    if (!this.#admits(text)) {
      throw new ZmtpError("the key of the other end is not admitted", {
        told: "400",
        isRefusal: true,
      });
    }
    const properties = readProperties(plain.subarray(128));
    const count = counterBytes(++this.#count);
    const box = seal(key, nonceOf("CurveZMQREADY---", count), writeProperties("ROUTER"));
    return {
      reply: writeCommand("READY", count, box),
      outcome: { properties, key: text, cipher: new CurveCipher(key, true, this.#count) },
    };
  }
}
