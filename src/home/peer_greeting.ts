import { ChannelConnectionError } from "../shared/errors.ts";
import { stringField } from "../transports/home/protocol/fields.ts";
import { type Frame, ProtocolError } from "../transports/home/protocol/frame.ts";
import { version } from "../transports/home/protocol/hello.ts";

/** What a peer says of itself in its first frame. */
export interface Greeting {
  readonly name: string;
  readonly session: string | undefined;
  readonly token: string | undefined;
}

/**
 * Reads the first frame of a peer.
 *
 * @throws {ProtocolError} if it is none
 * @throws {ChannelConnectionError} if the peer speaks another version
 */
export function greetingOf({ word, fields }: Frame): Greeting {
  if (word !== "HELLO") throw new ProtocolError("the first frame is no HELLO");
  if (fields.version !== version) {
    throw refusal(
      `the home speaks version ${version} of the protocol, and the peer another; use the same version of the library`,
    );
  }
  const session = stringField(fields, "session");
  if (session !== undefined && !/^[!-~]{16,64}$/.test(session)) {
    throw new ProtocolError("the session is no text of 16 to 64 characters");
  }
  const name = (stringField(fields, "name") ?? "").slice(0, 100);
  return { name, session, token: stringField(fields, "token") };
}

/** Checks the token of a peer. @throws {ChannelConnectionError} if it is not the secret of the home */
export function checkToken(token: string | undefined, secret: string): void {
  if (token === undefined) {
    throw refusal(
      "the home demands a secret, and the peer has sent none; set it as the password",
      "login",
    );
  }
  if (!equal(token, secret)) {
    throw refusal("the secret differs from that of the home; correct it", "login");
  }
}

/** Returns the error of a peer that is not admitted. */
export function refusal(message: string, reason?: "login" | "limit"): ChannelConnectionError {
  const transient = reason === "limit";
  const options = { address: "", transient, ...reason === undefined ? {} : { reason } };
  return new ChannelConnectionError(message, options);
}

const encoder = new TextEncoder();

/** Compares texts in a time that depends on the length of the first alone. */
function equal(given: string, secret: string): boolean {
  const a = encoder.encode(given);
  const b = encoder.encode(secret);
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i % b.length]!;
  return difference === 0;
}
