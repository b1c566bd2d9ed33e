import type { generateKeyPairSync } from "node:crypto";
import { ChannelConfigError } from "../../../../shared/errors.ts";

/** A key pair of X25519, in base64url without padding: 43 characters each. */
export interface KeyPair {
  /** The public key, which others may know. It is the `key` in the address of a home. */
  readonly publicKey: string;
  /** The secret key. */
  readonly secretKey: string;
}

/**
 * Returns a new key pair for a home or a peer on `zmq:`.
 *
 * @throws {ChannelConfigError} if the runtime has no `node:crypto`, as a browser
 *
 * @example
 * ```ts
 * import { generateKeys, listen } from "@channelts/channel/home";
 *
 * const keys = generateKeys(); // keep them: the public key is a part of the address of the home
 * await using home = await listen("zmq://127.0.0.1:0", { keys });
 * home.address.endsWith(`?key=${keys.publicKey}`); // true
 * ```
 */
export function generateKeys(): KeyPair {
  // It is loaded here, so that a page can load what is beside this function.
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): unknown } };
  const crypto = process?.getBuiltinModule?.("node:crypto") as
    | { readonly generateKeyPairSync: typeof generateKeyPairSync }
    | undefined;
  if (crypto === undefined) {
    throw new ChannelConfigError(
      "generateKeys: this runtime has no node:crypto; use Deno, Bun or Node",
    );
  }
  const { x, d } = crypto.generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  return { publicKey: x!, secretKey: d! };
}
